"""How alike two voices are: the cosine of embeddings by Resemblyzer, a speaker encoder (Wan et al., 2018)."""

from __future__ import annotations

import numpy as np

from factory.models.packaged import RESEMBLYZER
from factory.models.waves import find_problem
from factory.models.weights import resolve
from schemas.audio import SAMPLE_RATE

MIN_S = 1.0
"""Seconds of voice, at least. The network reads windows of 1.6 s and gets zeros for what a short one lacks."""


class SpeakerSimilarity:
    """Embeds voices as the package `resemblyzer` does: at -30 dBFS or louder, without long silence, in windows."""

    def __init__(self, threads: int = 1) -> None:
        """Load the weights; `threads` is set for torch in the whole process.

        Raises:
            WeightsError: the packages are not installed.
        """
        weights = resolve(RESEMBLYZER) / "pretrained.pt"
        import torch
        from resemblyzer import VoiceEncoder

        from factory.models.device import select_device

        torch.set_num_threads(threads)
        self.encoder = VoiceEncoder(select_device(), verbose=False, weights_fpath=weights)

    def embed(self, wave: np.ndarray) -> np.ndarray | str:
        """Return the embedding of a voice.

        Args:
            wave: A wave (samples,) of floats at 16 kHz in [-1, 1].

        Returns:
            A vector (256,) of length 1, without negative values; or the reason why there is none: `too_short`,
            `silent`, or `too_little_voice` (the package's voice detector finds less than MIN_S).
        """
        from resemblyzer import preprocess_wav

        if problem := find_problem(wave, MIN_S):
            return problem
        voice = preprocess_wav(wave.astype(np.float32))
        if len(voice) < MIN_S * SAMPLE_RATE:
            return "too_little_voice"
        embedding: np.ndarray = self.encoder.embed_utterance(voice)
        return embedding


def compare_voices(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine (0..1) of the embeddings (256,) of two voices; 1 is the same voice."""
    return float(np.clip(one @ other, 0.0, 1.0))
