"""Supervised training from its data to its policy: it learns, resumes where it was killed, and keeps its identity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from factory.models.weights import WeightsError
from factory.recipe.training import InterleaveConfig, SftConfig
from tests.trainers.toys import interrupt_sft, read_curve
from trainers.errors import TrainingError
from trainers.sft import train_sft

QUICK = SftConfig(epochs=4, tokens=512, save_every=5, log_every=5, compile=False, lr=5e-3)


def test_a_training_learns_and_publishes_a_policy(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    config, out = replace(QUICK, epochs=12), tmp_path / "policy"
    summary = train_sft(sequences, tiny, out, config, dev=sequences, seed=1)
    curve = read_curve(out)
    assert curve[-1]["dev_loss"] < 0.6 * curve[0]["dev_loss"]
    assert curve[-1]["step"] == summary["step"] == summary["of"]
    assert summary["sequences"] == 120 and summary["too_long"] == 0 and summary["seed"] == 1
    assert summary["settings"]["epochs"] == 12
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    AutoModelForCausalLM.from_pretrained(out)
    assert (out / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    made = (out / "model.safetensors").stat().st_mtime_ns
    assert train_sft(sequences, tiny, out, replace(config, save_every=7, threads=2), dev=sequences, seed=1) == summary
    assert (out / "model.safetensors").stat().st_mtime_ns == made


def test_a_published_policy_is_not_taken_for_another(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "policy", replace(QUICK, epochs=1)
    train_sft(sequences, tiny, out, config, seed=1)
    with pytest.raises(TrainingError, match=r"policy was trained with another lr \(0.005 there, 0.1 now\)"):
        train_sft(sequences, tiny, out, replace(config, lr=0.1), seed=1)
    with pytest.raises(TrainingError, match=r"policy was trained with another start \(\w{16} there, \w{16} now\)"):
        train_sft(sequences, out, out, config, seed=1)


def test_a_killed_training_resumes_exactly(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    train_sft(sequences, tiny, tmp_path / "whole", QUICK, seed=4)
    with interrupt_sft(step=12):
        train_sft(sequences, tiny, tmp_path / "halves", QUICK, seed=4)
    with pytest.raises(TrainingError, match=r"another lr \(0.005 there, 0.1 now\), seed \(4 there, 5 now\); delete it"):
        train_sft(sequences, tiny, tmp_path / "halves", replace(QUICK, lr=0.1), seed=5)
    train_sft(sequences, tiny, tmp_path / "halves", replace(QUICK, log_every=1), seed=4)

    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name
    steps = [line["step"] for line in read_curve(tmp_path / "halves")]
    assert steps[:4] == [5, 10, 11, 12]  # the two steps after the checkpoint were taken again


def test_a_killed_interleaved_training_resumes_exactly(tiny: Path, spoken: Path, tmp_path: Path) -> None:
    config = replace(QUICK, interleave=InterleaveConfig(start=0.9, step=0.2, every=3))
    summary = train_sft(spoken, tiny, tmp_path / "whole", config, seed=4)
    with interrupt_sft(step=12):
        train_sft(spoken, tiny, tmp_path / "halves", config, seed=4)
    with pytest.raises(TrainingError, match=r"another interleave \({'start': 0.9, .*'every': 3, .* there, None now\)"):
        train_sft(spoken, tiny, tmp_path / "halves", QUICK, seed=4)
    assert train_sft(spoken, tiny, tmp_path / "halves", config, seed=4)["text_share"] == summary["text_share"]

    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name
    first, second = (
        [(line["step"], line["words"], line["text_share"]) for line in read_curve(tmp_path / name)]
        for name in ("whole", "halves")
    )
    assert first == second and [step for step, *_ in first[:3]] == [5, 10, 15]


def test_training_json_says_how_much_was_text(
    tiny: Path, spoken: Path, sequences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(QUICK, interleave=InterleaveConfig(start=0.5, step=0.5, every=10))
    summary = train_sft(spoken, tiny, tmp_path / "policy", config)
    assert "  sft interleaves: the share of text goes from 0.5 to 0 in " in capsys.readouterr().out
    curve = read_curve(tmp_path / "policy")
    assert summary["without_words"] == 6 and summary["sequences"] == 60
    assert summary["words"] == sum(line["words"] for line in curve) > 500
    text_words = sum(line["words"] * line["text_share"] for line in curve)
    assert summary["text_share"] == pytest.approx(text_words / summary["words"], abs=1e-4)
    assert 0 == curve[-1]["text_share"] < summary["text_share"] < curve[0]["text_share"]
    plain = train_sft(spoken, tiny, tmp_path / "plain", replace(QUICK, epochs=1))
    assert (
        plain["without_words"] is None
        and "words" not in plain
        and "text_share" not in read_curve(tmp_path / "plain")[0]
    )


def test_the_number_of_workers_counts_only_without_a_number_of_batches(
    tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    for name, config in (("a", replace(QUICK, epochs=1)), ("b", replace(QUICK, epochs=1, batches=1))):
        train_sft(sequences, tiny, tmp_path / name, config)
    workers = [json.loads((tmp_path / name / "identity.json").read_text())["workers"] for name in "ab"]
    assert workers == [1, None]


def test_a_training_resumes_on_a_machine_with_another_precision(
    tiny: Path, sequences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity says `auto`; training.json says which precision the machine had."""
    config, out = replace(QUICK, epochs=1), tmp_path / "policy"
    monkeypatch.setattr("factory.models.device.cpu_has_bf16", lambda: True)
    with interrupt_sft(step=5):
        train_sft(sequences, tiny, out, config)
    monkeypatch.setattr("factory.models.device.cpu_has_bf16", lambda: False)
    assert train_sft(sequences, tiny, out, config)["settings"]["precision"] == "fp32"
    assert json.loads((out / "identity.json").read_text())["precision"] == "auto"
    with pytest.raises(TrainingError, match=r"another precision \(auto there, bf16 now\)"):
        train_sft(sequences, tiny, out, replace(config, precision="bf16"))


