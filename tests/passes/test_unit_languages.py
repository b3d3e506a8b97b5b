"""The language of units: trigrams of the corpus' own speech."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest

from factory.passes import unit_languages
from factory.passes.unit_languages import Languages, UnitLanguages, read_languages
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import SCORED, Row

RISING, FALLING, OTHER = [0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3]


def test_the_probability_is_that_of_the_trigrams_with_additive_smoothing() -> None:
    known = UnitLanguages([("fr", RISING), ("fr", [1, 2]), ("en", FALLING)])
    # of 4 units; the pair (0, 1) was seen once in French, and never in English
    french, english = math.log(1.1 / 1.4) * 2, math.log(0.1 / 0.4) * 2
    wrong = math.exp(french) / (math.exp(french) + math.exp(english))
    assert known.wrong_language_probability(RISING, ["fr", "en"], "en") == pytest.approx(wrong)
    assert known.wrong_language_probability(RISING, ["fr", "en"], "fr") == pytest.approx(1 - wrong)
    assert known.wrong_language_probability(RISING, ["fr"], "en") == pytest.approx(wrong), "the target's counts too"


def test_units_that_tell_nothing_may_be_in_any_language_that_is_asked_for() -> None:
    known = UnitLanguages([("fr", RISING), ("en", FALLING), ("es", OTHER)])
    assert known.wrong_language_probability([0, 1], ["fr", "en", "es"], "en") == pytest.approx(2 / 3)
    assert known.wrong_language_probability([0, 1], ["fr"], "en") == pytest.approx(1 / 2)
    assert known.wrong_language_probability(RISING, ["es"], "en") < 0.6, "French is no language of the recipe"


def test_nothing_is_wrong_where_no_speech_of_the_target_or_of_another_language_is_known() -> None:
    assert UnitLanguages([("fr", RISING)]).wrong_language_probability(RISING, ["fr", "en"], "en") == 0
    assert UnitLanguages([("en", FALLING)]).wrong_language_probability(RISING, ["fr", "en"], "en") == 0


def test_long_speech_is_certain_and_no_number_overflows() -> None:
    known = UnitLanguages([("fr", RISING * 50), ("en", FALLING * 50)])
    assert known.wrong_language_probability(RISING * 2000, ["fr"], "en") == pytest.approx(1)
    assert known.wrong_language_probability(FALLING * 2000, ["fr"], "en") == pytest.approx(0)


def scored(folder: Path, rows: list[Row]) -> DatasetDir:
    """Write rows of SCORED without candidates: the language, the units and the status of each."""
    head = {"tgt_lang": "en", "candidates": [], "durations": None, "text": None, "reference": None, "reason": None}
    dataset = DatasetDir(str(folder), SCORED)
    dataset.start({"stage": "toy"})
    named = [head | {"utt_id": f"u{number}"} | row for number, row in enumerate(rows)]
    dataset.append(pa.Table.from_pylist(named, schema=SCORED))
    dataset.publish()
    return dataset


@pytest.fixture
def recipe() -> Recipe:
    return load("recipes/phrasebook_vanilla.yaml")


def test_a_policy_without_text_is_checked_by_the_sources_of_its_candidates(tmp_path: Path, recipe: Recipe) -> None:
    rows: list[Row] = [
        {"src_lang": "fr", "units": RISING, "status": "ok"},
        {"src_lang": "en", "units": FALLING, "status": "ok"},
        {"src_lang": "en", "units": RISING * 9, "status": "failed"},
    ]
    languages = read_languages(scored(tmp_path, rows), recipe)
    assert languages.names == recipe.languages and languages.speech is not None
    assert languages.speech.wrong_language_probability(RISING, recipe.languages, "en") > 0.9


def test_utterances_that_are_learned_do_not_depend_on_the_order_of_rows(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_languages, "MAX_UTTERANCES", 2)
    rows: list[Row] = [
        {"utt_id": f"{lang}{number}", "src_lang": lang, "units": [number, number + 1, number + step], "status": "ok"}
        for lang, step in (("fr", 2), ("en", 3))
        for number in range(5)
    ]
    both = [read_languages(scored(tmp_path / name, ones), recipe) for name, ones in (("a", rows), ("b", rows[::-1]))]
    found = [
        [one.speech.wrong_language_probability(row["units"], recipe.languages, "en") for row in rows]  # type: ignore[union-attr]
        for one in both
    ]
    assert found[0] == found[1]
    assert sum(abs(probability - 0.5) > 0.01 for probability in found[0]) >= 4, "two of each language are known"
    assert sum(abs(probability - 0.5) < 0.01 for probability in found[0]) >= 2, "the others are not"


def test_a_policy_that_writes_text_learns_no_units(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml")
    assert read_languages(DatasetDir(str(tmp_path / "missing")), recipe) == Languages(recipe.languages)
