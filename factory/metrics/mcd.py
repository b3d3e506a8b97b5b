"""Mel cepstral distance (Kubichek, 1993) as PyPI's `mel-cepstral-distance` 0.0.4 defines it, with its defaults, made fast.

Both waves (16 kHz) are scaled to a peak of 1, cut into Hann windows of 32 ms every 8 ms, and turned into M = 20 mel bands of
energy in bel, X(k, n). The cepstrum is MC(i, k) = sum_n X(k, n) cos(i (n - 1/2) pi / M). Frames are aligned by dynamic time warping
(Euclidean, over the mel bands), and the score is the mean, over the path, of ||MC_x - MC_y|| over i = 2..16: the package's s = 1,
D = 16 select those rows; its first row is i = 1, so c0 and c1 are left out. The factor alpha is 1, as in the package; other toolkits
multiply by 10 / ln 10 * sqrt 2 = 6.14 a cepstrum on another scale: numbers of two packages never compare.

The logarithm makes near-silence loud: noise far below 16 bits in one wave moves the score by more than 1, so compare waves of one bit
depth (rows carry 16 bits). Two voices differ more than two translations do: compare audio of one vocoder with audio of the same one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from factory.metrics.base import Metric

RATE, WINDOW, HOP = 16_000, 512, 128
BANDS, FIRST, LAST = 20, 2, 16


@cache
def _mel_filters() -> np.ndarray:
    """Return (BANDS, WINDOW / 2 + 1) triangles, equally spaced on the mel scale from 0 to 8 kHz."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    bins = np.floor((WINDOW + 1) * 700 * (10 ** (mels / 2595) - 1) / RATE).astype(int)
    filters = np.zeros((BANDS, WINDOW // 2 + 1))
    for band, (left, centre, right) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        filters[band, left:centre] = (np.arange(left, centre) - left) / (centre - left)
        filters[band, centre:right] = (right - np.arange(centre, right)) / (right - centre)
    return filters


@cache
def _cosines() -> np.ndarray:
    order = np.arange(FIRST, LAST + 1)[:, None]
    return np.cos(order * (np.arange(1, BANDS + 1) - 0.5) * np.pi / BANDS)


def mel_bels(wave: np.ndarray) -> np.ndarray:
    """Return (frames, BANDS) energies in bel of a wave (samples,) at 16 kHz; no frames when it is not longer than a window."""
    if len(wave) <= WINDOW:
        return np.empty((0, BANDS))
    samples = wave.astype(np.float64)
    samples /= np.abs(samples).max() or 1.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: len(samples) - WINDOW : HOP]
    energy = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    return np.log10(energy @ _mel_filters().T + np.finfo(float).eps)


@njit(cache=True)
def _distance(one: np.ndarray, two: np.ndarray) -> float:
    total = 0.0
    for place in range(one.shape[0]):
        total += (one[place] - two[place]) ** 2
    return np.sqrt(total)


@njit(cache=True)
def _mean_over_path(align_one: np.ndarray, align_two: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
    """Align by exact DTW over the first pair of arrays (frames, bands) and return the mean distance of the second pair over the path."""
    rows, columns = align_one.shape[0], align_two.shape[0]
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0.0
    for row in range(rows):
        for column in range(columns):
            least = min(cost[row, column + 1], cost[row + 1, column], cost[row, column])
            cost[row + 1, column + 1] = _distance(align_one[row], align_two[column]) + least
    total, steps, row, column = 0.0, 0, rows, columns
    while row > 0 and column > 0:
        total += _distance(one[row - 1], two[column - 1])
        steps += 1
        up, left, diagonal = cost[row - 1, column], cost[row, column - 1], cost[row - 1, column - 1]
        if up <= left and up <= diagonal:
            row -= 1
        elif left <= diagonal:
            column -= 1
        else:
            row, column = row - 1, column - 1
    return total / steps


def signature(lang: str) -> str:
    """Return the definition's settings."""
    return f"mel-cepstral-distance:0.0.4|alpha:1|M:{BANDS}|i:{FIRST}..{LAST}|win:32ms|hop:8ms|sr:{RATE}|dtw:exact,mel|norm:peak"


def score(hypothesis: np.ndarray, reference: np.ndarray, lang: str = "") -> float:
    """Return the distance of two waves (samples,) at 16 kHz, in dB; NaN when one is not longer than a window of 32 ms."""
    one, two = mel_bels(hypothesis), mel_bels(reference)
    if not len(one) or not len(two):
        return float("nan")
    return float(_mean_over_path(one, two, one @ _cosines().T, two @ _cosines().T))


METRIC = Metric("mcd", "down", "dB, 0..", None, signature, score, audio=True)
