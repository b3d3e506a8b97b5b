"""A unit vocoder as a pass uses it: units in, waves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Voice:
    """One language's vocoder; durations are always predicted, so that all that it says is comparable."""

    def __init__(self, checkpoint: str | Path, threads: int = 1) -> None:
        """Load the voice onto the GPU where this process has one; `threads` is set for torch in the whole process."""
        import torch

        from factory.models.device import device
        from factory.models.unit_hifigan import CodeHiFiGAN
        from factory.models.weights import resolve

        torch.set_num_threads(threads)
        self.model = CodeHiFiGAN.from_pretrained(resolve(str(checkpoint)), device())

    def speak(self, units: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return a float32 wave at 16 kHz for every list of deduplicated units; equal lists are spoken once."""
        lines = [tuple(line) for line in units]
        unique = list(dict.fromkeys(lines))
        waves = dict(zip(unique, self.model.synthesize(unique), strict=True))
        return [waves[line] for line in lines]
