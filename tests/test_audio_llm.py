"""A round over an audio LLM by name: a tiny Qwen2-Audio with random weights goes through every stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from factory.cli import main as roundtrip
from factory.corpora.audio import encode
from factory.models.weights import policy_digest
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.run_round import main
from factory.storage.dataset import DatasetDir
from schemas.datasets import Row
from tests.limits import HANG_S
from tests.listen.test_server import serve_session
from tests.test_rounds import ASSETS, ROOT
from tests.toys import tiny_audio_llm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

RECIPE = str(ROOT / "recipes/audio_llm.yaml")
POOLS = ("encoder", "translator", "scorer", "trainer")
SMALL = {
    "directions": "null",
    "corpus.limit": "8",
    "policy.max_length": "480",
    "translator.n": "6",
    "translator.temperature": "1.0",
    "translator.max_tokens": "40",
    "select.filters": "{min_length_ratio: 0, max_length_ratio: 99, max_repetition: 1, max_copy: 1, "
    "max_wrong_language: 1}",
    "select.metric": "chrf",
    "select.delta": "0.0",
    "preference.max_length": "0",
    "preference.batch": "2",
    "preference.lr": "1.0e-2",
    "preference.rank": "4",
    "preference.save_every": "1",
    "evaluate.s2t_utterances": "2",
    "expected.parameters": "null",
    "expected.encoder_parameters": "null",
    **{f"resources.{pool}": "{actors: 1, batch_size: 16}" for pool in POOLS},
}
"""The texts of a random model differ, and chrF ranks them."""


def make_corpus(folder: Path, rows: int, extra: list[Row]) -> None:
    """Write recordings of the phrasebook in French and English, and further French ones."""
    folder.mkdir()
    for lang in ("fr", "en"):
        table = pq.read_table(ASSETS / f"{folder.name}/{lang}.parquet").slice(0, rows)
        more = [{**table.slice(0, 1).to_pylist()[0], **row} for row in extra] if lang == "fr" else []
        pq.write_table(
            pa.concat_tables([table, pa.Table.from_pylist(more, schema=table.schema)]), folder / f"{lang}.parquet"
        )


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audio_llm(tmp_path_factory.mktemp("models") / "audio-llm")


@pytest.fixture(scope="module")
def command(start: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of a small round; of its recordings one is torn and one is too long."""
    folder = tmp_path_factory.mktemp("corpora")
    long = encode(np.tile(np.sin(np.arange(16_000) / 9).astype(np.float32), 31) * 0.3, "FLAC")
    extra = [
        {"utt_id": "torn", "audio": {"bytes": b"RIFFxx", "path": None}},
        {"utt_id": "long", "audio": {"bytes": long, "path": None}},
    ]
    make_corpus(folder / "mono", 6, extra)
    make_corpus(folder / "test", 2, [])
    corpora = {f"corpus.{name}": str(folder / name) for name in ("mono", "test")}
    settings = SMALL | corpora | {"policy.start": str(start)}
    run = str(tmp_path_factory.mktemp("runs") / "run")
    changed = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["--recipe", RECIPE, "--round", "1", "--run", run, *changed]


