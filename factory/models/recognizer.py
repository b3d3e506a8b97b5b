"""Whisper through CTranslate2: speech to text in batches, with an audio context as short as the utterances allow.

Whisper was trained on windows of 30 s. Its usual pipelines pad every utterance to 30 s, and the encoder spends its time
on the padding. Whisper's positions are absolute and begin at 0, so it knows the positions of a shorter window. With
windows of 6 s it repeats some short utterances until the length limit; with 10 s it repeated none of those that the
length was chosen on (see `docs/results.md`). An output that looks like such a loop is transcribed again with the full
30 s. If that loops too, the repetitions are removed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from factory.metrics import normalise
from factory.models.weights import WeightsError, resolve
from schemas.audio import SAMPLE_RATE

CONTEXTS_S = (10.0, 20.0, 30.0)
"""Seconds of the windows; an utterance gets the shortest one that holds it."""
TOKENS_PER_S, MIN_TOKENS, MAX_TOKENS = 12, 24, 224
"""The length limit of a transcript: tokens per second of speech, and its bounds."""
LOOP_COMPRESSION = 2.4
"""A text that zlib compresses by a higher ratio repeats itself: Whisper's own limit."""
_ENCODER_BATCH = 2  # more would leave the cache of a CPU core: 0.13 s per utterance with 2, 0.21 s with 16
_DECODER_BATCH = 16

_Item = TypeVar("_Item")


class _Result(NamedTuple):
    """A transcript; `loops` is True if it reached its limit or repeats itself."""

    text: str
    loops: bool = False


def protocol(*, model: str, compute_type: str, beam_size: int, lang: str) -> str:
    """Describe all that changes a transcript; ASR-BLEU is comparable only if the descriptions are equal.

    Args:
        model: The name of the weights.
        compute_type: CTranslate2's arithmetic: `int8`, `float16` or `float32`.
        beam_size: Hypotheses of the beam search; 1 is greedy.
        lang: The language of the speech, which selects the normaliser of the texts.
    """
    contexts = ",".join(f"{context:g}" for context in CONTEXTS_S)
    search = f"{compute_type}|beam:{beam_size}|temp:0|context:{contexts}s,loops:30s"
    return f"asr:{model}|lang:{lang}|{search}|{normalise.signature(lang)}"


class Recognizer:
    """A multilingual Whisper in CTranslate2's format. It does not guess the language: the caller names it."""

    def __init__(
        self, *, model: str, compute_type: str, beam_size: int, threads: int = 1, device: str = "auto"
    ) -> None:
        """Load the model.

        Args:
            model: A name of weights for `factory.models.weights.resolve`.
            compute_type: CTranslate2's arithmetic: `int8`, `float16` or `float32`.
            beam_size: Hypotheses of the beam search; 1 is greedy.
            threads: Threads of a computation on a CPU.
            device: `cpu`, `cuda` or `auto`.

        Raises:
            WeightsError: The weights cannot be found, or are not a multilingual Whisper for CTranslate2.
        """
        from faster_whisper.feature_extractor import FeatureExtractor

        self.model, self.beam_size = model, beam_size
        self.whisper, self.tokenizer = _load(model, resolve(model), compute_type, threads, device)
        self.features = FeatureExtractor(feature_size=self.whisper.n_mels)

    def transcribe(self, waves: Sequence[np.ndarray], lang: str) -> list[str]:
        """Transcribe speech. A transcript does not depend on the other waves of a call.

        Args:
            waves: Waves (samples,) of floats at 16 kHz; one longer than 30 s is transcribed in pieces of 30 s.
            lang: The language of the speech, as a two-letter code.

        Returns:
            A transcript per wave; an empty one for an empty wave.

        Raises:
            WeightsError: Whisper does not know the language.
        """
        prompt = self._prompt(lang)
        owners, pieces = _cut(waves)
        results = [_Result("")] * len(pieces)
        for context, indices in _group_by_context(pieces):
            self._transcribe_into(results, pieces, indices, context, prompt)
        longest = int(CONTEXTS_S[-2] * SAMPLE_RATE)  # a longer piece had the full context already
        loops = [index for index, result in enumerate(results) if result.loops and len(pieces[index]) <= longest]
        self._transcribe_into(results, pieces, loops, CONTEXTS_S[-1], prompt)
        texts: list[list[str]] = [[] for _ in waves]
        for owner, result in zip(owners, results, strict=True):
            texts[owner].append(remove_repetitions(result.text) if result.loops else result.text)
        return [" ".join(filter(None, parts)) for parts in texts]

    def _prompt(self, lang: str) -> list[int]:
        names = ("<|startoftranscript|>", f"<|{lang}|>", "<|transcribe|>", "<|notimestamps|>")
        ids = [self.tokenizer.token_to_id(name) for name in names]
        if None in ids:
            raise WeightsError(
                f"the recognizer {self.model} does not know the language {lang!r}: use a code of Whisper's, such as en "
                "or fr, or change recognizer.model"
            )
        return ids

    def _transcribe_into(
        self, results: list[_Result], pieces: list[np.ndarray], indices: list[int], context: float, prompt: list[int]
    ) -> None:
        """Transcribe the pieces at these indices with one context (seconds), and store their results."""
        for batch in _batches(indices, _DECODER_BATCH):
            transcribed = self._transcribe_batch([pieces[index] for index in batch], context, prompt)
            for index, result in zip(batch, transcribed, strict=True):
                results[index] = result

    def _transcribe_batch(self, waves: list[np.ndarray], context: float, prompt: list[int]) -> list[_Result]:
        limits = [max(MIN_TOKENS, min(MAX_TOKENS, int(TOKENS_PER_S * len(wave) / SAMPLE_RATE))) for wave in waves]
        states, prompts, longest = self._encode(waves, context), [prompt] * len(waves), _max_length(max(limits), prompt)
        outputs = self.whisper.generate(states, prompts, beam_size=self.beam_size, max_length=longest)
        return [self._read(output.sequences_ids[0], limit) for output, limit in zip(outputs, limits, strict=True)]

    def _read(self, tokens: list[int], limit: int) -> _Result:
        """Cut the tokens at the utterance's own limit: the limit of the batch depends on its other utterances."""
        text = self.tokenizer.decode(tokens[:limit]).strip()
        return _Result(text, len(tokens) >= limit or is_repetitive(text))

    def _encode(self, waves: list[np.ndarray], context: float) -> Any:
        """Return the encoder's states of a batch, computed for a few utterances at a time."""
        import ctranslate2

        parts = []
        for batch in _batches(waves, _ENCODER_BATCH):
            features = np.stack([self._log_mel(wave, context) for wave in batch])
            parts.append(np.array(self.whisper.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)))
        return ctranslate2.StorageView.from_array(np.concatenate(parts))

    def _log_mel(self, wave: np.ndarray, context: float) -> np.ndarray:
        """Return log-mel features (mels, 100 * context) of a wave padded with silence."""
        padded = np.zeros(int(context * SAMPLE_RATE), dtype=np.float32)
        padded[: len(wave)] = wave
        return np.ascontiguousarray(self.features(padded, padding=0)[:, : int(context * 100)], dtype=np.float32)


