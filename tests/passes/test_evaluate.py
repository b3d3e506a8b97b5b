"""evaluate: which test utterances are translated, and for which of them speech is judged."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.passes.evaluate import add_recordings, list_topline_ids, select_test_rows
from factory.recipe.loading import load
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS, Row

RECIPE = "recipes/phrasebook.yaml"
THREE = ["languages=[fr, en, de]", "vocoder.de=any"]


def spoken(rows: pa.Table) -> list[str]:
    """Return the ids of the test utterances whose speech is judged."""
    return [row["utt_id"] for row in rows.to_pylist() if row["spoken"]]


def write(folder: Path, *rows: Row) -> DatasetDir:
    """Return a dataset of UNITS with these rows."""
    out = DatasetDir(str(folder), UNITS)
    out.start({"stage": "toy"})
    out.append(pa.Table.from_pylist([{"status": "ok", **row} for row in rows], schema=UNITS))
    out.publish()
    return out


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
    return write(tmp_path / "units", *rows)


def test_the_first_utterances_of_each_direction_with_a_reference_are_tested(units: DatasetDir) -> None:
    recipe = load(RECIPE, ["evaluate.s2t_utterances=3", "evaluate.asr_utterances=2"])
    rows = select_test_rows(units, recipe)
    columns = rows.select(["utt_id", "lang", "tgt_lang", "spoken"]).to_pylist()
    assert [tuple(row.values()) for row in columns] == [
        ("fr-0", "fr", "en", True),
        ("fr-1", "fr", "en", True),
        ("fr-2", "fr", "en", False),
        ("en-0", "en", "fr", True),
        ("en-1", "en", "fr", True),
        ("en-2", "en", "fr", False),
    ]
    assert spoken(rows) == list_topline_ids(units, recipe) == ["fr-0", "fr-1", "en-0", "en-1"]


def test_all_are_tested_if_there_are_fewer_than_the_recipe_asks_for(units: DatasetDir) -> None:
    rows = select_test_rows(units, load(RECIPE))
    assert rows.num_rows == len(spoken(rows)) == 10


def test_a_policy_without_text_is_tested_on_spoken_utterances_only(units: DatasetDir) -> None:
    changes = ["policy.variant=vanilla", "policy.tasks={vanilla: 1.0}", "scorer.score_text=asr"]
    changes += ["translator.back_translate=speech", "translator.unit_temperature=null", "evaluate.asr_utterances=2"]
    changes += ["preference.unit_weight=1.0", "sft.weights={}"]
    rows = select_test_rows(units, load(RECIPE, changes))
    assert spoken(rows) == rows["utt_id"].to_pylist() == ["fr-0", "fr-1", "en-0", "en-1"]


def test_many_languages_go_into_one_which_has_toplines_too(units: DatasetDir) -> None:
    recipe = load(RECIPE, [*THREE, "directions=[de-en, fr-en]", "evaluate.asr_utterances=2"])
    rows = select_test_rows(units, recipe).to_pylist()
    assert [(row["utt_id"], row["tgt_lang"]) for row in rows][4:] == [("fr-4", "en"), ("de-0", "en")]
    assert {row["reference"] for row in rows} == {"r"}
    assert list_topline_ids(units, recipe) == ["en-0", "en-1"], "only the target language has toplines"


def test_an_utterance_with_several_targets_has_the_reference_of_each(tmp_path: Path) -> None:
    sides = [{"utt_id": f"a/{lang}", "lang": lang, "text": f"a in {lang}"} for lang in ("fr", "en", "de")]
    own = {"utt_id": "b/fr-de", "lang": "fr", "reference": "b in de"}
    unknown = [{"utt_id": "c", "lang": "fr", "reference": "in which language?"}, {"utt_id": "d/fr", "lang": "fr"}]
    rows = select_test_rows(write(tmp_path / "units", *sides, own, *unknown), load(RECIPE, THREE)).to_pylist()
    found = [(row["utt_id"], row["tgt_lang"], row["reference"]) for row in rows]
    assert found == [
        ("a/fr", "en", "a in en"),
        ("a/fr", "de", "a in de"),
        ("b/fr-de", "de", "b in de"),
        ("a/en", "fr", "a in fr"),
        ("a/en", "de", "a in de"),
        ("a/de", "fr", "a in fr"),
        ("a/de", "en", "a in en"),
    ]
    assert list_topline_ids(write(tmp_path / "again", *sides, own), load(RECIPE, THREE)) == [
        *("a/fr", "b/fr-de", "a/en", "a/de")
    ]


def test_two_languages_use_their_own_references_only(tmp_path: Path) -> None:
    sides = [{"utt_id": f"a/{lang}", "lang": lang, "text": f"a in {lang}"} for lang in ("fr", "en")]
    assert select_test_rows(write(tmp_path / "units", *sides), load(RECIPE)).num_rows == 0


def test_a_comparison_of_voices_gets_the_recordings_of_what_is_spoken() -> None:
    table = pa.table({"utt_id": ["test-fr-00000-siwis", "test-fr-00001-siwis", "gone"], "spoken": [True, False, True]})
    first, second, gone = add_recordings(table, load(RECIPE))["audio"].to_pylist()
    assert first["bytes"][:4] == b"OggS" and second is gone is None
    of_units = load(RECIPE, ["corpus.test=assets/phrasebook/dev.parquet"])
    assert add_recordings(table, of_units)["audio"].to_pylist() == [None] * 3
    hearing = load("recipes/phrasebook_part.yaml")
    unspoken = table.set_column(1, "spoken", pa.array([False] * 3))
    assert [bool(audio) for audio in add_recordings(unspoken, hearing)["audio"].to_pylist()] == [True, True, False]
