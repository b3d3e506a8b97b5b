"""The units of words: every unit is that of one word, the one that is spoken with it."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.passes.unit_words import cover_units, spread_words
from schemas.datasets import Row


def words(*times: tuple[int, int]) -> list[Row]:
    """Return words a, b, c … with these starts and ends, in frames."""
    return [{"text": text, "start": start, "end": end} for text, (start, end) in zip("abcdefgh", times, strict=False)]


@pytest.mark.parametrize(
    ("times", "durations", "expected"),
    [
        ([(0, 4), (4, 8)], [2, 2, 2, 2], [2, 2]),
        ([(1, 3), (6, 7)], [2, 2, 2, 2], [2, 2]),  # the pause before, after and between
        ([(0, 3), (3, 8)], [2, 2, 2, 2], [1, 3]),  # the middle of the second unit is where b begins: it is b's
        ([(0, 4), (4, 8)], [3, 3, 2], [1, 2]),
        ([(0, 4), (4, 8)], [1, 8], [1, 1]),
        ([(0, 2), (2, 3), (3, 8)], [2, 6], [1, 0, 1]),  # a word without a unit
        ([(0, 9)], [3], [1]),
    ],
)
def test_a_unit_is_that_of_the_word_at_its_middle(
    times: list[tuple[int, int]], durations: list[int], expected: list[int]
) -> None:
    assert [word["units"] for word in cover_units(words(*times), durations)] == expected


@given(st.lists(st.integers(0, 9), min_size=2, max_size=16), st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_words_have_all_units_in_the_order_of_time(steps: list[int], durations: list[int]) -> None:
    times = list(accumulate(steps))
    spoken = words(*zip(times[::2], times[1::2], strict=False))
    covered = cover_units(spoken, durations)
    assert [word["text"] for word in covered] == [word["text"] for word in spoken]
    assert sum(word["units"] for word in covered) == len(durations)
    ends, unit, start = list(accumulate(durations)), 0, 0.0
    for word, before, after in zip(covered, spoken, [*spoken[1:], None], strict=True):
        assert word["units"] >= 0
        for index in range(unit, unit + word["units"]):
            middle = ends[index] - durations[index] / 2
            assert after is None or middle < (before["end"] + after["start"]) / 2
            assert start <= middle
        unit += word["units"]
        start = (before["end"] + after["start"]) / 2 if after else 0


@given(st.integers(1, 20), st.integers(0, 200))
def test_words_are_spread_evenly(count: int, num_units: int) -> None:
    spread = spread_words("  ".join(["mot"] * count), num_units)
    units = [word["units"] for word in spread]
    assert len(units) == count and sum(units) == num_units and max(units) - min(units) <= 1
    assert {word["text"] for word in spread} == {"mot"}


def test_an_empty_text_has_no_words() -> None:
    assert spread_words(" ", 5) == []
