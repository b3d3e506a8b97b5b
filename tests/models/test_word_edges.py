"""The edges of words: boundaries move to the softest moment near them, and pauses belong to no word."""

from __future__ import annotations

import numpy as np
import pytest

from factory.models.word_edges import REACH, STEP, find_edges, measure_levels

LOUD, SOFT, SILENT = 0.0, -20.0, -60.0


def levels(*runs: tuple[float, int]) -> np.ndarray:
    """Return runs of levels (dB), each as long as its number of steps."""
    return np.concatenate([np.full(length, level) for level, length in runs])


def test_levels_are_those_of_steps_of_10_ms_against_the_loud_ones() -> None:
    rng = np.random.default_rng(0)
    scales = np.repeat([1.0, 0.1, 0.0], 50)
    wave = (np.repeat(scales, STEP) * rng.standard_normal(len(scales) * STEP)).astype(np.float32)
    measured = measure_levels(np.append(wave, np.ones(STEP - 1, np.float32)))  # no whole step more
    assert len(measured) == len(scales)
    assert measured[:49] == pytest.approx(0, abs=2)
    assert measured[51:99] == pytest.approx(-20, abs=2)
    assert (measured[102:] == -60).all(), "silence is floored"
    assert np.abs(measure_levels(wave * 0.01) - measured[: len(scales)]).max() < 1, "the volume does not count"


def test_a_pause_near_a_boundary_belongs_to_no_word() -> None:
    heard = levels((SILENT, 7), (LOUD, 20), (SILENT, 10), (LOUD, 20), (SILENT, 5))
    assert find_edges(heard, [0, 33, 62]) == [(7, 27), (37, 57)]
    assert find_edges(heard, [4, 24, 60]) == [(7, 27), (37, 57)], "silence within reach of a boundary is found"


def test_a_boundary_moves_to_the_softest_moment_within_its_reach() -> None:
    heard = levels((LOUD, 20), (SOFT, 1), (LOUD, 20))
    for offset in (-REACH, 0, REACH):
        assert find_edges(heard, [0, 20 + offset, 41]) == [(0, 20), (20, 41)]
    assert find_edges(heard, [0, 20 + REACH + 1, 41]) == [(0, 27), (27, 41)]
    near_and_far = levels((LOUD, 20), (-8.0, 1), (LOUD, 4), (-10.0, 1), (LOUD, 20))
    assert find_edges(near_and_far, [0, 20, 46]) == [(0, 20), (20, 46)], "a far moment must be softer by 1 dB a step"


def test_words_keep_their_order_and_never_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        heard = rng.uniform(-60, 0, int(rng.integers(1, 60)))
        boundaries = np.sort(rng.integers(0, len(heard) + 1, int(rng.integers(2, 9))))
        edges = find_edges(heard, boundaries.tolist())
        flat = [step for edge in edges for step in edge]
        assert len(edges) == len(boundaries) - 1
        assert flat == sorted(flat) and flat[0] >= 0 and flat[-1] <= len(heard)


def test_a_word_in_silence_keeps_its_boundaries() -> None:
    assert find_edges(levels((SILENT, 30)), [0, 10, 30]) == [(0, 10), (10, 30)]
