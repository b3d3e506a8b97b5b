"""Mel cepstral distance of two waves, a fast implementation of PyPI's `mel-cepstral-distance` 0.0.4 with its defaults.

Definition (Kubichek, 1993, in the symbols of the package):
    X(k, n) = log10(sum_m |X(k, m)|^2 w_n(m)), the energy of frame k in mel band n = 1..M, with M = 20 bands, Hann
        windows of 32 ms every 8 ms, and waves at 16 kHz that are scaled to a peak of 1.
    MC(i, k) = sum_n X(k, n) cos(i (n - 1/2) pi / M), the mel cepstrum.
    MCD(k) = alpha sqrt(sum_i (MC_x(i, k) - MC_y(i, k))^2) for i = 2..16, with alpha = 1. The package's s = 1 and D = 16
        select these rows: its first row is i = 1, so it leaves out the coefficients 0 and 1.
    MCD = the mean of MCD(k) over the steps of the alignment. Exact dynamic time warping over X(k, n) with the Euclidean
        distance aligns the frames.
Direction: down.
Scale: 0.., without a unit. The value is not in decibels: alpha is 1 and the energies are log10. The literature writes
    decibels only where alpha is 10 / ln 10 or 10 sqrt(2) / ln 10 (table in the package's README), on other cepstra.
    Numbers of two implementations are not comparable.
Source: `mel_cepstral_distance.compare_audio_files(..., dtw_radius=None)`.

The logarithm makes near-silence count as much as speech. Noise far below 16 bits in one wave changes the score by more
than 1, so compare waves of one bit depth (the audio of candidates has 16 bits). Two voices differ more than two
translations: compare audio of one vocoder with audio of the same vocoder.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from factory.metrics.base import Metric
from schemas.audio import SAMPLE_RATE

WINDOW, HOP = 512, 128
"""Samples of a frame (32 ms) and between the starts of two frames (8 ms)."""
BANDS = 20
"""Mel bands, M."""
FIRST, LAST = 2, 16
"""The cepstral coefficients that are compared."""


@cache
def _mel_filters() -> np.ndarray:
    """Return triangular filters (BANDS, WINDOW / 2 + 1), equally spaced on the mel scale from 0 Hz to half the rate."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), BANDS + 2)
    bins = np.floor((WINDOW + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE).astype(int)
    filters = np.zeros((BANDS, WINDOW // 2 + 1))
    for band, (left, centre, right) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        filters[band, left:centre] = (np.arange(left, centre) - left) / (centre - left)
        filters[band, centre:right] = (right - np.arange(centre, right)) / (right - centre)
    return filters


@cache
def _cosines() -> np.ndarray:
    """Return the transform from bands to cepstral coefficients (BANDS, LAST - FIRST + 1)."""
    order, band = np.arange(FIRST, LAST + 1), np.arange(1, BANDS + 1)[:, None]
    return np.cos(order * (band - 0.5) * np.pi / BANDS)


def log_mel_energies(wave: np.ndarray) -> np.ndarray:
    """Return X(k, n) (frames, BANDS) of a wave (samples,); a wave that is not longer than WINDOW has no frames."""
    if len(wave) <= WINDOW:
        return np.empty((0, BANDS))
    samples = wave.astype(np.float64)
    samples /= np.abs(samples).max() or 1.0  # silence stays silence
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: len(samples) - WINDOW : HOP]
    energy: np.ndarray = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    return np.asarray(np.log10(energy @ _mel_filters().T + np.finfo(float).eps))


def signature(lang: str) -> str:
    """Return the settings of the definition."""
    frames = f"win:32ms|hop:8ms|sr:{SAMPLE_RATE}"
    return f"mel-cepstral-distance:0.0.4|alpha:1|M:{BANDS}|i:{FIRST}..{LAST}|{frames}|dtw:exact,mel|norm:peak"


def score(hypothesis: np.ndarray, reference: np.ndarray, lang: str = "") -> float:
    """Compute the mel cepstral distance of two waves.

    Args:
        hypothesis: A wave (samples,) of floats at 16 kHz.
        reference: A wave (samples,) of floats at 16 kHz.
        lang: Not used: the distance is the same for every language.

    Returns:
        The distance, 0.., without a unit; NaN if a wave is not longer than a window of 32 ms.
    """
    from factory.metrics.alignment import align

    x, y = log_mel_energies(hypothesis), log_mel_energies(reference)
    if not len(x) or not len(y):
        return float("nan")
    path = align(x, y)
    # equal frames differ by 0 exactly: a product of matrices may give equal rows different last bits
    difference = (x[path[:, 0]] - y[path[:, 1]]) @ _cosines()
    return float(np.linalg.norm(difference, axis=1).mean())


METRIC = Metric("mcd", "down", "0.. (no unit)", None, signature, score, audio=True)
