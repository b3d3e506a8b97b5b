"""`select.delta: auto`: the recipes that may have it, the dev set that it reads, and the δ that it becomes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.audit.auto import resolve_delta, with_recommended_delta
from factory.audit.delta import NoDelta
from factory.passes.paired import write_utterances
from factory.passes.progress import Clock
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import FingerprintMismatch
from schemas.datasets import SCORED, UNITS, Row
from tests.audit.rows import WRONG, rows
from tests.toy_run import ROOT
from tests.toys import tiny_policy


def write_scored(uri: str, found: list[Row], content: Mapping[str, object] = MappingProxyType({})) -> DatasetDir:
    """Write rows of SCORED as a finished dataset whose fingerprint covers `content`."""
    dataset = DatasetDir(uri, SCORED)
    dataset.start({"stage": "toy", **content})
    dataset.append(pa.Table.from_pylist(found, schema=SCORED))
    dataset.publish()
    return dataset


def auto() -> Recipe:
    return load(ROOT / "recipes/phrasebook.yaml", ["select.delta=auto", "corpus.limit=7"])


def test_auto_is_the_only_word_that_delta_may_be() -> None:
    assert load(None, ["select.delta=auto"]).select.delta == "auto"
    assert load(None, ["select.delta=1"]).select.delta == 1.0
    with pytest.raises(RecipeError, match="select.delta must be a number"):
        load(None, ["select.delta=automatic"])


def test_a_recipe_with_a_number_is_unchanged(tmp_path: Path) -> None:
    recipe = Recipe()
    assert resolve_delta(Round(Run(str(tmp_path)), 1, recipe), Clock(str(tmp_path))) is recipe


def test_delta_becomes_what_the_audit_of_the_dev_set_recommends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = [found | {"utt_id": f"noise {found['utt_id']}"} for found in rows(30, 30, 0.02)]
    scored = write_scored(f"{tmp_path}/scored", rows(36, 4) + noise)
    recipe = auto()
    assert with_recommended_delta(recipe, scored) == replace(recipe, select=replace(recipe.select, delta=0.05))
    line = f"  select.delta: auto is 0.05 (audit of 100 utterances of {recipe.corpus.dev})\n"
    assert capsys.readouterr().out == line
    strict = replace(recipe.select, filters=replace(recipe.select.filters, min_length_ratio=1.5, max_length_ratio=9))
    with pytest.raises(NoDelta, match="0 labels can be checked"):  # the recipe's filters reject every candidate
        with_recommended_delta(replace(recipe, select=strict), scored)


def test_candidates_in_a_third_language_of_the_recipe_choose_no_delta(tmp_path: Path) -> None:
    german = [
        [
            one | {"text": "der Zug fährt um zwei" if one["text"] == WRONG else one["text"]}
            for one in found["candidates"]
        ]
        for found in rows(36, 4)
    ]
    scored = write_scored(
        f"{tmp_path}/scored", [found | {"candidates": changed} for found, changed in zip(rows(36, 4), german)]
    )
    recipe = auto()
    assert with_recommended_delta(recipe, scored).select.delta == 0
    with pytest.raises(NoDelta, match="0 labels can be checked"):
        with_recommended_delta(replace(recipe, languages=("fr", "en", "de")), scored)


def test_the_whole_dev_set_is_translated_by_the_policy_of_the_round_before(tmp_path: Path) -> None:
    round_ = Round(Run(str(tmp_path / "run")), 3, auto())
    tiny_policy(Path(round_.run.uri, "round-2/policy"))
    units = round_.run.units("dev")
    units.start({"stage": "toy"})
    units.append(UNITS.empty_table())
    units.publish()
    dev = write_scored(f"{round_.uri}/dev", rows(36, 4))  # by another recipe: produce refuses, and says what differs
    with pytest.raises(FingerprintMismatch) as raised:
        resolve_delta(round_, Clock(round_.uri))
    needed = {key: value for key, (_, value) in raised.value.differences.items()}
    assert needed["inputs"]["round"] == "3" and needed["inputs"]["units"] == units.manifest().fingerprint
    assert "policy" in needed["inputs"] and "corpus.source" in needed and "corpus.limit" not in needed
    shutil.rmtree(dev.uri)
    write_scored(dev.uri, rows(36, 4), needed)  # by this recipe: produce has nothing left to do
    assert resolve_delta(round_, Clock(round_.uri)) == with_recommended_delta(round_.recipe, dev)
    assert round_.recipe.select.delta == "auto"


def test_round_0_has_no_delta(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="round 0 makes no pairs"):
        resolve_delta(Round(Run(str(tmp_path)), 0, auto()), Clock(str(tmp_path)))


def test_the_dev_set_becomes_utterances_with_references(tmp_path: Path) -> None:
    small = tmp_path / "dev.parquet"
    pq.write_table(pq.read_table(ROOT / "assets/phrasebook/dev.parquet").slice(0, 8), small)
    out = DatasetDir(str(tmp_path / "units"), UNITS)
    write_utterances(str(small), "dev", auto(), out)
    write_utterances(str(small), "dev", auto(), out)  # the second time there is nothing left to do
    found, pairs = out.rows().to_pylist(), pq.read_table(small).to_pylist()
    expected = [(pair["pair_id"], pair["tgt_text"], pair["src_units"]) for pair in pairs]
    assert [(row["utt_id"], row["reference"], row["units"]) for row in found] == expected
    assert {row["split"] for row in found} == {"dev"}
