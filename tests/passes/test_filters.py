"""filters: what a candidate must satisfy, each filter alone and at its threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from factory.passes.filters import copy_share, rejection_reason, repetition_share, wrong_language_probability
from factory.passes.unit_languages import Languages, UnitLanguages
from factory.recipe.sections import FiltersConfig
from schemas.datasets import UNSPOKEN, Candidate, Row

ROW: Row = {"text": "où est la gare", "units": list(range(20)), "src_lang": "fr", "tgt_lang": "en"}
FRENCH = "la gare est dans le centre"
OPEN = FiltersConfig(min_length_ratio=0, max_length_ratio=100, max_repetition=1, max_copy=1, max_wrong_language=1)
"""Filters that reject malformed candidates and copied texts only."""


def candidate(**changes: Any) -> Candidate:
    valid: Candidate = {
        "text": "where is the station",
        "units": list(range(100, 120)),
        "logprob": -1.0,
        "finish": "ok",
        "back_translation": None,
        "back_translation_units": None,
        "back_translation_finish": None,
    }
    return valid | changes  # type: ignore[return-value]


@pytest.mark.parametrize("changes", [{}, {"text": None}, {"text": ""}, {"finish": UNSPOKEN, "units": None}])
def test_a_valid_candidate_is_not_rejected(changes: dict[str, Any]) -> None:
    assert rejection_reason(candidate(**changes), ROW, FiltersConfig()) is None


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"finish": "unclosed"}, "unclosed"),
        ({"finish": "length"}, "length"),
        ({"text": "où est la gare"}, "copy"),
        ({"text": FRENCH}, "wrong_language"),
        ({"text": FRENCH, "units": None, "finish": UNSPOKEN}, "wrong_language"),
        ({"units": [100, 101]}, "too_short"),
        ({"units": list(range(100, 141))}, "too_long"),
        ({"units": [100, 101, 102] * 6}, "repetition"),
        ({"units": list(range(14)) + [100, 101, 102]}, "copy"),
    ],
)
def test_each_filter_names_its_reason(changes: dict[str, Any], slug: str) -> None:
    assert rejection_reason(candidate(**changes), ROW, FiltersConfig()) == slug


@pytest.mark.parametrize("changes", [{"text": FRENCH}, {"units": [1]}, {"units": [1] * 99}, {"units": ROW["units"]}])
def test_open_filters_reject_nothing_well_formed(changes: dict[str, Any]) -> None:
    assert rejection_reason(candidate(**changes), ROW, OPEN) is None


@pytest.mark.parametrize(
    ("units", "key", "inside", "outside"),
    [
        (range(100, 110), "min_length_ratio", 0.5, 0.5001),  # 10 units for 20
        (range(100, 130), "max_length_ratio", 1.5, 1.4999),  # 30 units for 20
        ([100, 101, 102, 100, 101, 102], "max_repetition", 0.25, 0.2499),  # 1 of 4 trigrams repeats
        ([0, 1, 2, 100], "max_copy", 0.5, 0.4999),  # 1 of 2 trigrams is the source's
    ],
)
def test_a_threshold_itself_is_allowed(units: list[int], key: str, inside: float, outside: float) -> None:
    one = candidate(units=list(units))
    assert rejection_reason(one, ROW, replace(OPEN, **{key: inside})) is None
    slug = {"min_length_ratio": "too_short", "max_length_ratio": "too_long", "max_repetition": "repetition"}
    assert rejection_reason(one, ROW, replace(OPEN, **{key: outside})) == slug.get(key, "copy")


def test_frames_of_one_sound_are_no_repetition() -> None:
    """Units that are not deduplicated repeat as long as a sound lasts; the source's own units show that."""
    frames = [unit for unit in range(100, 120) for _ in range(5)]
    strict = replace(OPEN, max_repetition=0.1, max_copy=0.1)
    per_frame = ROW | {"units": [unit for unit in range(20) for _ in range(5)]}
    assert rejection_reason(candidate(units=frames), per_frame, strict) is None
    assert rejection_reason(candidate(units=frames), ROW, strict) == "repetition", "deduplicated units never repeat"
    assert rejection_reason(candidate(units=frames + frames), per_frame, strict) == "repetition"
    assert rejection_reason(candidate(units=per_frame["units"][:50]), per_frame, strict) == "copy"
    assert rejection_reason(candidate(units=list(range(10))), per_frame, strict) == "copy"
    halved = replace(strict, min_length_ratio=0.5)
    assert rejection_reason(candidate(units=frames[:49]), per_frame, halved) == "too_short", "lengths count frames"


