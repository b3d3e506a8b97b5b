"""The export of aligned words: SlamKit's layout, each utterance once, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from factory.export.base import ExportError
from factory.export.export import export_pairs
from factory.export.formats import WORDS, write_words
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from schemas.datasets import PAIRED, Row

FR, EN = [["le", 0, 10], ["train", 12, 31]], [["the", 3, 8], ["train", 8, 30]]


def words(some: list[list[object]]) -> list[Row]:
    return [dict(zip(("text", "start", "end"), word, strict=True)) for word in some]


def row(pair_id: str, sides: tuple[str, str], found: tuple[list[Row] | None, list[Row] | None]) -> Row:
    first = {"src_lang": sides[0], "src_units": [1, 2], "src_durations": [10, 21], "src_words": found[0]}
    second = {"tgt_lang": sides[1], "tgt_units": [3], "tgt_durations": [30], "tgt_words": found[1]}
    return {"pair_id": pair_id, "src_text": "le train", "tgt_text": "the train", **first, **second}


ROWS = [
    row("a/x/fr-en", ("fr", "en"), (words(FR), words(EN))),
    row("a/x/fr-de", ("fr", "de"), (words(FR), None)),
    row("a/x/en-fr", ("en", "fr"), (words(EN), words(FR))),
    row("b/fr-en", ("fr", "en"), (None, None)),
]
LINE = {"file_name": "a/x/fr", "lang": "fr", "units": [1, 2], "duration": [10, 21]}
ALIGNED_TEXT = [["le", 0.0, 0.2], [" train", 0.24, 0.62]]


def test_words_are_written_once_per_utterance_in_seconds(tmp_path: Path) -> None:
    assert write_words(ROWS, tmp_path / "w.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "w.jsonl").read_text("utf-8").splitlines())
    assert first == LINE | {"aligned_text": ALIGNED_TEXT}
    assert second["file_name"] == "a/x/en" and "".join(word for word, _, _ in second["aligned_text"]) == "the train"
    old = {key: value for key, value in ROWS[0].items() if not key.endswith(("durations", "words"))}
    assert write_words([old], tmp_path / "w.jsonl") == 0, "a row of 0.1 has no words"


def test_round_0_exports_the_words_of_its_paired_speech(tmp_path: Path) -> None:
    round_ = Round(Run(str(tmp_path / "run")), 0, load(None, ["name=toy"]))
    with pytest.raises(ExportError, match="has no aligned words: run round 0 with paired speech .* and a section"):
        export_pairs(round_, str(tmp_path / "set"), format="slamkit")
    paired = round_.run.paired("paired")
    paired.start({"stage": "toy"})
    paired.append(pa.Table.from_pylist(ROWS, schema=PAIRED))
    paired.publish()
    for _ in range(2):  # a second export replaces the first one
        folder = Path(export_pairs(round_, str(tmp_path / "set"), format="slamkit"))
    assert json.loads((folder / WORDS).read_text("utf-8").splitlines()[0])["aligned_text"] == ALIGNED_TEXT
    assert "2 utterances" in (folder / "README.md").read_text("utf-8")
    with pytest.raises(ExportError, match="round 0 makes no pairs: .* or the words of its paired speech"):
        export_pairs(round_, str(tmp_path / "other"))
