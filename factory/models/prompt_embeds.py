"""Prompts of vLLM that hold embeddings of speech between token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from factory.models.weights import WeightsError

if TYPE_CHECKING:
    import torch
    from vllm import LLM
    from vllm.inputs.engine import EmbedsInput


def insert_speech(ids: Sequence[int], speech: torch.Tensor, place: int, dtype: torch.dtype) -> EmbedsInput:
    """Return a prompt of token ids with embeddings between them; vLLM embeds the tokens itself.

    Args:
        ids: the token ids.
        speech: the embeddings (T, D).
        place: how many of the ids stand before them.
        dtype: the numbers of the engine.
    """
    from vllm.inputs.engine import embeds_input

    count = len(speech)
    embeddings = speech.new_zeros(len(ids) + count, speech.shape[1], dtype=dtype, device="cpu")
    embeddings[place : place + count] = speech.cpu().to(dtype)
    return embeds_input(
        embeddings,
        prompt_token_ids=[*ids[:place], *[0] * count, *ids[place:]],
        is_token_ids=[True] * place + [False] * count + [True] * (len(ids) - place),
    )


def check_embeddings(read: Callable[[torch.Tensor], object], llm: LLM, policy: str) -> None:
    """Raise WeightsError if vLLM cannot read embeddings: at its start, and not in the first of many rows.

    Args:
        read: reads a prompt with embeddings (T, D).
        llm: vLLM with the network.
        policy: the name of the network, for the message.
    """
    import torch

    try:
        read(torch.zeros(1, llm.model_config.get_hidden_size()))
    except Exception as error:  # whatever a network's class in vLLM raises
        raise WeightsError(
            f"vLLM takes no embeddings as the prompt of {policy} ({type(error).__name__}: {error}): use a language "
            "model whose class in vLLM supports prompt embeddings, as those of Llama and Qwen do"
        ) from error
