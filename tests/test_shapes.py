"""Speech of every shape: all cells are read alike, and two go through the whole product (benchmarks/shapes.py runs all)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.shapes import Cell, cells, run_cell, utterances, write_corpus
from factory.corpora.opening import open_corpus
from tests.corpora.speech import rows


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_every_shape_is_read_alike(cell: Cell, tmp_path: Path) -> None:
    corpus, expected = open_corpus(write_corpus(cell, tmp_path)), utterances(cell)
    found = sorted(rows(corpus).values(), key=lambda row: row["utt_id"].rpartition("/")[2])
    assert corpus.size in (None, len(expected))
    for row, utterance in zip(found, sorted(expected, key=lambda row: row["utt_id"]), strict=True):
        assert row["utt_id"].rpartition("/")[2] == utterance["utt_id"]
        assert row["status"] == "ok" and {name: row[name] for name in ("lang", "text", "reference")} == {
            name: utterance[name] for name in ("lang", "text", "reference")
        }
    heard = corpus.recordings([row["utt_id"] for row in found])
    assert len(heard) == len(expected) and all(len(wave) > 8_000 for wave in heard.values())


@pytest.mark.slow
@pytest.mark.parametrize("cell", [Cell("tars", False, False), Cell("table", True, False)], ids=lambda cell: cell.name)
def test_speech_without_references_goes_all_the_way(cell: Cell, tmp_path: Path) -> None:
    assert run_cell(cell, tmp_path) == []
