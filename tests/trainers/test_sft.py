"""Supervised training: what is learned, what a batch holds, and that a training goes on where it was killed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.recipe.training import SftConfig
from factory.recipe.typed import RecipeError
from schemas.sequences import EOS, Variant, parse
from trainers.batches import IGNORED, Batch, Batches
from trainers.sft import CompletionLoss, Sft, train_sft

QUICK = {"epochs": 4, "tokens": 512, "save_every": 5, "log_every": 5, "compile": False, "lr": 5e-3}


@pytest.fixture(scope="module")
def batches(tiny: Path, sequences: Path) -> Batches:
    """The sequences, encoded."""
    return Batches(sequences, AutoTokenizer.from_pretrained(tiny), 128)


def test_a_plan_holds_every_sequence_once_within_the_budget(batches: Batches) -> None:
    plan = batches.plan(512, seed=1)
    assert sorted(index for some in plan for index in some) == list(range(120))
    assert all(batches.batch(some).ids.numel() <= 512 for some in plan)
    padding = sum(batches.batch(some).ids.numel() for some in plan) / sum(
        sequence.length for sequence in batches.sequences
    )
    assert padding < 1.5
    assert plan == batches.plan(512, seed=1)
    assert plan != batches.plan(512, seed=1, epoch=1)
    assert plan != batches.plan(512, seed=2)


def test_a_task_with_a_weight_comes_so_often(batches: Batches) -> None:
    plans = [batches.plan(512, 1, epoch, {"asr": 0.5}) for epoch in range(50)]
    drawn = Counter(batches.sequences[index].task for plan in plans for some in plan for index in some)
    assert drawn["com"] == 80 * 50
    assert 0.45 < drawn["asr"] / (40 * 50) < 0.55
    thrice = Counter(index for some in batches.plan(512, 1, 0, {"asr": 3, "com": 0}) for index in some)
    assert set(thrice.values()) == {3}
    assert len(thrice) == 40


def test_a_batch_learns_completions_with_one_end_token(batches: Batches, tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids, labels = batches.batch([0, 1, 2])
    for row, sequence in enumerate(batches.sequences[:3]):
        assert ids[row, : sequence.length].tolist() == [*sequence.prompt, *sequence.completion]
        assert labels[row][labels[row] != IGNORED].tolist() == sequence.completion.tolist()
        assert (labels[row, : len(sequence.prompt)] == IGNORED).all()
        assert (ids[row, sequence.length :] == tokenizer.pad_token_id).all()
        text = tokenizer.decode(sequence.completion)
        assert text.endswith(EOS)
        assert text.count(EOS) == 1
        assert parse(Variant(sequence.task), text.removesuffix(EOS)).reason == "ok"


def test_noise_replaces_units_of_the_prompt_and_nothing_else(batches: Batches, tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    clean, noisy = (batches.batch(range(120), noise, seed=(7,)) for noise in (0.0, 0.5))
    units = torch.tensor(tokenizer.convert_tokens_to_ids([f"<|u{unit}|>" for unit in range(24)]))
    source = torch.isin(clean.ids, units) & (clean.labels == IGNORED)
    changed = clean.ids != noisy.ids
    assert not (changed & ~source).any()
    assert 0.4 < changed[source].float().mean() < 0.55  # a unit may be drawn for itself
    assert torch.isin(noisy.ids[changed], units).all()
    assert torch.equal(clean.labels, noisy.labels)
    assert torch.equal(noisy.ids, batches.batch(range(120), 0.5, seed=(7,)).ids)
    assert not torch.equal(noisy.ids, batches.batch(range(120), 0.5, seed=(8,)).ids)


def test_long_sequences_are_counted_and_left_out(tiny: Path, sequences: Path, batches: Batches) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    shorter = Batches(sequences, tokenizer, 40)
    assert shorter.too_long == sum(sequence.length > 40 for sequence in batches.sequences) > 0
    with pytest.raises(ValueError, match="none of the 120 sequences in .* fits into 5 tokens"):
        Batches(sequences, tokenizer, 5)


def test_the_loss_is_the_cross_entropy_of_the_completion(tiny: Path, batches: Batches) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny)
    total, number = CompletionLoss(model, bf16=False, compiled=False)(*batches.batch([0, 5, 9]))
    wanted = torch.zeros(())
    for sequence in (batches.sequences[index] for index in (0, 5, 9)):
        ids = torch.from_numpy(np.concatenate([sequence.prompt, sequence.completion]))[None]
        logits = model(input_ids=ids).logits[0, len(sequence.prompt) - 1 : -1]
        wanted = wanted + F.cross_entropy(logits, ids[0, len(sequence.prompt) :], reduction="sum")
    assert number == sum(len(batches.sequences[index].completion) for index in (0, 5, 9))
    torch.testing.assert_close(total, wanted)


def test_training_learns_and_publishes_a_policy(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    told = train_sft(sequences, tiny, tmp_path / "policy", settings=QUICK | {"epochs": 12}, dev=sequences, seed=1)
    curve = [json.loads(line) for line in (tmp_path / "policy/training.jsonl").read_text().splitlines()]
    assert curve[-1]["dev_loss"] < 0.6 * curve[0]["dev_loss"]
    assert curve[-1]["step"] == told["step"] == told["of"]
    assert told["sequences"] == 120
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    assert (tmp_path / "policy/tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert (
        train_sft(sequences, tiny, tmp_path / "policy", settings=QUICK | {"epochs": 12}, seed=1) == told
    )  # published: left alone


def test_a_training_goes_on_exactly_where_it_stopped(
    tiny: Path, sequences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_sft(sequences, tiny, tmp_path / "whole", settings=QUICK, seed=4)
    with monkeypatch.context() as patched:
        learn, died = Sft._learn, KeyboardInterrupt()

        def until(self: Sft, batches: list[Batch]) -> list[float]:
            if self.step == 12:
                raise died
            return learn(self, batches)

        patched.setattr(Sft, "_learn", until)
        with pytest.raises(KeyboardInterrupt):
            train_sft(sequences, tiny, tmp_path / "halves", settings=QUICK, seed=4)
    with pytest.raises(ValueError, match=r"another lr \(0.005 there, 0.1 now\), seed \(4 there, 5 now\); delete it"):
        train_sft(sequences, tiny, tmp_path / "halves", settings=QUICK | {"lr": 0.1}, seed=5)
    train_sft(sequences, tiny, tmp_path / "halves", settings=QUICK | {"log_every": 1}, seed=4)

    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "halves/training.jsonl").read_text().splitlines()]
    assert steps[:4] == [5, 10, 11, 12]  # the two steps behind the checkpoint were done again


def test_a_training_goes_on_on_a_machine_with_another_precision(
    tiny: Path, sequences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` is what a training is; what it was in the end stands in training.json."""
    settings = {key: value for key, value in QUICK.items() if key != "precision"} | {"epochs": 1}
    learn = Sft._learn

    def until(self: Sft, batches: list[Batch]) -> list[float]:
        if self.step == 5:
            raise KeyboardInterrupt
        return learn(self, batches)

    with monkeypatch.context() as patched:
        patched.setattr("factory.models.device.cpu_has_bf16", lambda: True)
        patched.setattr(Sft, "_learn", until)
        with pytest.raises(KeyboardInterrupt):
            train_sft(sequences, tiny, tmp_path / "policy", settings=settings)
    monkeypatch.setattr("factory.models.device.cpu_has_bf16", lambda: False)
    told = train_sft(sequences, tiny, tmp_path / "policy", settings=settings)
    assert told["settings"]["precision"] == "fp32"
    assert json.loads((tmp_path / "policy/identity.json").read_text())["precision"] == "auto"
    with pytest.raises(ValueError, match=r"another precision \(auto there, bf16 now\)"):
        train_sft(sequences, tiny, tmp_path / "policy", settings=settings | {"precision": "bf16"})