@pytest.fixture(scope="module")
def run(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose round was killed in its training, and finished by the same command."""
    folder, log = Path(command[command.index("--run") + 1]), tmp_path_factory.mktemp("log") / "log"
    words = [sys.executable, "factory/run_round.py", *command]
    first = subprocess.Popen(words, cwd=ROOT, start_new_session=True, stdout=log.open("w"), stderr=subprocess.STDOUT)
    deadline = time.monotonic() + HANG_S
    while not list(folder.glob("round-1/policy.work/checkpoint-2")) and time.monotonic() < deadline:
        assert first.poll() is None, log.read_text()[-3000:]
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (folder / "round-1/policy").exists()
    assert main(command) == 0
    return folder


def test_recordings_that_cannot_be_used_are_counted(run: Path) -> None:
    read = {row["utt_id"]: row for row in DatasetDir(str(run / "units/mono")).rows().to_pylist()}
    assert len(read) == 14 and read["torn"]["status"] == "failed"
    assert (read["long"]["status"], read["long"]["reason"].partition(":")[0]) == ("skipped", "too_long")
    scored = DatasetDir(str(run / "round-1/scored")).rows().to_pylist()
    assert len(scored) == 14 and sum(row["status"] == "ok" for row in scored) == 12
    assert {row["utt_id"] for row in scored if row["candidates"] is None} == {"torn", "long"}


def test_candidates_are_texts_that_are_translated_back(run: Path) -> None:
    rows = DatasetDir(str(run / "round-1/scored")).rows(status="ok").to_pylist()
    candidates = [candidate for row in rows for candidate in row["candidates"]]
    assert len(candidates) == 72 and all(candidate["units"] is None for candidate in candidates)
    whole = [candidate for candidate in candidates if candidate["finish"] == "ok"]
    assert len(whole) > 36 and all(candidate["back_translation"] for candidate in whole)
    assert not any("<" in candidate["text"] for candidate in whole), "no mark of the chat is in a text"
    assert all(candidate["logprob"] < 0 and candidate["scores"]["chrf"] is not None for candidate in whole)
    pairs = DatasetDir(str(run / "round-1/pairs")).rows(status="ok").to_pylist()
    assert len(pairs) >= 8
    assert all(pair["chosen"] == pair["chosen_text"] != pair["rejected"] for pair in pairs)


def test_the_language_model_alone_learns_and_all_files_are_kept(run: Path, start: Path) -> None:
    from transformers import AutoModelForMultimodalLM, AutoProcessor

    policy = run / "round-1/policy"
    training = json.loads((policy / "training.json").read_text())
    assert training["first_loss"] == pytest.approx(0.6931, abs=1e-4), "ln 2"
    assert training["step"] >= 4
    before, after = (dict(AutoModelForMultimodalLM.from_pretrained(path).state_dict()) for path in (start, policy))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "language_model" in name and "_proj.weight" in name}
    for name in ("config.json", "processor_config.json", "chat_template.jinja", "tokenizer.json"):
        assert (policy / name).read_bytes() == (start / name).read_bytes()
    assert AutoProcessor.from_pretrained(policy).audio_token == "<|AUDIO|>"
    recorded = DatasetDir(str(run / "round-1/scored")).manifest().inputs["policy"]
    assert recorded == policy_digest(start) != policy_digest(policy)


def test_both_policies_are_evaluated_and_reported(run: Path) -> None:
    summary = json.loads((run / "round-1/summary.json").read_text())
    assert summary["toplines"] == {} and set(summary["asr_bleu"].values()) == {None}
    for direction in ("fr-en", "en-fr"):
        assert summary["s2t_bleu"][direction]["utterances"] == 2
        assert summary["round_trip"][direction]["utterances"] == 2
    assert (run / "round-1/report/index.html").stat().st_size > 10_000
    for number in (0, 1):
        rows = DatasetDir(str(run / f"round-{number}/evaluation")).rows().to_pylist()
        assert len(rows) == 4 and all(row["text"] and row["units"] is None for row in rows)


def test_a_person_can_listen_to_the_pairs(run: Path, command: list[str]) -> None:
    round_ = Round(Run(str(run)), 1, load(RECIPE, command[7::2]))
    with serve_session(round_) as address:
        state = json.loads(_fetch(f"{address}state"))
        assert all(text for row in state["rows"] for text in (row["source"], *row["texts"]))
        assert _fetch(f"{address}sound/0/source")[:4] == b"OggS"


def _fetch(address: str) -> bytes:
    from urllib.request import urlopen

    with urlopen(address, timeout=60) as response:
        content: bytes = response.read()
    return content


@pytest.mark.parametrize("format", ["llamafactory", "ms-swift", "nemo"])
def test_pairs_are_exported_for_the_toolkits_of_audio_llms(run: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / "export"
    assert roundtrip(["export", "--run", str(run), "--round", "1", "--to", str(out), "--format", format]) == 0
    [line, *_] = (json.loads(text) for path in out.rglob("*.jsonl") for text in path.read_text().splitlines())
    audio: Any = line["audio_filepath"] if format == "nemo" else line["audios"][0]
    assert [path for path in out.rglob(audio) if path.stat().st_size > 1_000]
    if format != "nemo":
        asked = {
            f"<audio>Translate the {one} speech into {other}. Answer with the translation only."
            for one, other in (("French", "English"), ("English", "French"))
        }
        assert line["messages"][0]["content"] in asked
