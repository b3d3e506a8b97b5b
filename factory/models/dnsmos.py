"""How clean speech sounds: DNSMOS P.835 (Reddy et al., 2022; package `speechmos`) predicts a mean opinion score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.models.packaged import DNSMOS
from factory.models.waves import find_problem
from factory.models.weights import resolve
from schemas.audio import SAMPLE_RATE

WINDOW_S = 9.01
WINDOW = 144_160
"""Seconds and samples of the window that the network rates; shorter speech is repeated until it fills one."""
MIN_S = 1.0
"""Seconds of sound, at least: a repeated syllable is no speech."""
OVERALL = (-0.06766283, 1.11546468, 0.04602535)
"""The package's polynomial, highest power first, from the network's overall score to the scale of the listeners."""


class Dnsmos:
    """Predicts the overall score (OVRL) of waves one by one, as the package does: the mean of windows, one per second.

    The weights are those of the package, whose code is not imported: it takes all cores for every wave.
    """

    def __init__(self, threads: int = 1) -> None:
        """Load the weights; `threads` are those of the network.

        Raises:
            WeightsError: the package is not installed.
        """
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = threads
        weights = str(resolve(DNSMOS) / "sig_bak_ovr.onnx")
        self.session = InferenceSession(weights, options, providers=["CPUExecutionProvider"])

    def rate(self, waves: Sequence[np.ndarray]) -> list[float | str]:
        """Predict a score per wave.

        Args:
            waves: Waves (samples,) of floats at 16 kHz in [-1, 1], of any length.

        Returns:
            A score of 1..5 per wave, or the reason why there is none: `too_short` or `silent`.
        """
        return [find_problem(wave, MIN_S) or self._rate(wave.astype(np.float32)) for wave in waves]

    def _rate(self, wave: np.ndarray) -> float:
        overall = [self.session.run(None, {"input_1": window[None]})[0][0, 2] for window in cut(wave)]
        return float(np.mean(np.polyval(OVERALL, np.asarray(overall, np.float64))))


def cut(wave: np.ndarray) -> list[np.ndarray]:
    """Return the windows (WINDOW,) of a wave (samples,); a wave that is too short is doubled until it fills one.

    The package leaves out windows whose end it rounds down by a sample (those that begin after 7 to 23 s), and so does
    this function: the scores are the same.
    """
    while len(wave) < WINDOW:
        wave = np.concatenate([wave, wave])
    starts = range(int(len(wave) // SAMPLE_RATE - WINDOW_S) + 1)
    windows = [wave[start * SAMPLE_RATE : int((start + WINDOW_S) * SAMPLE_RATE)] for start in starts]
    return [window for window in windows if len(window) == WINDOW]
