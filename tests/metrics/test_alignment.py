"""The alignment of frames against fastdtw, and against all paths; commands do not wait for its compiler."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from fastdtw import dtw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from factory.metrics.alignment import align
from tests.limits import HANG_S

FRAMES = arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(1)), elements=st.integers(0, 2)).map(
    lambda steps: steps * np.array([3.0, 4.0])
)
"""Frames whose distances are multiples of 5, so that equal costs are equal numbers."""


@settings(max_examples=300, deadline=None)
@given(FRAMES, FRAMES)
def test_fastdtw_gives_the_same_path_with_ties(x: np.ndarray, y: np.ndarray) -> None:
    _, path = dtw(x, y, dist=2)
    assert align(x, y).tolist() == [list(step) for step in path]


def test_the_path_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    distances = np.linalg.norm(one[:, None] - two[None], axis=2)
    best = min(all_paths(3, 4), key=lambda path: sum(distances[cell] for cell in path))
    assert [tuple(step) for step in align(one, two)] == best


def all_paths(row: int, column: int) -> list[list[tuple[int, int]]]:
    """Return every monotonic path from (0, 0) to a cell."""
    if row < 0 or column < 0:
        return []
    if row == column == 0:
        return [[(0, 0)]]
    starts = all_paths(row - 1, column) + all_paths(row, column - 1) + all_paths(row - 1, column - 1)
    return [[*path, (row, column)] for path in starts]


def test_a_recipe_is_loaded_without_the_compiler() -> None:
    code = "import sys, factory.recipe.loading; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S)
    assert done.stdout == "False\n", done.stderr