def test_the_threshold_of_the_language_is_allowed() -> None:
    text = "the gare est in the centre"
    probability = wrong_language_probability(text, ["fr"], "en")
    assert 0.01 < probability < 0.99
    assert rejection_reason(candidate(text=text), ROW, replace(OPEN, max_wrong_language=probability)) is None
    below = replace(OPEN, max_wrong_language=probability - 1e-6)
    assert rejection_reason(candidate(text=text), ROW, below) == "wrong_language"


def test_the_language_of_a_candidate_without_text_is_that_of_its_units() -> None:
    english, french = list(range(100, 120)), list(range(120, 140))
    speech = UnitLanguages([("en", english), ("fr", french)])
    languages = Languages(("en", "fr"), speech)
    strict = replace(OPEN, max_wrong_language=0.5)
    for units, reason in ((english, None), (french, "wrong_language")):
        assert rejection_reason(candidate(text=None, units=units), ROW, strict, languages) == reason
        assert rejection_reason(candidate(units=units), ROW, strict, languages) is None, "its text is looked at"
        assert rejection_reason(candidate(text=None, units=units), ROW, strict) is None, "nothing was learned"
    mixed = english[:10] + french[10:]
    probability = speech.wrong_language_probability(mixed, ["fr"], "en")
    at, below = (replace(OPEN, max_wrong_language=probability - less) for less in (0, 1e-9))
    assert rejection_reason(candidate(text=None, units=mixed), ROW, at, languages) is None
    assert rejection_reason(candidate(text=None, units=mixed), ROW, below, languages) == "wrong_language"


def test_the_default_thresholds_are_those_of_the_documentation() -> None:
    assert FiltersConfig() == FiltersConfig(
        min_length_ratio=0.5, max_length_ratio=2.0, max_repetition=0.5, max_copy=0.5, max_wrong_language=0.8
    )


def test_a_source_without_units_makes_every_speech_too_long() -> None:
    assert rejection_reason(candidate(units=[100, 101, 102]), ROW | {"units": []}, FiltersConfig()) == "too_long"
    assert rejection_reason(candidate(units=[100]), ROW | {"units": []}, FiltersConfig()) is None


@pytest.mark.parametrize(
    ("units", "share"),
    [
        ([1, 2, 3, 4, 5], 0),
        ([1, 2, 3, 1, 2, 3], 1 / 4),
        ([1, 2, 1, 2, 1, 2], 2 / 4),
        ([7] * 12, 9 / 10),
        ([1, 1, 1], 0),  # one trigram
        ([1, 1], 0),  # none
        ([], 0),
    ],
)
def test_the_repetition_share_counts_trigrams_that_occurred_before(units: list[int], share: float) -> None:
    assert repetition_share(units) == pytest.approx(share)


def test_the_order_of_the_n_grams_can_be_chosen() -> None:
    assert repetition_share([1, 2, 1, 2], order=2) == pytest.approx(1 / 3)
    assert copy_share([1, 2, 9], [1, 2], order=2) == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("units", "source", "share"),
    [
        ([1, 2, 3, 4], [9, 1, 2, 3, 9], 1 / 2),
        ([1, 2, 3, 1, 2, 3, 1, 2, 3, 4], [1, 2, 3], 1 / 4),  # distinct trigrams count once
        ([1, 2, 3], [1, 2, 3, 4, 5, 6], 1),
        ([1, 2, 3], [3, 2, 1], 0),
        ([1, 2], [1, 2], 0),  # too short for a trigram
        ([], [1, 2, 3], 0),
    ],
)
def test_the_copy_share_counts_trigrams_of_the_source(units: list[int], source: list[int], share: float) -> None:
    assert copy_share(units, source) == pytest.approx(share)


def test_the_language_is_decided_between_the_two_of_the_recipe() -> None:
    english, french = "the train leaves at nine in the morning", "le train part à neuf heures du matin"
    assert wrong_language_probability(english, ["fr"], "en") < 0.05
    assert wrong_language_probability(french, ["fr"], "en") > 0.95
    assert wrong_language_probability(french, ["en"], "fr") < 0.05
    both = [
        wrong_language_probability("the gare est in the centre", *langs) for langs in ((["fr"], "en"), (["en"], "fr"))
    ]
    assert sum(both) == pytest.approx(1)
    assert wrong_language_probability(french, ["xxx"], "yyy") == 0, "it knows neither language"
    assert wrong_language_probability(french, ["fr"], "yyy") == 1, "it knows one language"
    assert wrong_language_probability(french, ["xxx"], "fr") == 0
    three = wrong_language_probability(french, ["fr", "en", "de"], "de")
    assert three > 0.95 > wrong_language_probability(french, ["fr", "en", "de"], "fr"), "any language but the target's"
    lines, line = (wrong_language_probability(f"the gare{space}est", ["fr"], "en") for space in "\n ")
    assert lines == line, "a line break is a space"
