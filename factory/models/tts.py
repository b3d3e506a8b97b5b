"""Text to speech by name, for the cascade baseline: a policy's text spoken by a voice that never saw its units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from factory.models.weights import resolve
from schemas.audio import SAMPLE_RATE


class Speakers:
    """One VITS voice a language (Kim et al., 2021), as transformers loads it: `facebook/mms-tts-fra`, or a folder of the same layout."""

    def __init__(self, voices: dict[str, str], threads: int = 1) -> None:
        """Load the voices; `threads` is set for torch in the whole process."""
        import torch
        from transformers import AutoTokenizer, VitsModel

        from factory.models.device import device

        torch.set_num_threads(threads)
        folders = {lang: resolve(name) for lang, name in voices.items()}
        self.models: dict[str, Any] = {
            lang: VitsModel.from_pretrained(folder).eval().to(device()) for lang, folder in folders.items()
        }
        self.tokenizers: dict[str, Any] = {
            lang: AutoTokenizer.from_pretrained(folder) for lang, folder in folders.items()
        }

    @property
    def languages(self) -> set[str]:
        """Languages that have a voice."""
        return set(self.models)

    def speak(self, texts: Sequence[str], lang: str) -> list[np.ndarray]:
        """Return a wave (16 kHz) for each text, the same every time; a text without a letter that the voice knows is silence."""
        return [self._speak(text, lang) for text in texts]

    def _speak(self, text: str, lang: str) -> np.ndarray:
        import soxr
        import torch

        model, ids = self.models[lang], self.tokenizers[lang](text, return_tensors="pt")
        if not ids["input_ids"].numel():
            return np.zeros(0, dtype=np.float32)
        torch.manual_seed(0)  # VITS draws its prosody
        with torch.inference_mode():
            wave = model(**ids.to(model.device)).waveform[0].float().cpu().numpy()
        return soxr.resample(wave, model.config.sampling_rate, SAMPLE_RATE).astype(np.float32)
