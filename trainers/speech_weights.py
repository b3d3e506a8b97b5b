"""The tokens of speech in preference training: their weight in the loss, and their divergence from the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedTokenizerBase

from schemas.sequences import EOSP, is_unit

CHUNK_LOGITS = 2**22
"""Logits of the divergence in memory at once: 16 MB in float32."""


class _Output(Protocol):
    """What TRL's forward pass returns."""

    log_probs: Tensor


class UnitWeights:
    """Weighs tokens of speech in the log-probabilities that TRL's DPO sums, and in the loss of chosen completions.

    About 70 unit tokens would otherwise outweigh the 8 tokens of text in a chain of modality. Speech are units, the
    token that ends them, and the end token; the token that ends the text counts as text.
    """

    chosen_loss: Tensor
    """The loss of the chosen completions in the last batch, in nats per (weighted) token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, weight: float, heard: int = 0) -> None:
        """Give each token of the vocabulary its weight: `weight` for speech, 1 for text.

        `heard` ids follow those of the vocabulary; they stand in prompts only.
        """
        vocabulary = tokenizer.get_vocab().items()
        speech = [index for token, index in vocabulary if token in (EOSP, tokenizer.eos_token) or is_unit(token)]
        self.is_speech = torch.zeros(len(tokenizer) + heard, dtype=torch.bool).index_fill(0, torch.tensor(speech), True)
        self.weights = torch.where(self.is_speech, weight, 1.0)

    def learned(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return which tokens of a batch are learned (B, T): those of the completions that have a weight."""
        ids = inputs["input_ids"]
        return inputs["completion_mask"].bool() & (self.weights.to(ids.device)[ids] > 0)

    def spoken(self, inputs: Mapping[str, Tensor], share: float) -> Tensor:
        """Return which positions of a batch predict speech (2B, T - 1), in the first `share` of its pairs, rounded up.

        The order of the pairs is random, so that each epoch takes other ones.
        """
        ids = inputs["input_ids"]
        speech = inputs["completion_mask"].bool() & self.is_speech.to(ids.device)[ids]
        pairs = len(ids) // 2
        taken = torch.arange(len(ids), device=ids.device) % pairs < share * pairs
        return speech[:, 1:] & taken[:, None]

    @contextmanager
    def applied_to(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Iterator[None]:
        """Weigh the log-probabilities of `model` during the block, and keep the loss of its chosen completions."""
        following = inputs["input_ids"][:, 1:]
        weights = self.weights.to(following.device)[following] * self.learned(inputs)[:, 1:]
        half = len(weights) // 2  # TRL puts the chosen sides into the first half of a batch

        def weigh(_module: nn.Module, _args: object, output: _Output) -> _Output:
            output.log_probs = output.log_probs * weights
            self.chosen_loss = -output.log_probs[:half].sum() / weights[:half].sum().clamp(min=1e-9)
            return output

        hook = model.register_forward_hook(weigh)
        try:
            yield
        finally:
            hook.remove()


def divergence(head: nn.Module, states: Tensor, reference: Tensor) -> Tensor:
    """Return KL(reference || policy) in nats, the mean over tokens; exact, over the whole vocabulary.

    Logits exist for some tokens at a time; the backward pass computes them again.

    Args:
        head: the output embeddings, which turn states into logits.
        states: the last hidden states (tokens, D) of the policy.
        reference: those of the reference.
    """
    size = max(1, CHUNK_LOGITS // cast(Tensor, head.weight).shape[0])
    total = states.new_zeros((), dtype=torch.float32)
    for now, before in zip(torch.split(states, size), torch.split(reference, size), strict=True):
        if len(states) <= size:
            total = total + _sum_divergence(head, now, before)
        else:
            total = total + checkpoint(_sum_divergence, head, now, before, use_reentrant=False)
    return total / max(1, len(states))


def _sum_divergence(head: nn.Module, states: Tensor, reference: Tensor) -> Tensor:
    with torch.no_grad():
        before = head(reference).float().log_softmax(-1)
    now = head(states).float().log_softmax(-1)
    return F.kl_div(now, before, reduction="sum", log_target=True)
