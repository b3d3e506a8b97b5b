"""Training in stages: each trains the weights that it names, and resumes where it was killed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from factory.corpora.audio import encode
from factory.models.speech_lm import SpeechLM, Spoken
from factory.models.weights import policy_digest
from factory.recipe.part import PartConfig, StageConfig
from factory.recipe.sections import EncoderConfig
from factory.recipe.typed import RecipeError
from schemas.datasets import Row
from schemas.sequences import Variant, prompt, text_prompt
from schemas.spoken import SPOKEN_SEQUENCE
from tests.models.test_speech_encoders import tiny_network
from tests.trainers.toys import WORDS, read_curve
from trainers.errors import TrainingError
from trainers.part import main, train_part
from trainers.part_loop import StageLoop
from trainers.speech_policy import create_speech_policy

ADAPTER = StageConfig(name="adapter", train=("adapter.*",), epochs=4, lr=3e-3)
TOP = StageConfig(name="top", train=("adapter.*", "encoder.*layers.1.*"), epochs=1, lr=3e-4)
LLM = StageConfig(name="llm", train=("adapter.*",), lora=4, tasks={"asr": 1.0, "s2t": 1.0, "mt": 0.5}, lr=1e-3)
QUICK = PartConfig(stages=(ADAPTER, TOP, LLM), tokens=256, save_every=3, log_every=3, precision="fp32")


def speak(words: Sequence[str]) -> np.ndarray:
    """Return a tone of 0.16 s for each word."""
    t = np.arange(2_560) / 16_000
    tones = [0.3 * np.sin(2 * np.pi * (200 + 170 * WORDS[word]) * t) for word in words]
    return np.concatenate(tones).astype(np.float32)


def spoken(name: str, task: Variant, words: Sequence[str]) -> Row:
    target = "fr" if task is Variant.ASR else "en"
    text = " ".join(words if task is Variant.ASR else reversed(words))
    audio = {"bytes": encode(speak(words), "FLAC"), "path": None}
    row = {"sequence_id": name, "task": str(task), "prompt": prompt(task, "fr", target, []), "completion": text}
    return row | {"audio": audio}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 40 transcripts, 20 translations of speech and 10 of text."""
    chance, rows = random.Random(1), []
    for number in range(40):
        words = [chance.choice(list(WORDS)) for _ in range(chance.randint(1, 4))]
        rows.append(spoken(f"asr-{number}", Variant.ASR, words))
        if number < 20:
            rows.append(spoken(f"s2t-{number}", Variant.S2T, words))
        if number < 10:
            question = text_prompt("fr", "en", " ".join(words))
            answer = {"completion": " ".join(reversed(words)), "audio": None}
            rows.append({"sequence_id": f"mt-{number}", "task": "mt", "prompt": question} | answer)
    return write(tmp_path_factory.mktemp("data") / "spoken.parquet", rows)


def write(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=SPOKEN_SEQUENCE), path)
    return path


