"""Text to speech, for the cascade baseline: a policy's text spoken by a voice that was not trained on its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from factory.models.weights import WeightsError, resolve
from schemas.audio import SAMPLE_RATE


class Speakers:
    """One VITS voice per language (Kim et al., 2021), in transformers' format: `facebook/mms-tts-fra`, or a folder."""

    def __init__(self, voices: Mapping[str, str], threads: int = 1) -> None:
        """Load the voices onto the GPU of this process, if it has one.

        Args:
            voices: Language -> name of weights for `factory.models.weights.resolve`.
            threads: Threads of torch, in the whole process.

        Raises:
            WeightsError: A voice cannot be found or read.
        """
        import torch

        torch.set_num_threads(threads)
        loaded = {lang: _load(name, resolve(name)) for lang, name in voices.items()}
        self.models = {lang: model for lang, (model, _) in loaded.items()}
        self.tokenizers = {lang: tokenizer for lang, (_, tokenizer) in loaded.items()}

    @property
    def languages(self) -> set[str]:
        """Languages that have a voice."""
        return set(self.models)

    def speak(self, texts: Sequence[str], lang: str) -> list[np.ndarray]:
        """Synthesise speech; the same text gives the same wave every time.

        Args:
            texts: One text per utterance.
            lang: A language that has a voice.

        Returns:
            A float32 wave (samples,) at 16 kHz per text; an empty wave if the voice knows no letter of the text.
        """
        return [self._speak(text, lang) for text in texts]

    def _speak(self, text: str, lang: str) -> np.ndarray:
        import soxr
        import torch

        model, ids = self.models[lang], self.tokenizers[lang](text, return_tensors="pt")
        if not ids["input_ids"].numel():
            return np.zeros(0, dtype=np.float32)
        torch.manual_seed(0)  # VITS samples its prosody
        with torch.inference_mode():
            wave = model(**ids.to(model.device)).waveform[0].float().cpu().numpy()
        return np.asarray(soxr.resample(wave, model.config.sampling_rate, SAMPLE_RATE), np.float32)


def _load(name: str, folder: Path) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a voice."""
    from transformers import AutoTokenizer, VitsModel

    from factory.models.device import select_device

    try:
        model: Any = VitsModel.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().split("\n", 1)[0]
        raise WeightsError(
            f"{name} is not a VITS voice that transformers can load ({first_line}); expected a folder or a hub name "
            "such as facebook/mms-tts-fra: change evaluate.cascade"
        ) from error
    return model.eval().to(select_device()), tokenizer
