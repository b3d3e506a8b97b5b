"""Rounds over a policy that hears continuous speech: from paired units to a second policy, its report and export."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.cli import main as roundtrip
from factory.models.speech_config import read_front_config
from factory.run_round import main
from factory.storage.dataset import DatasetDir
from tests.test_rounds import ASSETS, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

RECIPE = str(ROOT / "recipes/phrasebook_part.yaml")
SMALL = {
    "encoder.layer": "2",
    "corpus.limit": "6",
    "policy.tasks": "{asr: 1.0, s2t: 1.0, mt: 0.5}",
    "part.stages": "[{name: adapter, train: ['adapter.*'], tasks: {asr: 1}, lr: 1.0e-3, steps: 2}, "
    "{name: llm, train: ['adapter.*', 'encoder.layer_1/*'], tasks: {asr: 1, s2t: 1, mt: 1}, lora: 4, steps: 2}]",
    "translator.n": "6",
    "translator.temperature": "0.7",
    "select.filters.max_wrong_language": "1.0",
    "select.metric": "chrf",
    "select.delta": "0.0",
    "preference.epochs": "1",
    "preference.sft_weight": "0.0",
    "evaluate.s2t_utterances": "3",
}
"""A policy that hears next to nothing: the texts that its language model makes up differ, and chrF ranks them."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of a small run: paired units, parallel text, and recordings to translate."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, rows in (("mono", 6), ("test", 3)):
        (folder / name).mkdir()
        for lang in ("fr", "en"):
            pq.write_table(
                pq.read_table(ASSETS / f"{name}/{lang}.parquet").slice(0, rows), folder / f"{name}/{lang}.parquet"
            )
    for name in ("paired", "text"):
        pq.write_table(pq.read_table(ASSETS / f"{name}.parquet").slice(0, 12), folder / f"{name}.parquet")
    corpora = {f"corpus.{path.stem}": str(path) for path in folder.iterdir()}
    return [part for key, value in (SMALL | corpora).items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def run(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with two finished rounds."""
    folder = tmp_path_factory.mktemp("rounds") / "run"
    assert main(["--round", "0-1", "--recipe", RECIPE, "--run", str(folder), *settings]) == 0
    return folder


def test_units_are_spoken_and_learned_in_stages(run: Path) -> None:
    speech = DatasetDir(str(run / "speech/paired")).rows().to_pylist()
    assert len(speech) == 12 and all(row["audio"]["bytes"][:4] == b"fLaC" for row in speech)
    sequences = DatasetDir(str(run / "round-0/sequences")).rows().to_pylist()
    tasks = [row["task"] for row in sequences]
    assert (tasks.count("asr"), tasks.count("s2t")) == (12, 12) and tasks.count("mt") >= 6
    assert all((row["audio"] is None) == (row["task"] == "mt") for row in sequences)
    [asr] = [row for row in sequences if row["sequence_id"] == f"asr-{speech[0]['utt_id']}"]
    assert asr["completion"] == speech[0]["text"] and asr["prompt"].endswith("<|sosp|><|eosp|>")
    training = json.loads((run / "round-0/policy/training.json").read_text())
    assert training["settings"]["stage"]["name"] == "llm" and training["step"] == 2
    assert read_front_config(run / "round-0/policy")["encoder"] == {"kind": "whisper", "layer": 2}


def test_candidates_are_texts_and_pairs_name_their_recording(run: Path) -> None:
    scored = DatasetDir(str(run / "round-1/scored")).rows().to_pylist()
    assert len(scored) == 12 and all(row["status"] == "ok" and row["units"] is None for row in scored)
    candidates = [candidate for row in scored for candidate in row["candidates"]]
    assert len(candidates) == 72 and all(candidate["units"] is None for candidate in candidates)
    assert any(candidate["back_translation"] for candidate in candidates)
    assert all(candidate["scores"]["chrf"] is not None for candidate in candidates)
    pairs = DatasetDir(str(run / "round-1/pairs")).rows(status="ok").to_pylist()
    assert pairs and all(pair["prompt"].endswith("<|sosp|><|eosp|>") for pair in pairs)
    assert all(pair["chosen"] == pair["chosen_text"] != pair["rejected"] for pair in pairs)


def test_the_next_policy_hears_as_the_one_before(run: Path) -> None:
    training = json.loads((run / "round-1/policy/training.json").read_text())
    assert training["first_loss"] == pytest.approx(0.6931, abs=1e-3), "ln 2"
    for file in ("config.json", "adapter.safetensors"):
        assert (run / "round-0/policy" / file).read_bytes() == (run / "round-1/policy" / file).read_bytes()
    summary = json.loads((run / "round-1/summary.json").read_text())
    assert summary["toplines"] == {} and set(summary["asr_bleu"].values()) == {None}
    for direction in ("fr-en", "en-fr"):
        assert summary["s2t_bleu"][direction]["utterances"] == 3
        assert summary["round_trip"][direction]["utterances"] == 3
    assert (run / "round-1/report/index.html").stat().st_size > 10_000


@pytest.mark.parametrize("format", ["parquet", "llamafactory"])
def test_an_export_holds_the_recordings(run: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / "export"
    assert roundtrip(["export", "--run", str(run), "--round", "1", "--to", str(out), "--format", format]) == 0
    if format == "llamafactory":
        [line, *_] = (json.loads(text) for path in out.rglob("*.jsonl") for text in path.read_text().splitlines())
        [audio] = line["audios"]
        assert line["chosen"]["content"] != line["rejected"]["content"]
        assert [path for path in out.rglob(audio) if path.stat().st_size > 1_000]
    else:
        [row, *_] = (row for path in out.rglob("*.parquet") for row in pq.read_table(path).to_pylist())
        assert row["source_audio"]["bytes"] and row["chosen_text"] and not row["chosen_units"]
