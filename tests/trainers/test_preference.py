"""Preference training from its pairs to its policy: it learns, resumes after a kill, and refuses unusable pairs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from factory.recipe.training import Loss, PreferenceConfig
from schemas.sequences import Variant, prompt
from tests.trainers.toys import interrupt_preference, pair, read_curve
from trainers.errors import TrainingError
from trainers.preference import train_preference
from trainers.remote import last_checkpoint

QUICK = PreferenceConfig(batch=8, epochs=2, lr=5e-3, held_out=0.2, save_every=2, precision="fp32")


@pytest.mark.parametrize("loss", list(Loss))
def test_a_training_makes_a_policy(tiny: Path, pairs: Path, tmp_path: Path, loss: Loss) -> None:
    config, out = replace(QUICK, loss=loss), tmp_path / "policy"
    summary = train_preference(pairs, tiny, out, config, seed=2)
    curve = read_curve(out)
    if loss.needs_reference_model:
        assert summary["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert summary["first_loss"] == curve[0]["loss"]
    assert (summary["pairs"], summary["too_long"], summary["step"], summary["seed"]) == (40, 0, 8, 2)
    assert summary["settings"]["loss"] == loss
    assert {"loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"} <= set(curve[0])
    measured = [line for line in curve if "eval_rewards/margins" in line]
    assert len(measured) == 2
    assert summary["held_out"] == measured[-1] and measured[-1]["eval_rewards/accuracies"] > 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert (out / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert AutoModelForCausalLM.from_pretrained(out).config.use_cache
    assert train_preference(pairs, tiny, out, replace(config, save_every=9), seed=2) == summary


def test_lora_is_merged_into_every_linear_layer_and_kept_next_to_it(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    train_preference(pairs, tiny, tmp_path / "policy", QUICK, seed=2)
    before, after = load_file(tiny / "model.safetensors"), load_file(tmp_path / "policy/model.safetensors")
    assert {name: weight.shape for name, weight in before.items()} == {
        name: weight.shape for name, weight in after.items()
    }
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj" in name}
    assert json.loads((tmp_path / "policy/adapter/adapter_config.json").read_text())["r"] == QUICK.rank


def test_speech_does_not_diverge_before_the_first_step(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    config = replace(QUICK, precision="bf16", unit_weight=0.0, unit_kl=2.0)
    train_preference(pairs, tiny, tmp_path / "policy", config)
    divergences = [line["unit_kl"] for line in read_curve(tmp_path / "policy") if "unit_kl" in line]
    assert abs(divergences[0]) < 1e-4 < divergences[-1]  # rounding to bf16 depends on the shape of a batch


def test_a_killed_training_resumes_from_its_last_complete_checkpoint(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    train_preference(pairs, tiny, tmp_path / "whole", QUICK, seed=2)
    with interrupt_preference(step=5):
        train_preference(pairs, tiny, tmp_path / "halves", QUICK, seed=2)
    work = tmp_path / "halves.work"
    (work / "checkpoint-5").mkdir()  # a kill during its writing
    assert last_checkpoint(work) == str(work / "checkpoint-4")
    train_preference(pairs, tiny, tmp_path / "halves", QUICK, seed=2)
    assert [line["step"] for line in read_curve(tmp_path / "halves") if "loss" in line] == list(range(1, 9))
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, weight in whole.items():
        torch.testing.assert_close(halves[name], weight, atol=1e-6, rtol=1e-5)


def test_another_policy_or_other_pairs_are_another_training(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    with interrupt_preference(step=1):
        train_preference(pairs, tiny, tmp_path / "policy", QUICK)
    other = tmp_path / "pairs.parquet"
    pq.write_table(pq.read_table(pairs).slice(1), other)
    with pytest.raises(TrainingError, match=r"policy.work holds an unfinished training with another pairs \(\w{64} th"):
        train_preference(other, tiny, tmp_path / "policy", QUICK)
    with pytest.raises(TrainingError, match=r"another beta \(0.1 there, 0.2 now\), seed \(0 there, 1 now\)"):
        train_preference(pairs, tiny, tmp_path / "policy", replace(QUICK, beta=0.2), seed=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rejected": pair(3)["chosen"]}, "row 1 of .* has the same text as chosen and as rejected"),
        ({"chosen": ""}, "row 1 of .* has an empty prompt, chosen or rejected text"),
        *(
            ({side: prompt(Variant.COM, "fr", "de", [1, 99])}, r"the policy .* has no token <\|de\|>, <\|u99\|>: its")
            for side in ("prompt", "chosen", "rejected")
        ),
    ],
    ids=["equal sides", "an empty side", "unknown tokens", "unknown in chosen", "unknown in rejected"],
)
def test_pairs_that_cannot_be_used_are_named(tiny: Path, tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    pq.write_table(pa.Table.from_pylist([pair(0), pair(3) | change]), tmp_path / "pairs.parquet")
    with pytest.raises(TrainingError, match=sentence):
        train_preference(tmp_path / "pairs.parquet", tiny, tmp_path / "policy", QUICK)


def test_layers_that_the_policy_lacks_are_named(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    sentence = "preference.targets names qkv, which tiny does not have; its linear layers are down_proj, gate_proj"
    with pytest.raises(TrainingError, match=sentence):
        train_preference(pairs, tiny, tmp_path / "policy", replace(QUICK, targets=("q_proj", "qkv")))
