"""Speech of every shape is read alike, and everything that follows a round can be made from recordings.

`benchmarks/shapes.py` runs whole rounds with every model over the same cells.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.shapes_corpora import PER_LANGUAGE, Cell, list_cells, read_utterances, write_corpus
from factory.audit.audit import audit_round
from factory.cli import FORMATS
from factory.corpora.audio import read
from factory.corpora.opening import open_corpus
from factory.export.export import export_pairs
from factory.listen.choose import choose_questions
from factory.listen.server import Session
from factory.planning.places import Round
from factory.report.report import write_report
from factory.report.samples import write_samples
from schemas.datasets import Row
from tests.corpora.speech import rows
from tests.toy_run import toy_recipe, toy_run

pytestmark = pytest.mark.usefixtures("local_ray")

FOLLOWED = [Cell("folder", False, False), Cell("tars", True, True)]
"""Two shapes, without texts and references and with both: a shape only matters for reading, which is alike for all.

`tests/report/test_lacking.py` has the other combinations of texts and references.
"""


def name(cell: Cell) -> str:
    return cell.name


@pytest.mark.parametrize("cell", list_cells(), ids=name)
def test_every_shape_is_read_alike(cell: Cell, tmp_path: Path) -> None:
    corpus, expected = open_corpus(write_corpus(cell, tmp_path)), read_utterances(cell)
    found = sorted(rows(corpus).values(), key=lambda row: row["utt_id"].rpartition("/")[2])
    assert corpus.size in (None, len(expected))
    for row, utterance in zip(found, sorted(expected, key=lambda row: row["utt_id"]), strict=True):
        assert row["utt_id"].rpartition("/")[2] == utterance["utt_id"] and row["status"] == "ok"
        for column in ("lang", "text", "reference"):
            assert row[column] == utterance[column]
    recordings = corpus.load_recordings([row["utt_id"] for row in found])
    assert len(recordings) == len(expected) and all(len(wave) > 8_000 for wave in recordings.values())


def finish_round(cell: Cell, tmp_path: Path) -> tuple[Round, dict[str, np.ndarray]]:
    """Return a finished round of made-up candidates over the corpus of a cell, and the recordings of the corpus."""
    uri = write_corpus(cell, tmp_path / "corpus")
    french_first = sorted(rows(open_corpus(uri)), key=lambda utt_id: ("en-en" in utt_id, utt_id))
    run = toy_run(tmp_path / "run", PER_LANGUAGE, ids=french_first, references=cell.references, texts=cell.texts)
    recipe = toy_recipe()
    recipe = replace(recipe, corpus=replace(recipe.corpus, mono=uri))
    return Round(run, 1, recipe), open_corpus(uri).load_recordings(french_first)


def read_export(folder: Path) -> list[Row]:
    """Return the rows of an export in Parquet."""
    return [row for file in sorted(folder.rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize("cell", FOLLOWED, ids=name)
def test_audit_report_listening_and_exports_are_made_from_recordings(cell: Cell, tmp_path: Path) -> None:
    round_, recordings = finish_round(cell, tmp_path)
    assert audit_round(round_)["utterances"] == (2 * PER_LANGUAGE if cell.references else 0)
    write_samples(round_)
    assert Path(write_report(round_)).stat().st_size > 50_000
    session = Session(round_, choose_questions(round_, "random", 4), "script", "random")
    assert all(session.sound(index, "source").result().read_bytes()[:4] == b"OggS" for index in (0, 1))
    for format in FORMATS:
        export_pairs(round_, str(tmp_path / format), format=format)
        assert (tmp_path / format / "README.md").exists()
    for row in read_export(tmp_path / "parquet"):
        np.testing.assert_allclose(read(row["source_audio"]), recordings[row["utt_id"]], atol=2**-14)