def _max_length(limit: int, prompt: Sequence[int]) -> int:
    """Return the `max_length` of CTranslate2 that lets an output have `limit` tokens.

    Its Whisper gives an output min(max_length / 2, max_length - prompt) tokens, as OpenAI's does.
    """
    return max(2 * limit, limit + len(prompt))


def is_repetitive(text: str) -> bool:
    """Return True if a text repeats itself more than speech does: zlib compresses it by more than LOOP_COMPRESSION."""
    raw = text.encode()
    return bool(raw) and len(raw) / len(zlib.compress(raw)) > LOOP_COMPRESSION


def remove_repetitions(text: str) -> str:
    """Keep one copy of every phrase of three or more words that follows itself."""
    return re.sub(r"\b((?:\S+\s+){2,}?\S+)(?:\s+\1)+", r"\1", text)


def _load(model: str, folder: Path, compute_type: str, threads: int, device: str) -> tuple[Any, Any]:
    """Return the network and the tokenizer of a multilingual Whisper."""
    import ctranslate2
    import tokenizers

    expected = "expected a multilingual Whisper for CTranslate2: change recognizer.model"
    if missing := [name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()]:
        raise WeightsError(f"the recognizer {model} has no {' and no '.join(missing)} in {folder}; {expected}")
    try:
        whisper = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=compute_type, intra_threads=threads
        )
    except ValueError as error:
        raise WeightsError(
            f"the recognizer {model} does not run with compute_type {compute_type} on this machine ({error}): change "
            "recognizer.compute_type"
        ) from error
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise
        raise WeightsError(f"the recognizer {model} cannot be loaded ({error}); {expected}") from error
    if not whisper.is_multilingual:
        raise WeightsError(f"the recognizer {model} knows one language only; {expected}")
    try:
        return whisper, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises Exception itself
        raise WeightsError(f"the recognizer {model} has a damaged tokenizer.json ({error}): fetch it again") from error


def _cut(waves: Sequence[np.ndarray]) -> tuple[list[int], list[np.ndarray]]:
    """Cut waves into pieces of at most 30 s; return the index of each piece's wave, and the pieces."""
    size = int(CONTEXTS_S[-1] * SAMPLE_RATE)
    cuts = [
        (owner, wave[start : start + size]) for owner, wave in enumerate(waves) for start in range(0, len(wave), size)
    ]
    return [owner for owner, _ in cuts], [piece for _, piece in cuts]


def _group_by_context(waves: list[np.ndarray]) -> Iterator[tuple[float, list[int]]]:
    """Yield every context with the indices of its waves; a wave has the shortest context (seconds) that holds it."""
    shortest = [next(context for context in CONTEXTS_S if len(wave) <= context * SAMPLE_RATE) for wave in waves]
    for context in CONTEXTS_S:
        indices = [index for index, own in enumerate(shortest) if own == context]
        if indices:
            yield context, indices


def _batches(items: Sequence[_Item], size: int) -> Iterator[list[_Item]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
