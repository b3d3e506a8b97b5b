"""Whisper in CTranslate2's format, as the recognizer and the aligner use it: its loading, its prompt, its encoder.

Whisper was trained on windows of 30 s. Its usual pipelines pad every utterance to 30 s, and the encoder spends its time
on the padding. Whisper's positions are absolute and begin at 0, so it knows the positions of a shorter window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from factory.models.weights import WeightsError, resolve
from schemas.audio import SAMPLE_RATE

CONTEXTS_S = (10.0, 20.0, 30.0)
"""Seconds of the windows; an utterance gets the shortest one that holds it."""
_ENCODER_BATCH = 2  # more would leave the cache of a CPU core: 0.13 s per utterance with 2, 0.21 s with 16

_Item = TypeVar("_Item")


class WhisperNetwork:
    """A multilingual Whisper in CTranslate2's format.

    Attributes:
        role: The section of a recipe that names the weights, for messages: `recognizer` or `aligner`.
        model: The name of the weights.
        whisper: CTranslate2's network.
        tokenizer: Its tokenizer, of the library `tokenizers`.
    """

    def __init__(self, role: str, model: str, *, compute_type: str, threads: int, device: str = "auto") -> None:
        """Load the model.

        Args:
            role: The section of a recipe that names the weights.
            model: A name of weights for `factory.models.weights.resolve`.
            compute_type: CTranslate2's arithmetic: `int8`, `float16` or `float32`.
            threads: Threads of a computation on a CPU.
            device: `cpu`, `cuda` or `auto`.

        Raises:
            WeightsError: The weights cannot be found, or are not a multilingual Whisper for CTranslate2.
        """
        from faster_whisper.feature_extractor import FeatureExtractor

        self.role, self.model = role, model
        folder = resolve(model)
        self.whisper = self._load_network(folder, compute_type, threads, device)
        self.tokenizer = self._load_tokenizer(folder)
        self.features = FeatureExtractor(feature_size=self.whisper.n_mels)

    def prompt(self, lang: str) -> list[int]:
        """Return the tokens that a transcript without time stamps begins with.

        Raises WeightsError if Whisper does not know the language.
        """
        names = ("<|startoftranscript|>", f"<|{lang}|>", "<|transcribe|>", "<|notimestamps|>")
        ids = [self.tokenizer.token_to_id(name) for name in names]
        if None in ids:
            raise WeightsError(
                f"the {self.role} {self.model} does not know the language {lang!r}: use a code of Whisper's, such as "
                f"en or fr, or change {self.role}.model"
            )
        return ids

    def encode(self, waves: Sequence[np.ndarray], context: float) -> Any:
        """Return the encoder's states of a batch, computed for a few utterances at a time.

        Args:
            waves: Waves (samples,) at 16 kHz, none longer than the context.
            context: Seconds of the window: one of CONTEXTS_S.
        """
        import ctranslate2

        parts = []
        for batch in batches(waves, _ENCODER_BATCH):
            features = np.stack([self._log_mel(wave, context) for wave in batch])
            parts.append(np.array(self.whisper.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)))
        return ctranslate2.StorageView.from_array(np.concatenate(parts))

    def detect_languages(self, states: Any) -> list[str]:
        """Return the code of the most probable language of each utterance of encoder's states (`encode`).

        It is one step of the decoder, over all languages that Whisper knows (Radford et al., 2023, section 2.3).
        """
        return [guesses[0][0].strip("<|>") for guesses in self.whisper.detect_language(states)]

    def _log_mel(self, wave: np.ndarray, context: float) -> np.ndarray:
        """Return log-mel features (mels, 100 * context) of a wave padded with silence."""
        padded = np.zeros(int(context * SAMPLE_RATE), dtype=np.float32)
        padded[: len(wave)] = wave
        return np.ascontiguousarray(self.features(padded, padding=0)[:, : int(context * 100)], dtype=np.float32)

    @property
    def _expected(self) -> str:
        return f"expected a multilingual Whisper for CTranslate2: change {self.role}.model"

    def _load_network(self, folder: Path, compute_type: str, threads: int, device: str) -> Any:
        import ctranslate2

        name = f"the {self.role} {self.model}"
        if missing := [file for file in ("model.bin", "tokenizer.json") if not (folder / file).is_file()]:
            raise WeightsError(f"{name} has no {' and no '.join(missing)} in {folder}; {self._expected}")
        try:
            whisper = ctranslate2.models.Whisper(
                str(folder), device=device, compute_type=compute_type, intra_threads=threads
            )
        except ValueError as error:
            raise WeightsError(
                f"{name} does not run with compute_type {compute_type} on this machine ({error}): change "
                f"{self.role}.compute_type"
            ) from error
        except RuntimeError as error:
            if "out of memory" in str(error):
                raise
            raise WeightsError(f"{name} cannot be loaded ({error}); {self._expected}") from error
        if not whisper.is_multilingual:
            raise WeightsError(f"{name} knows one language only; {self._expected}")
        return whisper

    def _load_tokenizer(self, folder: Path) -> Any:
        import tokenizers

        try:
            return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises Exception itself
            raise WeightsError(
                f"the {self.role} {self.model} has a damaged tokenizer.json ({error}): fetch it again"
            ) from error


def group_by_context(waves: Sequence[np.ndarray]) -> Iterator[tuple[float, list[int]]]:
    """Yield every context with the indices of its waves; a wave has the shortest context (seconds) that holds it."""
    shortest = [shortest_context(wave) for wave in waves]
    for context in CONTEXTS_S:
        indices = [index for index, own in enumerate(shortest) if own == context]
        if indices:
            yield context, indices


def shortest_context(wave: np.ndarray) -> float:
    """Return the shortest context (seconds) that holds a wave (samples,) of at most 30 s."""
    return next(context for context in CONTEXTS_S if len(wave) <= context * SAMPLE_RATE)


def batches(items: Sequence[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of `size`, and the rest."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
