"""Round 0 and the variants that ship no policy: a policy of several tasks is trained, and learns from its pairs.

The tri-task policy of round 0 has learned to translate units to units too, so the vanilla variant begins with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.arguments import INCOMPLETE
from factory.run_round import main
from factory.storage.dataset import DatasetDir

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets/phrasebook"
SMALL = {
    "corpus.limit": "6",
    "policy.hidden": "64",
    "policy.layers": "2",
    "policy.heads": "2",
    "sft.epochs": "40",
    "sft.tokens": "2000",
    "sft.compile": "false",
    "translator.n": "6",
    "translator.temperature": "0.5",
    "translator.max_tokens": "64",
    "select.metric": "mcd",
    "select.delta": "0.0",
    "select.filters": "{min_length_ratio: 0, max_length_ratio: 99, max_repetition: 1, max_copy: 1, "
    "max_wrong_language: 1}",
    "preference.epochs": "1",
    "evaluate.s2t_utterances": "3",
    "evaluate.asr_utterances": "2",
}
"""A policy that learns little more than to end its output: its speech is noise, but MCD ranks it."""
LEARNED = {
    "policy.tasks": "{vanilla: 1.0, s2t: 1.0, asr: 1.0, mt: 1.0, tts: 1.0}",
    "sft.interleave": "{every: 10, units: uniform}",
}
"""One more task, and text inside speech."""


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys of the recipe: paired units, parallel text, paired speech to hold out, and units to translate."""
    folder = tmp_path_factory.mktemp("corpora")
    for lang in ("fr", "en"):
        speech = pq.read_table(ASSETS / f"test/{lang}.parquet").slice(0, 5)
        ids = pa.array([f"sentence-{number}/{lang}" for number in range(5)])
        (folder / "dev").mkdir(exist_ok=True)
        speech = speech.set_column(speech.schema.get_field_index("utt_id"), "utt_id", ids)
        pq.write_table(speech, folder / f"dev/{lang}.parquet")
    for name, source, rows in (("paired", "paired", 60), ("text", "text", 60), ("mono", "dev", 18), ("test", "dev", 6)):
        pq.write_table(pq.read_table(ASSETS / f"{source}.parquet").slice(0, rows), folder / f"{name}.parquet")
    return {f"corpus.{file.stem}": str(file) for file in folder.iterdir()}


def run(rounds: str, variant: str, run: Path, changes: dict[str, str]) -> int:
    """Run rounds of a variant of the phrasebook; `changes` are keys of the recipe."""
    settings = [part for key, value in (SMALL | changes).items() for part in ("--set", f"{key}={value}")]
    recipe = str(ROOT / f"recipes/phrasebook_{variant}.yaml")
    return main(["--round", rounds, "--recipe", recipe, "--run", str(run), *settings])


def read_json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


@pytest.fixture(scope="module")
def tritask(corpora: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder and the exit code of a round 0 whose report could not be written."""
    folder = tmp_path_factory.mktemp("tritask") / "run"
    (folder / "round-0").mkdir(parents=True)
    (folder / "round-0/report").write_text("a file where the report needs a folder")
    return folder, run("0", "tritask", folder, corpora | LEARNED)


def test_round_0_trains_a_policy_on_pairs_and_parallel_text_and_holds_speech_out(tritask: tuple[Path, int]) -> None:
    folder, code = tritask
    assert code == INCOMPLETE  # a trained and evaluated round is finished
    assert DatasetDir(str(folder / "round-0/sequences")).rows()["task"].value_counts().to_pylist() == [
        {"values": "vanilla", "counts": 60},
        {"values": "s2t", "counts": 60},
        {"values": "asr", "counts": 60},
        {"values": "mt", "counts": 120},
        {"values": "tts", "counts": 60},
    ]
    assert DatasetDir(str(folder / "dev")).manifest().rows == 10 and not (folder / "round-0/policy.inputs").exists()
    training = read_json(folder / "round-0/policy/training.json")
    assert training["dev_loss"] > 0 and training["without_words"] == 0 and 0 < training["text_share"] < 0.9
    assert "<|tts|>" in (folder / "round-0/policy/tokenizer.json").read_text("utf-8")
    summary = read_json(folder / "round-0/summary.json")
    assert set(summary["s2t_bleu"]) == {"fr-en", "en-fr"}
    assert all(set(scores) == {"utterances", "resynthesised"} for scores in summary["toplines"].values())


def test_a_policy_with_a_task_for_text_runs_all_stages(
    tritask: tuple[Path, int], corpora: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = tritask
    assert run("0", "tritask", folder, corpora | LEARNED) == INCOMPLETE
    message = f"round 0 of {folder} is finished, but its report could not be made"
    assert message in capsys.readouterr().err
    (folder / "round-0/report").unlink()
    assert run("0-1", "tritask", folder, corpora | LEARNED) == 0
    assert (folder / "round-0/report/index.html").exists()
    summary = check_summary(folder)
    assert all(score is not None for score in summary["s2t_bleu"].values())


def test_a_policy_without_text_runs_all_stages(
    tritask: tuple[Path, int], corpora: dict[str, str], tmp_path: Path
) -> None:
    start = {"policy.start": str(tritask[0] / "round-0/policy")}
    assert run("1", "vanilla", tmp_path / "run", corpora | start) == 0
    summary = check_summary(tmp_path / "run")
    assert all(score is None for score in summary["s2t_bleu"].values())


def check_summary(folder: Path) -> Any:
    """Return the summary of round 1, which has pairs and scores of its speech in both directions."""
    summary = read_json(folder / "round-1/summary.json")
    assert sum(summary["pairs"].values()) > 0 and set(summary["asr_bleu"]) == {"fr-en", "en-fr"}
    return summary
