"""Speech of every shape: read alike, shown, heard, audited and exported; one of them with every model (benchmarks/shapes.py: all)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.shapes import EACH, Cell, cells, run_cell, utterances, write_corpus
from factory.audit.audit import audit_round
from factory.commands import FORMATS
from factory.corpora.audio import read
from factory.corpora.opening import open_corpus
from factory.export.export import export_pairs
from factory.listen.choose import questions
from factory.listen.server import Session
from factory.planning.kept_recipe import keep_recipe
from factory.planning.places import Round, Run
from factory.recipe.recipe import Recipe
from factory.report.report import write_report
from factory.report.samples import write_samples
from tests.corpora.speech import rows
from tests.toy_run import toy_recipe, toy_run

pytestmark = pytest.mark.usefixtures("local_ray")
every_cell = pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)


@every_cell
def test_every_shape_is_read_alike(cell: Cell, tmp_path: Path) -> None:
    corpus, expected = open_corpus(write_corpus(cell, tmp_path)), utterances(cell)
    found = sorted(rows(corpus).values(), key=lambda row: row["utt_id"].rpartition("/")[2])
    assert corpus.size in (None, len(expected))
    for row, utterance in zip(found, sorted(expected, key=lambda row: row["utt_id"]), strict=True):
        assert row["utt_id"].rpartition("/")[2] == utterance["utt_id"] and row["status"] == "ok"
        for name in ("lang", "text", "reference"):
            assert row[name] == utterance[name]
    heard = corpus.recordings([row["utt_id"] for row in found])
    assert len(heard) == len(expected) and all(len(wave) > 8_000 for wave in heard.values())


def finished(cell: Cell, tmp_path: Path) -> tuple[Run, Recipe, dict[str, np.ndarray]]:
    """Return a finished run of made-up candidates over a cell's corpus, its recipe, and the corpus' recordings."""
    place = write_corpus(cell, tmp_path / "corpus")
    ids = sorted(
        rows(open_corpus(place)), key=lambda name: ("en-en" in name, name)
    )  # French first, as toy_run has them
    run = toy_run(tmp_path / "run", EACH, ids=ids, references=cell.references, texts=cell.texts)
    recipe = toy_recipe()
    recipe = replace(recipe, corpus=replace(recipe.corpus, mono=place))
    keep_recipe(run, 1, recipe)
    return run, recipe, open_corpus(place).recordings(ids)


def exported(place: Path) -> list[dict[str, Any]]:
    """Return the rows of an export in Parquet."""
    return [row for file in sorted(place.rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


@every_cell
def test_what_comes_after_a_round_is_made_of_every_shape(cell: Cell, tmp_path: Path) -> None:
    run, recipe, recorded = finished(cell, tmp_path)
    round_ = Round(run, 1, recipe)
    assert audit_round(round_)["utterances"] == (2 * EACH if cell.references else 0)
    write_samples(round_)
    assert Path(write_report(round_)).stat().st_size > 50_000
    session = Session(run, 1, recipe, questions(run, 1, recipe, "random", 4), "script", "random")
    assert all(session.sound(place, "source")[:4] == b"OggS" for place in (0, 1))
    for kind in FORMATS:
        export_pairs(run, 1, recipe, str(tmp_path / kind), format=kind)
        assert (tmp_path / kind / "README.md").exists()
    for row in exported(tmp_path / "parquet"):
        np.testing.assert_allclose(read(row["source_audio"]), recorded[row["utt_id"]], atol=2**-14)


@pytest.mark.slow
def test_speech_without_anything_goes_all_the_way(tmp_path: Path) -> None:
    assert run_cell(Cell("tars", False, False), tmp_path) == []