@pytest.fixture(scope="module")
def start(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech_policy(tmp_path_factory.mktemp("speech"), tiny, QUICK)


def speech_policy(folder: Path, llm: Path, part: PartConfig) -> Path:
    """Write an untrained policy of continuous speech with a tiny wav2vec 2.0 into a new folder, and return its path."""
    torch.set_num_threads(1)
    encoder = EncoderConfig(kind="wav2vec2", model=tiny_network(folder / "encoder", "wav2vec2"), layer=2)
    return create_speech_policy(llm, folder / "policy", encoder=encoder, part=part, langs=("fr", "en"), seed=1)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a policy by the names that patterns match."""
    return dict(SpeechLM.from_pretrained(folder).state_dict())


def changed(one: Path, other: Path) -> set[str]:
    """Return the parts in which two policies differ; of the encoder, with the number of the layer."""
    before, after = weights(one), weights(other)
    assert before.keys() == after.keys()
    names = [name for name in before if not torch.equal(before[name], after[name])]
    layers = {name: re.search(r"^encoder.*layers\.(\d)", name) for name in names}
    return {f"encoder {layer[1]}" if layer else name.partition(".")[0] for name, layer in layers.items()}


@contextmanager
def interrupted(stage: str, step: int) -> Iterator[None]:
    """Interrupt the training in the block, like a kill, in a stage after this number of steps."""
    learn = StageLoop.learn

    def learn_until(self: StageLoop, batches: Sequence[list[Spoken]]) -> list[float]:
        if (self.stage.name, self.step) == (stage, step):
            raise KeyboardInterrupt
        return learn(self, batches)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(StageLoop, "learn", learn_until)
        yield


def test_a_stage_trains_the_weights_that_it_names(start: Path, data: Path, tmp_path: Path) -> None:
    for stage, parts in (
        (ADAPTER, {"adapter"}),
        (TOP, {"adapter", "encoder 1"}),
        (LLM, {"adapter", "llm"}),
        (replace(LLM, train=()), {"llm"}),
        (replace(TOP, train=("encoder.*",)), {"encoder", "encoder 0", "encoder 1"}),
    ):
        out = tmp_path / f"{stage.name}-{len(parts)}-{len(stage.train)}"
        one = replace(QUICK, stages=(replace(stage, steps=2),))
        summary = train_part(data, start, out, one)
        assert changed(start, out) == parts, stage
        assert summary["step"] == 2 and 0 < summary["trained"] < summary["weights"]
    lora = [name for name in weights(tmp_path / "llm-2-1") if "lora" in name]
    assert not lora, "LoRA is merged"
    before, after = weights(start), weights(tmp_path / "llm-2-1")
    kept = [name for name in before if name.startswith("llm.") and ("embed_tokens" in name or "norm" in name)]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept)


def test_a_training_learns_and_its_stages_follow_each_other(start: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    more = replace(QUICK, stages=(replace(ADAPTER, epochs=1), TOP, LLM))
    summary = train_part(data, start, out, more, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["policy"], "the stages before are removed"
    identity = json.loads((out / "identity.json").read_text())
    assert identity["stage"]["name"] == "llm" and [stage["name"] for stage in identity["before"]] == ["adapter", "top"]
    assert identity["start"] == policy_digest(start) != policy_digest(out)
    assert identity["workers"] == 1, "each worker has a batch of every step"
    assert summary["sequences"] == 70 and summary["left_out"] == {}
    made = (out / "adapter.safetensors").stat().st_mtime_ns
    assert train_part(data, start, out, replace(more, save_every=7, threads=2), seed=1) == summary
    assert (out / "adapter.safetensors").stat().st_mtime_ns == made
    with pytest.raises(TrainingError, match=r"was trained with another seed \(1 there, 2 now\)"):
        train_part(data, start, out, more, seed=2)


def test_a_policy_learns_what_tones_say(start: Path, data: Path, tmp_path: Path) -> None:
    every = replace(ADAPTER, train=("*",), epochs=30)
    train_part(data, start, tmp_path / "out", replace(QUICK, stages=(every,), log_every=10), seed=1)
    losses = [line["loss"] for line in read_curve(tmp_path / "out")]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(("stage", "step"), [("adapter", 4), ("top", 1), ("llm", 4)])
def test_a_killed_training_goes_on_in_its_stage(stage: str, step: int, start: Path, data: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    train_part(data, start, whole, QUICK, seed=4)
    with interrupted(stage, step):
        train_part(data, start, tmp_path / "halves", QUICK, seed=4)
    train_part(data, start, tmp_path / "halves", QUICK, seed=4)
    before, after = weights(whole), weights(tmp_path / "halves")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [line["step"] for line in read_curve(whole)][-1] == read_curve(tmp_path / "halves")[-1]["of"]


def test_recordings_that_cannot_be_used_are_counted(start: Path, data: Path, tmp_path: Path) -> None:
    good = [spoken(f"g{number}", Variant.ASR, ["gare"]) for number in range(3)]
    torn = spoken("torn", Variant.ASR, ["gare"]) | {"audio": {"bytes": b"RIFFxx", "path": None}}
    short = spoken("short", Variant.ASR, ["gare"])
    short["audio"]["bytes"] = encode(speak(["gare"])[:390], "FLAC")  # the encoder needs 400 samples
    wordy = spoken("wordy", Variant.ASR, ["gare"]) | {"completion": "gare " * 200}
    path = write(tmp_path / "some.parquet", [*good, torn, short, wordy])
    one = replace(QUICK, stages=(replace(ADAPTER, steps=1),))
    summary = train_part(path, start, tmp_path / "out", one)
    assert summary["sequences"] == 3
    assert sum(summary["left_out"].values()) == 3 and summary["left_out"]["too_long"] == 1
    with pytest.raises(TrainingError, match="has no sequence with a recording that can be used"):
        train_part(write(tmp_path / "torn.parquet", [torn]), start, tmp_path / "none", one)


def test_what_cannot_be_trained_is_refused(start: Path, data: Path, tmp_path: Path) -> None:
    def refuse(part: PartConfig, path: Path = data) -> str:
        with pytest.raises(TrainingError) as caught:
            train_part(path, start, tmp_path / uuid4().hex, part)
        return str(caught.value)

    wrong = replace(QUICK, stages=(replace(TOP, train=("adaptor.shrink.weight",)),))
    assert "stage top: no weight is called adaptor.shrink.weight" in refuse(wrong)
    assert "near it are adapter.shrink.weight" in refuse(wrong)
    assert "part.stages is empty" in refuse(replace(QUICK, stages=()))
    spoken_mt = replace(QUICK, stages=(replace(ADAPTER, tasks={"s2t": 1.0}),))
    only_asr = write(tmp_path / "asr.parquet", [spoken("a", Variant.ASR, ["gare"])])
    assert "its tasks (s2t) need sequences; the data has 1 of asr" in refuse(spoken_mt, only_asr)
    silent = spoken("a", Variant.ASR, ["gare"]) | {"audio": None}
    message = refuse(QUICK, write(tmp_path / "silent.parquet", [silent]))
    assert "row 0 of" in message and "has 1 places for speech" in message and "and no recording" in message
    pq.write_table(pq.read_table(data).drop_columns("audio"), tmp_path / "mute.parquet")
    assert "has no column audio" in refuse(QUICK, tmp_path / "mute.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": (), "lora": None}, "train must hold a pattern, or lora a rank"),
        ({"tasks": {"com": 1.0}}, "a task is 'com', which is unknown: .*asr"),
        ({"tasks": {"asr": 0.0}}, "tasks must hold a task with a weight above 0"),
        ({"tasks": {"asr": -1.0}}, "the weight of asr must not be negative"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"steps": 0}, "steps must be 1 or more, or null"),
        ({"lora": 0, "train": ("adapter.*",)}, "lora must be a rank of 1 or more"),
        ({"name": "a/b"}, "a stage needs a name without a slash"),
    ],
)
def test_a_stage_checks_its_keys(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        replace(ADAPTER, **change)


def test_stages_have_different_names_and_sizes_are_positive() -> None:
    with pytest.raises(RecipeError, match="part.stages must have different names"):
        PartConfig(stages=(ADAPTER, ADAPTER))
    with pytest.raises(RecipeError, match="part.stride must be 1 or more; got 0"):
        PartConfig(stride=0)


def test_the_command_line(start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = 'stages=[{name: one, train: ["adapter.*"], steps: 1}]'
    arguments = ["--data", str(data), "--start", str(start), "--out", str(tmp_path / "out"), stages, "precision=fp32"]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "out/training.json").read_text())["step"] == 1
    assert main([*arguments[:-2], 'stages=[{name: one, train: ["nothing"]}]', "--seed", "1"]) == 2
    assert "another" in capsys.readouterr().err
