"""filters: what a candidate must keep, each guard alone."""

from __future__ import annotations

from typing import Any

import pytest

from factory.passes.filters import copied, rejection_reason, repetition, wrong_language
from factory.recipe.sections import FiltersConfig

ROW = {"text": "où est la gare", "units": list(range(20)), "src_lang": "fr", "tgt_lang": "en"}
SOUND = {"text": "where is the station", "units": list(range(100, 120)), "finish": "ok"}


def test_a_sound_candidate_breaks_none() -> None:
    assert rejection_reason(SOUND, ROW, FiltersConfig()) is None
    assert rejection_reason(SOUND | {"text": None}, ROW, FiltersConfig()) is None


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"finish": "unclosed"}, "unclosed"),
        ({"text": "où est la gare"}, "copy"),
        ({"text": "la gare est dans le centre"}, "wrong_language"),
        ({"units": [100, 101]}, "too_short"),
        ({"units": list(range(100, 141))}, "too_long"),
        ({"units": [100, 101, 102] * 6}, "repetition"),
        ({"units": list(range(14)) + [100, 101, 102]}, "copy"),
    ],
)
def test_each_guard_is_broken_by_what_it_guards_against(change: dict[str, Any], slug: str) -> None:
    assert rejection_reason(SOUND | change, ROW, FiltersConfig()) == slug


def test_a_guard_can_be_opened() -> None:
    opened = FiltersConfig(min_length_ratio=0, max_length_ratio=100, max_repetition=1, max_copy=1, max_wrong_language=1)
    for change in (
        {"text": "la gare est dans le centre"},
        {"units": [1]},
        {"units": [1] * 99},
        {"units": list(range(20))},
    ):
        assert rejection_reason(SOUND | change, ROW, opened) is None


def test_repetition_counts_trigrams_that_came_before() -> None:
    assert repetition([1, 2, 3, 4, 5]) == 0
    assert repetition([1, 2, 3, 1, 2, 3]) == pytest.approx(1 / 4)
    assert repetition([]) == 0


def test_copied_counts_trigrams_of_the_source() -> None:
    assert copied([1, 2, 3, 4], [9, 1, 2, 3, 9]) == pytest.approx(1 / 2)
    assert copied([1, 2, 3], [3, 2, 1]) == 0
    assert copied([1, 2], [1, 2]) == 0  # too short to say


def test_the_language_is_told_between_the_two_of_the_recipe() -> None:
    assert wrong_language("the train leaves at nine in the morning", "fr", "en") < 0.05
    assert wrong_language("le train part à neuf heures du matin", "fr", "en") > 0.95
    assert wrong_language("le train part à neuf heures du matin", "xxx", "yyy") == 0
