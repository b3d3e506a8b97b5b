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


class Mos:
    """Predicts the MOS of waves one by one; the package itself rates a long wave by overlapping windows of 7.68 s."""

    def __init__(self, threads: int = 1) -> None:
        """Load the weights of the package; `threads` is set for torch in the whole process."""
        import torch
        from distillmos import ConvTransformerSQAModel

        from factory.models.device import select_device

        torch.set_num_threads(threads)
        self.device = select_device()
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints the path of its weights
            self.model = ConvTransformerSQAModel().eval().to(self.device)

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
        return float(self.model(wave[None].to(self.device))) if len(wave) else float("nan")

    def signature(self) -> str:
        """Return the model's name, version and scale."""
        return f"distillmos:{version('distillmos')}|scale:1..5"
