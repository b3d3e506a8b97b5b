"""Codebooks are learned from frames, the same ones each time; distances and accuracy follow their definitions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from factory.models.codebook import assign
from trainers.codebook import fit, nearest_sentence_accuracy, unit_distances
from trainers.errors import TrainingError

ENCODER = SimpleNamespace(model="owner/model", layer=3, fingerprint="f" * 16)


def clouds(points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of four clouds that are far apart, and the centres of the clouds."""
    rng, centers = np.random.default_rng(0), 20 * np.eye(4, 6)
    cloud = [center + rng.standard_normal((points, 6)) for center in centers]
    return np.concatenate(cloud).astype(np.float32), centers.astype(np.float32)


def test_the_units_are_the_clouds() -> None:
    frames, centers = clouds()
    codebook = fit(frames, 4, ENCODER)
    assert (codebook.k, codebook.model, codebook.layer, codebook.fingerprint) == (4, "owner/model", 3, "f" * 16)
    units = assign(centers, codebook.centers)
    assert sorted(units) == [0, 1, 2, 3]
    np.testing.assert_allclose(codebook.centers[units], centers, atol=0.3)


def test_the_same_seed_and_any_split_give_the_same_codebook() -> None:
    frames, _ = clouds()
    one = fit(frames, 8, ENCODER, seed=1)
    np.testing.assert_array_equal(one.centers, fit(iter(np.array_split(frames, 7)), 8, ENCODER, seed=1).centers)
    assert (one.centers != fit(frames, 8, ENCODER, seed=2).centers).any()
    np.testing.assert_array_equal(fit(frames, 8, ENCODER).centers, fit(frames, 8, ENCODER, seed=0).centers)


def test_too_few_frames_are_refused() -> None:
    assert fit(np.eye(4, dtype=np.float32), 4, ENCODER).k == 4
    with pytest.raises(TrainingError, match="10 units need at least 10 frames; got 3: give more speech"):
        fit(np.zeros((3, 2), np.float32), 10, ENCODER)


def edit_distance(a: list[int], b: list[int]) -> int:
    """Return Levenshtein's distance by its recurrence."""
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]


def test_distances_follow_the_recurrence() -> None:
    rng = np.random.default_rng(0)
    a, b = ([rng.integers(0, 1000, rng.integers(1, 30)).tolist() for _ in range(6)] for _ in range(2))
    expected = [[edit_distance(x, y) / max(len(x), len(y)) for y in b] for x in a]
    np.testing.assert_allclose(unit_distances(a, b), expected, rtol=1e-6)


def test_the_nearest_sentence_is_that_of_the_smallest_distance() -> None:
    a = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 1]]
    assert nearest_sentence_accuracy(a, [[1, 2, 3], [5, 7, 8], [9, 1]]) == 1.0
    assert nearest_sentence_accuracy(a, [[5, 7, 8], [1, 2, 3], [9, 1]]) == pytest.approx(1 / 3)
    assert nearest_sentence_accuracy([[1], [1]], [[1], [1]]) == 0.5  # among equals the first one is the nearest
    for b in (a[:2], []):
        with pytest.raises(ValueError, match="the same sentences"):
            nearest_sentence_accuracy(a if b else [], b)
