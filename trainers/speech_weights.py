"""What preference training asks of the speech in a completion: how much its tokens count, and how far it has moved from the reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from schemas.sequences import EOSP, is_unit


class UnitWeights:
    """Lets a token of speech count `weight` times, in the log-probabilities that TRL's DPO adds up and in the chosen side's own loss.

    Some 70 unit tokens would otherwise drown the 8 of a chain of modality's text. The token that ends the text is the text's.
    """

    chosen_loss: torch.Tensor
    """Nats a token of the chosen completions in the last batch, a token of speech counting `weight` times."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, weight: float) -> None:
        vocabulary = tokenizer.get_vocab().items()
        speech = [index for token, index in vocabulary if token in (EOSP, tokenizer.eos_token) or is_unit(token)]
        self.is_speech = torch.zeros(len(tokenizer), dtype=torch.bool).index_fill(0, torch.tensor(speech), True)
        self.weights = torch.where(self.is_speech, weight, 1.0)

    @contextmanager
    def on(self, model: Any) -> Iterator[None]:
        """Weigh what `model` says while the block runs."""
        hook = model.register_forward_hook(self._weighed, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def _weighed(self, _module: Any, _args: Any, given: dict[str, Any], output: Any) -> Any:
        following = given["labels"][:, 1:]
        weights = self.weights.to(following.device)[following.clamp(min=0)] * (following != -100)
        output.log_probs = output.log_probs * weights
        half = len(weights) // 2  # the first half of a batch is chosen
        self.chosen_loss = -output.log_probs[:half].sum() / weights[:half].sum().clamp(min=1e-9)
        return output

    def divergence(
        self, policy: Any, inputs: dict[str, torch.Tensor], states: torch.Tensor, reference: torch.Tensor
    ) -> torch.Tensor:
        """Return KL(reference || policy) in nats a token, the mean over both sides' tokens of speech, from the last states of both.

        It is exact, over the whole vocabulary, and zero before the first step.
        """
        following = inputs["input_ids"][:, 1:]
        spoken = inputs["completion_mask"][:, 1:].bool() & self.is_speech.to(following.device)[following]
        head = policy.get_output_embeddings()
        with torch.no_grad():
            before = head(reference[:, :-1][spoken]).float().log_softmax(-1)
        now = head(states[:, :-1][spoken]).float().log_softmax(-1)
        return F.kl_div(now, before, reduction="sum", log_target=True) / spoken.sum().clamp(min=1)


def reference_states(policy: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the last hidden states, (batch, tokens, width), of the reference: the policy without its LoRA."""
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad(), policy.disable_adapter():
        return policy.get_decoder()(**given, use_cache=False).last_hidden_state


@contextmanager
def last_states(policy: Any) -> Iterator[list[torch.Tensor]]:
    """Yield a list that gets the last hidden states, (batch, tokens, width), of each forward pass while the block runs."""
    seen: list[torch.Tensor] = []
    hook = policy.get_decoder().register_forward_hook(
        lambda _module, _args, output: seen.append(output.last_hidden_state)
    )
    try:
        yield seen
    finally:
        hook.remove()
