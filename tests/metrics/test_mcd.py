"""Mel cepstral distance against the package that defines it, on real speech."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soxr
from mel_cepstral_distance import compare_audio_files
from scipy.io import wavfile

from factory.metrics import mcd

TEXTS = ("The train leaves at two o'clock.", "The trains leave at two.", "My sister bought a red bicycle yesterday.")


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    from hibari import Hibari

    voice = Hibari(threads=1)
    return [soxr.resample(voice(text), 24_000, mcd.RATE).astype(np.float32) for text in TEXTS]


def reference(folder: Path, one: np.ndarray, two: np.ndarray) -> float:
    """Return the package's own distance, aligned without its approximation."""
    for name, wave in (("one.wav", one), ("two.wav", two)):
        wavfile.write(folder / name, mcd.RATE, wave)
    return float(compare_audio_files(folder / "one.wav", folder / "two.wav", dtw_radius=None)[0])


@pytest.mark.parametrize(("one", "two"), [(0, 1), (0, 2), (2, 1)])
def test_it_agrees_with_the_reference_on_speech(speech: list[np.ndarray], tmp_path: Path, one: int, two: int) -> None:
    assert mcd.score(speech[one], speech[two]) == pytest.approx(reference(tmp_path, speech[one], speech[two]), abs=1e-3)


def test_it_agrees_with_the_reference_on_16_bit_speech(speech: list[np.ndarray], tmp_path: Path) -> None:
    one, two = ((wave * 32767).astype(np.int16) for wave in speech[:2])
    assert mcd.score(one / 32768, two / 32768) == pytest.approx(reference(tmp_path, one, two), abs=1e-3)


def test_it_is_much_faster_than_the_reference(speech: list[np.ndarray], tmp_path: Path) -> None:
    mcd.score(speech[0], speech[1])  # compile
    seconds = []
    for measure in (lambda: reference(tmp_path, speech[0], speech[2]), lambda: mcd.score(speech[0], speech[2])):
        began = time.process_time()
        measure()
        seconds.append(time.process_time() - began)
    assert seconds[0] > 20 * seconds[1]


def test_it_is_a_distance(speech: list[np.ndarray]) -> None:
    assert mcd.score(speech[0], speech[0]) == 0
    assert mcd.score(speech[0], 0.25 * speech[0]) == pytest.approx(0, abs=1e-4)  # the peak is normalised
    assert mcd.score(speech[0], speech[2]) == pytest.approx(
        mcd.score(speech[2], speech[0]), rel=0.02
    )  # equal paths may be chosen by side
    assert mcd.score(speech[0], speech[1]) < mcd.score(speech[0], speech[2])


def test_the_path_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    distances = np.linalg.norm(one[:, None] - two[None], axis=2)
    best = min(((sum(distances[cell] for cell in path), path) for path in paths(3, 4)), key=lambda found: found[0])
    assert mcd._mean_over_path(one, two, one, two) == pytest.approx(best[0] / len(best[1]))


def paths(row: int, column: int) -> list[list[tuple[int, int]]]:
    """Return every monotonous path from (0, 0) to a cell."""
    if row < 0 or column < 0:
        return []
    if row == column == 0:
        return [[(0, 0)]]
    before = paths(row - 1, column) + paths(row, column - 1) + paths(row - 1, column - 1)
    return [[*path, (row, column)] for path in before]


def test_edges() -> None:
    silence, short = np.zeros(mcd.RATE, np.float32), np.ones(mcd.WINDOW, np.float32)
    assert mcd.score(silence, silence) == 0
    assert np.isnan(mcd.score(silence, short))
    assert np.isnan(mcd.score(np.zeros(0, np.float32), silence))
    assert mcd.mel_bels(np.ones(mcd.WINDOW + 1, np.float32)).shape == (1, mcd.BANDS)
    assert "alpha:1" in mcd.signature("fr")
