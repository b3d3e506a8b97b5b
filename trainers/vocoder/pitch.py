"""Pitch of clean speech, for training a vocoder: normalised autocorrelation, the earliest strong peak, a median over time.

Boersma (1993), "Accurate short-term analysis of the fundamental frequency", for dividing by the window's own autocorrelation.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import medfilt
from torch import Tensor

LOW_HZ, HIGH_HZ = 60.0, 450.0
WINDOW = 1024
VOICED = 0.55
"""Least autocorrelation (of 1) of a voiced frame."""


def track(wave: Tensor, frames: int, hop: int = 320, rate: int = 16_000) -> tuple[np.ndarray, np.ndarray]:
    """Return f0 in Hz [frames], interpolated over unvoiced frames, and whether each frame is voiced [frames].

    Frame t is centred on sample `(t + 1/2) hop` of `wave` [samples]. A wave without a voiced frame has 150 Hz throughout.
    """
    shortest = int(rate / HIGH_HZ)
    correlation = _autocorrelation(wave, frames, hop, int(rate / LOW_HZ) + 2)[:, shortest - 1 :]
    inner = correlation[:, 1:-1]
    best = inner.max(1)
    strong = (inner >= correlation[:, :-2]) & (inner >= correlation[:, 2:]) & (inner >= 0.9 * best[:, None])
    place = np.where(strong.any(1), strong.argmax(1), inner.argmax(1))
    f0 = rate / (shortest + place + _parabola(correlation, place))
    voiced = medfilt((best > VOICED).astype(np.float32), 3) > 0.5
    if not voiced.any():
        return np.full(frames, 150.0, np.float32), voiced
    times = np.arange(frames)
    smooth = medfilt(f0[voiced], 5) if voiced.sum() >= 5 else f0[voiced]
    return np.interp(times, times[voiced], smooth).clip(LOW_HZ, HIGH_HZ).astype(np.float32), voiced


def _parabola(correlation: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the peak's offset in samples (-1/2..1/2) of the parabola through column `place + 1` and its two neighbours."""
    rows = np.arange(len(place))
    left, middle, right = (correlation[rows, place + shift] for shift in range(3))
    return np.clip((left - right) / (2 * np.minimum(left - 2 * middle + right, -1e-9)), -0.5, 0.5)


def _autocorrelation(wave: Tensor, frames: int, hop: int, lags: int) -> np.ndarray:
    """Return each frame's autocorrelation [frames, lags], 1 for a perfectly periodic frame, about 0 for silence."""
    padded = F.pad(wave, (WINDOW // 2 - hop // 2, WINDOW + frames * hop))
    pieces = padded.unfold(0, WINDOW, hop)[:frames]
    window = torch.hann_window(WINDOW)
    power = torch.fft.rfft((pieces - pieces.mean(1, keepdim=True)) * window, 2 * WINDOW).abs().square()
    raw = torch.fft.irfft(power)[:, :lags]
    shape = torch.fft.irfft(torch.fft.rfft(window, 2 * WINDOW).abs().square())[:lags]
    return (raw / (raw[:, :1] + 1e-3) * (shape[0] / shape)).numpy()
