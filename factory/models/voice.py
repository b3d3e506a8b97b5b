"""A unit vocoder as actors use it: units in, waves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Voice:
    """The vocoder of one language. It always predicts durations, so that all its speech is comparable."""

    def __init__(self, checkpoint: str | Path, threads: int = 1) -> None:
        """Load a vocoder onto the GPU of this process, if it has one.

        Args:
            checkpoint: A name of weights for `factory.models.weights.resolve`.
            threads: Threads of torch, in the whole process.

        Raises:
            WeightsError: The weights cannot be found.
            VocoderError: The checkpoint cannot be used.
        """
        import torch

        from factory.models.device import select_device
        from factory.models.unit_hifigan import CodeHiFiGAN
        from factory.models.weights import resolve

        torch.set_num_threads(threads)
        self.model = CodeHiFiGAN.from_pretrained(resolve(str(checkpoint)), select_device())

    def speak(self, units: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Synthesise speech.

        Args:
            units: Deduplicated units per utterance. Equal utterances are synthesised once.

        Returns:
            A float32 wave (samples,) at 16 kHz per utterance.

        Raises:
            VocoderError: A unit is not in the vocoder's codebook.
        """
        utterances = [tuple(utterance) for utterance in units]
        unique = list(dict.fromkeys(utterances))
        waves = dict(zip(unique, self.model.synthesize(unique), strict=True))
        return [waves[utterance] for utterance in utterances]
