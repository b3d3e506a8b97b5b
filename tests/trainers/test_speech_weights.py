"""Weights on tokens of speech, and the divergence from the reference, against their formulas on made-up numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoTokenizer

from schemas.sequences import EOS, EOSP, SOSP
from trainers.speech_weights import CHUNK_LOGITS, UnitWeights, divergence

TEXT = ["gare", "<|com|>", "<|fr|>", SOSP, "<|pad|>"]
SPEECH = ["<|u0|>", "<|u23|>", EOSP, EOS]


class Model(nn.Module):
    """Returns fixed log-probabilities, as TRL's forward pass does."""

    def __init__(self, log_probs: Tensor) -> None:
        super().__init__()
        self.log_probs = log_probs

    def forward(self, labels: Tensor) -> SimpleNamespace:
        return SimpleNamespace(log_probs=self.log_probs.clone())


def ids_of(tiny: Path, tokens: list[str]) -> list[int]:
    """Return the ids of tokens."""
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    return [tokenizer(token, add_special_tokens=False)["input_ids"][0] for token in tokens]


def test_units_and_the_tokens_that_end_speech_are_speech(tiny: Path) -> None:
    weights = UnitWeights(AutoTokenizer.from_pretrained(tiny), 0.25)
    assert weights.weights[ids_of(tiny, SPEECH)].tolist() == [0.25] * 4
    assert weights.weights[ids_of(tiny, TEXT)].tolist() == [1.0] * 5
    assert int(weights.is_speech.sum()) == 24 + 2
    assert torch.equal(weights.weights == 0.25, weights.is_speech)


def test_log_probabilities_are_weighed_and_those_of_prompts_are_removed(tiny: Path) -> None:
    text, unit = ids_of(tiny, ["gare", "<|u1|>"])
    ids = torch.tensor([[text, text, text, unit], [text, text, unit, text]])
    inputs = {"input_ids": ids, "completion_mask": torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])}
    model = Model(-torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]))
    weights = UnitWeights(AutoTokenizer.from_pretrained(tiny), 0.25)
    with weights.applied_to(model, inputs):
        weighed = model(labels=ids).log_probs
    assert weighed.tolist() == [[0.0, -2.0, -1.0], [-8.0, -4.0, 0.0]]
    assert float(weights.chosen_loss) == pytest.approx((2.0 + 1.0) / 1.25)  # the first half of the batch is chosen
    assert model(labels=ids).log_probs.tolist() == model.log_probs.tolist()


def test_without_a_learned_token_the_loss_of_the_chosen_side_is_zero(tiny: Path) -> None:
    model, weights = Model(torch.zeros(2, 3)), UnitWeights(AutoTokenizer.from_pretrained(tiny), 0.0)
    inputs = {"input_ids": torch.zeros(2, 4, dtype=torch.long), "completion_mask": torch.zeros(2, 4)}
    with weights.applied_to(model, inputs):
        model(labels=inputs["input_ids"])
    assert float(weights.chosen_loss) == 0.0


@pytest.mark.parametrize(("weight", "learned"), [(0.0, [0, 1, 0, 0]), (0.5, [0, 1, 1, 0])])
def test_tokens_with_a_weight_are_learned(tiny: Path, weight: float, learned: list[int]) -> None:
    text, unit = ids_of(tiny, ["gare", "<|u1|>"])
    inputs = {"input_ids": torch.tensor([[text, text, unit, unit]]), "completion_mask": torch.tensor([[0, 1, 1, 0]])}
    assert UnitWeights(AutoTokenizer.from_pretrained(tiny), weight).learned(inputs).long().tolist() == [learned]


@pytest.mark.parametrize(("share", "pairs"), [(0.25, 1), (0.3, 2), (0.5, 2), (1.0, 4)])
def test_speech_is_that_of_both_sides_of_the_first_pairs(tiny: Path, share: float, pairs: int) -> None:
    text, unit = ids_of(tiny, ["gare", "<|u1|>"])
    inputs = {"input_ids": torch.tensor([[unit, text, unit, unit]] * 8), "completion_mask": torch.ones(8, 4)}
    spoken = UnitWeights(AutoTokenizer.from_pretrained(tiny), 0.0).spoken(inputs, share)
    side = [[0, 1, 1]] * pairs + [[0, 0, 0]] * (4 - pairs)
    assert spoken.long().tolist() == side * 2


def test_the_divergence_is_the_mean_over_tokens() -> None:
    torch.manual_seed(0)
    head, states, reference = nn.Linear(5, 7), torch.randn(3, 5), torch.randn(3, 5)
    p = head(reference).softmax(-1)
    each = (p * (p.log() - head(states).log_softmax(-1))).sum(-1)
    assert float(divergence(head, states, reference)) == pytest.approx(float(each.mean()), rel=1e-5)
    assert float(divergence(head, states, states)) == pytest.approx(0, abs=1e-6)
    assert float(divergence(head, states[:0], states[:0])) == 0


def test_gradients_reach_the_policy_and_not_the_reference() -> None:
    states, reference = (torch.randn(2, 5, requires_grad=True) for _ in range(2))
    divergence(nn.Linear(5, 7), states, reference).backward()
    assert states.grad is not None and states.grad.abs().sum() > 0 and reference.grad is None


class LargestTensor(TorchDispatchMode):
    """Notes the most elements of a tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and func is not torch.ops.aten.t.default:
            self.elements = max(self.elements, result.numel())
        return result


def test_a_large_vocabulary_is_computed_in_chunks() -> None:
    torch.manual_seed(0)
    head, tokens = nn.Linear(8, 128_000, bias=False).requires_grad_(False), 100
    states, reference = torch.randn(tokens, 8, requires_grad=True), torch.randn(tokens, 8)
    whole = F.kl_div(head(states).log_softmax(-1), head(reference).log_softmax(-1), reduction="sum", log_target=True)
    [expected] = torch.autograd.grad(whole / tokens, states)
    with LargestTensor() as largest:
        value = divergence(head, states, reference)
        [gradient] = torch.autograd.grad(value, states)
    torch.testing.assert_close(value, whole / tokens)
    torch.testing.assert_close(gradient, expected)
    assert largest.elements <= max(CHUNK_LOGITS, head.weight.numel()) < tokens * 128_000 / 2
