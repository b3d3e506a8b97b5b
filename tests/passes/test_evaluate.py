"""evaluate: which test utterances are translated, and for which of them speech is judged."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.passes.evaluate import list_spoken_ids, select_test_rows
from factory.recipe.loading import load
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS, Row

RECIPE = "recipes/phrasebook.yaml"


@pytest.fixture
def units(tmp_path: Path) -> DatasetDir:
    """Five usable utterances of each language, and one of every kind that cannot be tested."""
    rows: list[Row] = [
        {"utt_id": f"{lang}-{number}", "lang": lang, "reference": "r", "units": [1], "status": "ok"}
        for number in (3, 1, 4, 0, 2)
        for lang in ("en", "fr")
    ]
    rows += [
        {"utt_id": "fr-!none", "lang": "fr", "reference": None, "status": "ok"},
        {"utt_id": "fr-!empty", "lang": "fr", "reference": "", "status": "ok"},
        {"utt_id": "fr-!failed", "lang": "fr", "reference": "r", "status": "failed", "reason": "silent: no"},
        {"utt_id": "de-0", "lang": "de", "reference": "r", "status": "ok"},
    ]
    out = DatasetDir(str(tmp_path / "units"), UNITS)
    out.start({"stage": "toy"})
    out.append(pa.Table.from_pylist(rows, schema=UNITS))
    out.publish()
    return out


def test_the_first_utterances_of_each_direction_with_a_reference_are_tested(units: DatasetDir) -> None:
    rows = select_test_rows(units, load(RECIPE, ["evaluate.s2t_utterances=3", "evaluate.asr_utterances=2"]))
    columns = rows.select(["utt_id", "lang", "tgt_lang", "spoken"]).to_pylist()
    assert [tuple(row.values()) for row in columns] == [
        ("fr-0", "fr", "en", True),
        ("fr-1", "fr", "en", True),
        ("fr-2", "fr", "en", False),
        ("en-0", "en", "fr", True),
        ("en-1", "en", "fr", True),
        ("en-2", "en", "fr", False),
    ]
    assert list_spoken_ids(rows) == ["fr-0", "fr-1", "en-0", "en-1"]


def test_all_are_tested_if_there_are_fewer_than_the_recipe_asks_for(units: DatasetDir) -> None:
    rows = select_test_rows(units, load(RECIPE))
    assert rows.num_rows == len(list_spoken_ids(rows)) == 10


def test_a_policy_without_text_is_tested_on_spoken_utterances_only(units: DatasetDir) -> None:
    changes = ["policy.variant=vanilla", "policy.tasks={vanilla: 1.0}", "scorer.score_text=asr"]
    changes += ["translator.back_translate=speech", "translator.unit_temperature=null", "evaluate.asr_utterances=2"]
    changes += ["preference.unit_weight=1.0", "sft.weights={}"]
    rows = select_test_rows(units, load(RECIPE, changes))
    assert list_spoken_ids(rows) == rows["utt_id"].to_pylist() == ["fr-0", "fr-1", "en-0", "en-1"]
