"""The pitch of clean speech, for the training of a vocoder.

Normalised autocorrelation, divided by that of the window (Boersma 1993, "Accurate short-term analysis of the
fundamental frequency"), the earliest strong peak, and a median over time.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.signal import medfilt
from torch import Tensor

from schemas.audio import SAMPLE_RATE

LOW_HZ, HIGH_HZ = 60.0, 450.0
WINDOW = 1024
"""Samples of a frame."""
MIN_VOICED = 0.55
"""The smallest autocorrelation (at most 1) of a voiced frame."""
STRONG = 0.9
"""A peak is strong above this share of the highest one; the earliest strong peak avoids halved pitch."""
UNVOICED_HZ = 150.0
"""The pitch of a wave without a voiced frame."""

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def track_pitch(wave: Tensor, frames: int, hop: int = 320, rate: int = SAMPLE_RATE) -> tuple[Floats, Bools]:
    """Return the pitch of each frame, and whether it is voiced.

    Args:
        wave: samples (N,); frame t is centred on sample (t + 1/2) hop.
        frames: the number of frames T.
        hop: samples per frame.
        rate: samples per second.

    Returns:
        The pitch in Hz (T,), interpolated over unvoiced frames, and voicing (T,).
    """
    shortest = int(rate / HIGH_HZ)
    correlation = _autocorrelation(wave, frames, hop, int(rate / LOW_HZ) + 2)[:, shortest - 1 :]
    inner = correlation[:, 1:-1]
    best = inner.max(1)
    strong = (inner >= correlation[:, :-2]) & (inner >= correlation[:, 2:]) & (inner >= STRONG * best[:, None])
    lag = np.where(strong.any(1), strong.argmax(1), inner.argmax(1))
    f0 = rate / (shortest + lag + _peak_offset(correlation, lag))
    voiced: Bools = medfilt((best > MIN_VOICED).astype(np.float32), 3) > 0.5
    if not voiced.any():
        return np.full(frames, UNVOICED_HZ, np.float32), voiced
    times = np.arange(frames)
    smooth = medfilt(f0[voiced], 5) if voiced.sum() >= 5 else f0[voiced]
    return np.interp(times, times[voiced], smooth).clip(LOW_HZ, HIGH_HZ).astype(np.float32), voiced


def _peak_offset(correlation: Floats, lag: NDArray[np.int64]) -> Floats:
    """Return the offset in samples (-1/2..1/2) of the top of the parabola through columns `lag` to `lag` + 2."""
    rows = np.arange(len(lag))
    left, middle, right = (correlation[rows, lag + shift] for shift in range(3))
    offset: Floats = (left - right) / (2 * np.minimum(left - 2 * middle + right, -1e-9))
    return offset.clip(-0.5, 0.5)


def _autocorrelation(wave: Tensor, frames: int, hop: int, lags: int) -> Floats:
    """Return the autocorrelation of each frame (T, lags): 1 for a periodic frame, about 0 for silence."""
    padded = F.pad(wave, (WINDOW // 2 - hop // 2, WINDOW + frames * hop))
    pieces = padded.unfold(0, WINDOW, hop)[:frames]
    window = torch.hann_window(WINDOW)
    power = torch.fft.rfft((pieces - pieces.mean(1, keepdim=True)) * window, 2 * WINDOW).abs().square()
    raw = torch.fft.irfft(power)[:, :lags]
    shape = torch.fft.irfft(torch.fft.rfft(window, 2 * WINDOW).abs().square())[:lags]
    normalised: Floats = (raw / (raw[:, :1] + 1e-3) * (shape[0] / shape)).numpy()
    return normalised