def test_unknown_settings_are_named(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="sft.learning_rate is no key of sft: expected one of epochs, tokens"):
        train_sft(sequences, tiny, tmp_path / "policy", settings={"learning_rate": 1e-3})
    with pytest.raises(RecipeError, match="sft.epochs must be a whole number; got 'many'"):
        train_sft(sequences, tiny, tmp_path / "policy", settings={"epochs": "many"})
    with pytest.raises(RecipeError, match="sft.epochs must be 1 or more; got 0"):
        train_sft(sequences, tiny, tmp_path / "policy", settings={"epochs": 0})


def test_fewer_batches_than_a_step_needs_are_told(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    few = QUICK | {"epochs": 1, "tokens": 100_000, "batches": 2}
    sentence = r"a step needs sft.batches \(2\) batches, and all epochs together have only 1 of sft.tokens \(100000\): lower sft.batches"
    with pytest.raises(ValueError, match=sentence):
        train_sft(sequences, tiny, tmp_path / "policy", settings=few)
    assert train_sft(sequences, tiny, tmp_path / "other", settings=few | {"batches": 1})["of"] == 1


@pytest.mark.slow
def test_compiled_and_bf16_training_come_out_near(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    def loss(**settings: object) -> float:
        training = Sft(sequences, None, tiny, tmp_path, SftConfig(**(QUICK | {"epochs": 1} | settings)), seed=0)
        return float(training.run()["loss"])

    plain = loss(precision="fp32")
    assert loss(precision="bf16") == pytest.approx(plain, rel=0.02)
    (tmp_path / "checkpoint.pt").unlink()
    assert loss(precision="bf16", compile=True) == pytest.approx(plain, rel=0.02)


def test_lora_leaves_the_layers_to_its_adapter_and_comes_out_merged(
    tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    told = train_sft(
        sequences, tiny, tmp_path / "policy", settings=QUICK | {"rank": 4, "epochs": 2}, dev=sequences, seed=1
    )
    curve = [json.loads(line) for line in (tmp_path / "policy/training.jsonl").read_text().splitlines()]
    assert curve[-1]["dev_loss"] == told["dev_loss"] < curve[0]["dev_loss"]
    before, after = load_file(tiny / "model.safetensors"), load_file(tmp_path / "policy/model.safetensors")
    assert {name: weight.shape for name, weight in before.items()} == {
        name: weight.shape for name, weight in after.items()
    }
    for name, weight in before.items():
        change = after[name] - weight
        assert torch.count_nonzero(change) == 0 if "norm" in name else torch.count_nonzero(change) > 0, name
        assert "_proj" not in name or torch.linalg.matrix_rank(change.float(), rtol=1e-3) <= 4


def test_activations_that_are_computed_twice_change_nothing(tiny: Path, sequences: Path, tmp_path: Path) -> None:
    for name, twice in (("kept", False), ("twice", True)):
        train_sft(
            sequences,
            tiny,
            tmp_path / name,
            settings=QUICK | {"epochs": 1, "precision": "fp32", "checkpointing": twice},
            seed=1,
        )
    kept, twice = (load_file(tmp_path / name / "model.safetensors") for name in ("kept", "twice"))
    for name, weight in kept.items():
        torch.testing.assert_close(twice[name], weight, atol=1e-6, rtol=1e-5)


def test_tokens_that_the_policy_lacks_are_named(tiny: Path, tmp_path: Path) -> None:
    row = {
        "sequence_id": "a",
        "task": "com",
        "prompt": "<|com|><|fr|><|en|><|sosp|><|u400|><|eosp|>",
        "completion": "gare",
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"has no token <\|u400\|>: its vocabulary was made for another codebook"):
        train_sft(tmp_path / "data.parquet", tiny, tmp_path / "policy", settings=QUICK)
