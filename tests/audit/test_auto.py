"""`select.delta: auto`: which recipes it takes, and what the dev set looks like to produce."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.audit.auto import settle_delta
from factory.audit.heard import HEARD, kept
from factory.audit.labels import judged, referenced
from factory.passes.paired import write_utterances
from factory.passes.progress import Clock
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.recipe.sections import FiltersConfig
from factory.recipe.typed import RecipeError
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS

ROOT = Path(__file__).resolve().parent.parent.parent


def test_auto_is_the_only_word_that_delta_takes() -> None:
    assert load(None, ["select.delta=auto"]).select.delta == "auto"
    assert load(None, ["select.delta=1"]).select.delta == 1.0
    with pytest.raises(RecipeError, match="select.delta must be a number"):
        load(None, ["select.delta=automatic"])


def test_a_number_is_left_alone(tmp_path: Path) -> None:
    recipe, nowhere = Recipe(), DatasetDir(str(tmp_path / "none"))
    assert settle_delta(nowhere, nowhere, "no policy", 1, recipe, Clock(str(tmp_path))) is recipe


def test_the_dev_set_becomes_utterances_with_references(tmp_path: Path) -> None:
    few = tmp_path / "dev.parquet"
    pq.write_table(pq.read_table(ROOT / "assets/phrasebook/dev.parquet").slice(0, 8), few)
    recipe = Recipe()
    recipe = replace(recipe, corpus=replace(recipe.corpus, dev=str(few)))
    out = DatasetDir(str(tmp_path / "units"), UNITS)
    write_utterances(recipe.corpus.dev, "dev", out)
    write_utterances(recipe.corpus.dev, "dev", out)  # again: nothing is left to do
    rows, told = out.rows().to_pylist(), pq.read_table(few).to_pylist()
    expected = [(row["pair_id"], row["tgt_text"], row["src_units"]) for row in told]
    assert [(row["utt_id"], row["reference"], row["units"]) for row in rows] == expected
    assert {row["split"] for row in rows} == {"dev"}


def test_what_was_heard_counts_for_the_candidates_it_was_heard_of(tmp_path: Path) -> None:
    from tests.toy_run import toy_run

    run = toy_run(tmp_path / "run")
    scored, place = run.dataset(1, "scored"), tmp_path / "audit"
    place.mkdir()
    table = HEARD.empty_table().from_pylist([{"utt_id": "u", "place": 0, "asr_text": "hello"}], schema=HEARD)
    pq.write_table(
        table.replace_schema_metadata({"roundtrip.scored": scored.manifest().fingerprint}), place / "heard.parquet"
    )
    assert kept(scored, str(place)) == {("u", 0): "hello"}
    assert kept(run.dataset(1, "pairs"), str(place)) == {}
    assert len(judged(referenced(scored), FiltersConfig())) == 12 and len(referenced(scored, limit=5)) == 5
    assert referenced(scored, limit=5) == referenced(scored, limit=5)
