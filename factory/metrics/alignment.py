"""Dynamic time warping, compiled by numba: whoever computes a distance imports it, because its import takes long."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)  # type: ignore[untyped-decorator]
def align(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Align two sequences by exact dynamic time warping with the Euclidean distance.

    Args:
        x: Frames (frames of x, dimensions), at least one.
        y: Frames (frames of y, dimensions), at least one.

    Returns:
        The cheapest monotonic path from the first to the last frames, (steps, 2) indices of frames. Among paths of
        equal cost it is the one that `fastdtw.dtw` returns, but for rounding.
    """
    rows, columns = x.shape[0], y.shape[0]
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0.0
    for row in range(rows):
        for column in range(columns):
            squares = 0.0
            for dimension in range(x.shape[1]):
                squares += (x[row, dimension] - y[column, dimension]) ** 2
            previous = min(cost[row, column + 1], cost[row + 1, column], cost[row, column])
            cost[row + 1, column + 1] = np.sqrt(squares) + previous
    path = np.empty((rows + columns, 2), np.int64)
    start, row, column = rows + columns, rows, columns
    while row > 0 and column > 0:
        start -= 1
        path[start] = row - 1, column - 1
        up, left, diagonal = cost[row - 1, column], cost[row, column - 1], cost[row - 1, column - 1]
        if up <= left and up <= diagonal:
            row -= 1
        elif left <= diagonal:
            column -= 1
        else:
            row, column = row - 1, column - 1
    return path[start:]
