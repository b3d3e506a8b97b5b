"""CTC alignment: the path is the best of all paths that write the text."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from factory.models.ctc_alignment import align_tokens, count_needed_frames

BLANK = 0


def written(path: tuple[int, ...]) -> list[int]:
    """Return what a path writes: repetitions are merged, then blanks are removed."""
    return [token for token, _ in groupby(path) if token != BLANK]


def spans_of(path: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the frames of each token of a path."""
    spans, frame = [], 0
    for token, run in groupby(path):
        length = len(list(run))
        spans += [(frame, frame + length)] if token != BLANK else []
        frame += length
    return spans


@pytest.mark.parametrize("tokens", [[1], [1, 2], [1, 1], [2, 2, 1], [1, 2, 1], [2, 1, 1, 2]])
@pytest.mark.parametrize("frames", [5, 6])
def test_the_path_is_the_best_of_all_that_write_the_text(tokens: list[int], frames: int) -> None:
    for seed in range(20):
        log_probs = np.log(np.random.default_rng([seed, frames, *tokens]).dirichlet([0.5] * 3, frames))
        paths = [path for path in product(range(3), repeat=frames) if written(path) == tokens]
        best = max(paths, key=lambda path: log_probs[range(frames), path].sum())
        assert align_tokens(log_probs, tokens, BLANK) == spans_of(best)


def test_known_boundaries_are_found_under_noise() -> None:
    rng = np.random.default_rng(0)
    path = [0, 0, 1, 1, 1, 0, 2, 2, 2, 2, 3, 0, 0, 3, 3, 0]
    log_probs = np.log(rng.dirichlet([1] * 4, len(path)) * 0.4 + 0.6 * np.eye(4)[path])
    assert align_tokens(log_probs, [1, 2, 3, 3], BLANK) == [(2, 5), (6, 10), (10, 11), (13, 15)]


def test_a_text_that_exactly_fits_has_one_frame_per_token_and_a_longer_one_is_refused() -> None:
    log_probs = np.log(np.random.default_rng(0).dirichlet([1] * 3, 4))
    assert count_needed_frames([1, 1, 2]) == 4
    assert align_tokens(log_probs, [1, 1, 2], BLANK) == [(0, 1), (2, 3), (3, 4)]
    with pytest.raises(ValueError, match="^5 frames are needed to write the text, and there are 4$"):
        align_tokens(log_probs, [1, 2, 1, 2, 1], BLANK)
