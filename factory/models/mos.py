"""Naturalness of speech: DistilMOS (Stahl and Gamper, 2025; package `distillmos`) predicts a mean opinion score."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


WINDOW = 122_880
"""Samples (7.68 s) of the window that the network rates; shorter speech is padded with zeros."""
FRAME = 320
"""Samples (20 ms) of a frame of the convolutions' output."""
REACH = 4
"""Frames that an output frame sees on each side: six convolutions of width 3 over frames of 10 ms, and the STFT."""


class Mos:
    """Predicts the MOS of waves one by one, as the package does: a long wave by overlapping windows of 7.68 s.

    Most of the time goes into convolutions over the zeros behind a short wave. There they give the same frame again and
    again, so this class computes that frame once and the convolutions over the speech alone. The prediction is the
    package's, up to the rounding of float32.
    """

    def __init__(self, threads: int = 1) -> None:
        """Load the weights of the package; `threads` is set for torch in the whole process."""
        import torch
        from distillmos import ConvTransformerSQAModel

        from factory.models.device import select_device

        torch.set_num_threads(threads)
        self.device = select_device()
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints the path of its weights
            self.model = ConvTransformerSQAModel().eval().to(self.device)
        with torch.inference_mode():
            silence = self.model.cnn(torch.zeros(1, 4 * REACH * FRAME, device=self.device))
        self.silent_frame, self.silent_end = silence[:, :, 2 * REACH : 2 * REACH + 1], silence[:, :, -REACH:]

    def rate(self, waves: Sequence[np.ndarray]) -> list[float]:
        """Predict a MOS per wave.

        Args:
            waves: Waves (samples,) of floats at 16 kHz, of any length.

        Returns:
            A MOS of 1..5 per wave; NaN for an empty wave.
        """
        import torch

        with torch.inference_mode():
            return [self._rate(torch.from_numpy(wave.astype(np.float32))) for wave in waves]

    def _rate(self, wave: torch.Tensor) -> float:
        if not len(wave):
            return float("nan")
        spoken = -(-len(wave) // FRAME) + REACH  # frames that see the wave
        if (spoken + REACH) * FRAME >= WINDOW:
            return float(self.model(wave[None].to(self.device)))
        return float(1 + 4 * self.model.transformer_pool_attn(self._features(wave, spoken).permute(0, 2, 1)))

    def _features(self, wave: torch.Tensor, spoken: int) -> torch.Tensor:
        """Return the features (1, channels, frames) of a window that begins with a short wave.

        The convolutions see zeros on the right of the frames that are kept, as they would in the whole window.
        """
        import torch

        padded = torch.zeros(1, (spoken + REACH) * FRAME, device=self.device)
        padded[0, : len(wave)] = wave / (wave.abs().max() + 1e-8)
        heard = self.model.cnn(padded)[:, :, :spoken]
        silent = self.silent_frame.expand(-1, -1, WINDOW // FRAME - spoken - REACH)
        return torch.cat([heard, silent, self.silent_end], dim=2)

    @staticmethod
    def signature() -> str:
        """Return the model's name, version and scale."""
        return f"distillmos:{version('distillmos')}|scale:1..5"
