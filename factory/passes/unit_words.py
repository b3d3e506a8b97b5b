"""Which units of a speech segment are those of which word: from aligned times, or spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from schemas.datasets import Row


def cover_units(words: Sequence[Row], durations: Sequence[int]) -> list[Row]:
    """Return the words of a segment (UNIT_WORD) by their times.

    A word begins in the middle of the pause before it, and has the units whose middle comes after that; the first and
    the last word have those at the edges too.

    Args:
        words: at least one word (WORD), with times in frames.
        durations: length of each unit, in frames.
    """
    middles = np.cumsum(durations) - np.array(durations) / 2
    starts = [(before["end"] + after["start"]) / 2 for before, after in pairwise(words)]
    edges = [0, *np.searchsorted(middles, starts).tolist(), len(durations)]
    return _count_units([word["text"] for word in words], edges)


def spread_words(text: str, num_units: int) -> list[Row]:
    """Return the words of a text (UNIT_WORD), spread evenly over the units of its speech; none for an empty text."""
    words = text.split()
    return _count_units(words, [num_units * index // max(1, len(words)) for index in range(len(words) + 1)])


def _count_units(words: Sequence[str], edges: Sequence[int]) -> list[Row]:
    return [{"text": text, "units": end - start} for text, (start, end) in zip(words, pairwise(edges), strict=True)]
