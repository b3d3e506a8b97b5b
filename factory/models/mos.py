"""How natural speech sounds: DistilMOS (Stahl and Gamper, 2025, package `distillmos`), which predicts a mean opinion score."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

WINDOW = 122_880  # samples at 16 kHz (7.68 s) that the network hears at once


class Mos:
    """Rates waves one batch of equal windows at a time; longer waves are rated as the package does it, by overlapping windows."""

    def __init__(self, threads: int = 1) -> None:
        """Load the weights inside the package; `threads` is set for torch in the whole process."""
        import torch
        from distillmos import ConvTransformerSQAModel

        from factory.models.device import device

        torch.set_num_threads(threads)
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints where its weights are
            self.model = ConvTransformerSQAModel().eval().to(device())
        self.device = device()

    def rate(self, waves: Sequence[np.ndarray]) -> list[float]:
        """Return the predicted MOS (1..5) of each wave (samples,), float at 16 kHz; an empty wave has none: NaN."""
        import torch

        with torch.inference_mode():
            return [
                self._rate(torch.from_numpy(wave.astype(np.float32))) if len(wave) else float("nan") for wave in waves
            ]

    def _rate(self, wave: torch.Tensor) -> float:
        return float(self.model(wave[None].to(self.device)))

    def signature(self) -> str:
        """Return the model's name and version."""
        return f"distillmos:{version('distillmos')}|scale:1..5"
