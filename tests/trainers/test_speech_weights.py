"""Weights on tokens of speech, and the divergence from the reference, against their formulas on made-up numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from schemas.sequences import EOS, EOSP, SOSP
from trainers.speech_weights import UnitWeights, last_states, reference_states

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
    labels = torch.tensor([[text, -100, text, unit], [text, text, unit, -100]])
    model = Model(-torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]))
    weights = UnitWeights(AutoTokenizer.from_pretrained(tiny), 0.25)
    with weights.applied_to(model):
        weighed = model(labels=labels).log_probs
    assert weighed.tolist() == [[0.0, -2.0, -1.0], [-8.0, -4.0, 0.0]]
    assert float(weights.chosen_loss) == pytest.approx((2.0 + 1.0) / 1.25)  # the first half of the batch is chosen
    assert model(labels=labels).log_probs.tolist() == model.log_probs.tolist()


def test_without_a_learned_token_the_loss_of_the_chosen_side_is_zero(tiny: Path) -> None:
    model, weights = Model(torch.zeros(2, 3)), UnitWeights(AutoTokenizer.from_pretrained(tiny), 0.0)
    with weights.applied_to(model):
        model(labels=torch.full((2, 4), -100))
    assert float(weights.chosen_loss) == 0.0


def test_the_divergence_is_the_mean_over_tokens_of_speech(tiny: Path) -> None:
    text, unit = ids_of(tiny, ["gare", "<|u1|>"])
    ids = torch.tensor([[unit, text, unit, unit], [text, unit, text, unit]])
    mask = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1]])
    torch.manual_seed(0)
    head, states, reference = nn.Linear(5, 7), torch.randn(2, 4, 5), torch.randn(2, 4, 5)
    weights = UnitWeights(AutoTokenizer.from_pretrained(tiny), 1.0)
    inputs = {"input_ids": ids, "completion_mask": mask}
    each = []
    for row, before in ((0, 1), (1, 2)):  # the states that predict the two learned units
        p = head(reference[row, before]).softmax(-1)
        each.append(float((p * (p.log() - head(states[row, before]).log_softmax(-1))).sum()))
    assert float(weights.divergence(head, inputs, states, reference)) == pytest.approx(sum(each) / 2, rel=1e-5)
    assert float(weights.divergence(head, inputs, states, states)) == pytest.approx(0, abs=1e-6)
    silent = inputs | {"completion_mask": torch.zeros(2, 4)}
    assert float(weights.divergence(head, silent, states, reference)) == 0


def test_gradients_reach_the_policy_and_not_the_reference(tiny: Path) -> None:
    [unit] = ids_of(tiny, ["<|u1|>"])
    states, reference = (torch.randn(1, 2, 5, requires_grad=True) for _ in range(2))
    inputs = {"input_ids": torch.full((1, 2), unit), "completion_mask": torch.ones(1, 2)}
    weights = UnitWeights(AutoTokenizer.from_pretrained(tiny), 1.0)
    weights.divergence(nn.Linear(5, 7), inputs, states, reference).backward()
    assert states.grad is not None and states.grad.abs().sum() > 0 and reference.grad is None


def test_the_reference_is_the_policy_without_its_lora(tiny: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(tiny).eval()
    policy = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), LoraConfig(r=2, target_modules="all-linear"))
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    ids = torch.tensor([[5, 6, 7, 8]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    expected = plain.model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(reference_states(policy, inputs), expected)
    assert not reference_states(policy, inputs).requires_grad
    with last_states(policy) as states:
        logits = policy(input_ids=ids).logits
    policy(input_ids=ids)
    assert len(states) == 1 and not torch.allclose(states[0], expected)
    torch.testing.assert_close(plain.lm_head(states[0]), logits)
