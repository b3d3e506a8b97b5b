"""The tokens of speech in preference training: their weight in the loss, and their divergence from the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from schemas.sequences import EOSP, is_unit


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

    def __init__(self, tokenizer: PreTrainedTokenizerBase, weight: float) -> None:
        """Give each token of the vocabulary its weight: `weight` for speech, 1 for text."""
        vocabulary = tokenizer.get_vocab().items()
        speech = [index for token, index in vocabulary if token in (EOSP, tokenizer.eos_token) or is_unit(token)]
        self.is_speech = torch.zeros(len(tokenizer), dtype=torch.bool).index_fill(0, torch.tensor(speech), True)
        self.weights = torch.where(self.is_speech, weight, 1.0)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Weigh the log-probabilities of `model` during the block, and keep the loss of its chosen completions."""
        hook = model.register_forward_hook(self._weigh, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def divergence(self, head: nn.Module, inputs: Mapping[str, Tensor], states: Tensor, reference: Tensor) -> Tensor:
        """Return KL(reference || policy) in nats, the mean over the tokens of speech of both sides.

        It is exact, over the whole vocabulary, and zero before the first step.

        Args:
            head: the output embeddings, which turn states into logits.
            inputs: `input_ids` (B, T) and `completion_mask` (B, T).
            states: the last hidden states (B, T, D) of the policy.
            reference: those of the reference.
        """
        following = inputs["input_ids"][:, 1:]
        speech = inputs["completion_mask"][:, 1:].bool() & self.is_speech.to(following.device)[following]
        with torch.no_grad():
            before = head(reference[:, :-1][speech]).float().log_softmax(-1)
        now = head(states[:, :-1][speech]).float().log_softmax(-1)
        return F.kl_div(now, before, reduction="sum", log_target=True) / speech.sum().clamp(min=1)

    def _weigh(
        self, _module: nn.Module, _args: tuple[object, ...], inputs: Mapping[str, Tensor], output: _Output
    ) -> _Output:
        following = inputs["labels"][:, 1:]
        weights = self.weights.to(following.device)[following.clamp(min=0)] * (following != -100)
        output.log_probs = output.log_probs * weights
        half = len(weights) // 2  # TRL puts the chosen sides into the first half of a batch
        self.chosen_loss = -output.log_probs[:half].sum() / weights[:half].sum().clamp(min=1e-9)
        return output


class Adapted(Protocol):
    """A policy with LoRA, as peft returns it."""

    def disable_adapter(self) -> AbstractContextManager[None]:
        """Switch LoRA off during a block."""
        ...

    def get_decoder(self) -> nn.Module:
        """Return the network without its output embeddings."""
        ...


def reference_states(policy: Adapted, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the last hidden states (B, T, D) of the reference, which is the policy without its LoRA."""
    tokens = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad(), policy.disable_adapter():
        states: Tensor = policy.get_decoder()(**tokens, use_cache=False).last_hidden_state
        return states


@contextmanager
def last_states(policy: Adapted) -> Iterator[list[Tensor]]:
    """Yield a list that receives the last hidden states (B, T, D) of each forward pass during the block."""
    states: list[Tensor] = []
    hook = policy.get_decoder().register_forward_hook(
        lambda _module, _args, output: states.append(output.last_hidden_state)
    )
    try:
        yield states
    finally:
        hook.remove()