def test_lora_is_merged_into_the_layers(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    config = replace(QUICK, rank=4, epochs=2)
    summary = train_sft(sequences, tiny, tmp_path / "policy", config, dev=sequences, seed=1)
    curve = read_curve(tmp_path / "policy")
    assert curve[-1]["dev_loss"] == summary["dev_loss"] < curve[0]["dev_loss"]
    before, after = load_file(tiny / "model.safetensors"), load_file(tmp_path / "policy/model.safetensors")
    assert {name: weight.shape for name, weight in before.items()} == {
        name: weight.shape for name, weight in after.items()
    }
    for name, weight in before.items():
        change = after[name] - weight
        assert torch.count_nonzero(change) == 0 if "norm" in name else torch.count_nonzero(change) > 0, name
        assert "_proj" not in name or torch.linalg.matrix_rank(change.float(), rtol=1e-3) <= 4


def test_activations_that_are_computed_twice_change_nothing(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    config = replace(QUICK, epochs=1, precision="fp32")
    train_sft(sequences, tiny, tmp_path / "kept", config, seed=1)
    train_sft(sequences, tiny, tmp_path / "twice", replace(config, checkpointing=True), seed=1)
    kept, twice = (load_file(tmp_path / name / "model.safetensors") for name in ("kept", "twice"))
    for name, weight in kept.items():
        torch.testing.assert_close(twice[name], weight, atol=1e-6, rtol=1e-5)


def test_missing_data_and_a_missing_policy_are_errors_of_the_user(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        train_sft(tmp_path / "nowhere", tiny, tmp_path / "policy", QUICK)
    with pytest.raises(WeightsError, match="nowhere"):
        train_sft(sequences, tmp_path / "nowhere", tmp_path / "policy", QUICK)
