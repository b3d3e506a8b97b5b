"""Whisper through CTranslate2: speech to text in batches, with an audio context as short as the utterances allow.

Whisper was trained on windows of 30 s, and its usual pipelines pad every utterance to that; the encoder's cost is that of the padding.
Its positions are absolute and begin at 0, so a shorter window is one that it knows. At 6 s some short utterances are repeated until the
length limit, at 10 s none of those that it was chosen on (see `docs/results.md`); an output that looks like such a loop is heard again
with the full 30 s, and its repetitions are taken out if it loops still.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from factory.metrics import normalise
from factory.models.weights import resolve
from factory.recipe import sections as recipe_sections

RATE = 16_000
CONTEXTS_S = (10.0, 20.0, 30.0)
LONGEST_S = 30.0
TOKENS_PER_S, LEAST_TOKENS, MOST_TOKENS = 12, 24, 224
LOOP_COMPRESSION = 2.4
_ENCODED_TOGETHER = 2  # more would leave the cache of a CPU core: 0.13 s an utterance at 2, 0.21 s at 16
_DECODED_TOGETHER = 16


class _Heard(NamedTuple):
    """A transcript, and whether it looks like a loop: it never ended, or it repeats itself."""

    text: str
    loops: bool = False


def protocol(asked: recipe_sections.RecognizerConfig, lang: str) -> str:
    """Return what makes two ASR-BLEUs comparable: the model, the search, the padding and the normaliser."""
    contexts = ",".join(f"{context:g}" for context in CONTEXTS_S)
    search = f"{asked.compute_type}|beam:{asked.beam_size}|temp:0|context:{contexts}s,loops:30s"
    return f"asr:{asked.model}|lang:{lang}|{search}|{normalise.signature(lang)}"


class Recognizer:
    """Whisper in CTranslate2's format (`model`: a name for `factory.models.weights.resolve`), greedy by default, language given."""

    def __init__(
        self,
        *,
        model: str = "package:whisper-base",
        compute_type: str = "int8",
        beam_size: int = 1,
        threads: int = 1,
        device: str = "auto",
    ) -> None:
        """Load the model; `device` is `cpu`, `cuda` or `auto`. Raises ValueError when the folder holds no multilingual Whisper."""
        import ctranslate2
        import tokenizers
        from faster_whisper.feature_extractor import FeatureExtractor

        folder = resolve(model)
        self.model, self.beam_size = model, beam_size
        self.whisper = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=compute_type, intra_threads=threads
        )
        if not self.whisper.is_multilingual:
            raise ValueError(f"{model} knows one language only: a multilingual Whisper is needed")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.features = FeatureExtractor(feature_size=self.whisper.n_mels)

    def transcribe(self, waves: Sequence[np.ndarray], lang: str) -> list[str]:
        """Return the transcript of each wave (samples,), float at 16 kHz; what is longer than 30 s is heard in pieces of 30 s.

        An empty wave has an empty transcript. Raises ValueError for a language that Whisper does not know.
        """
        prompt = self._prompt(lang)
        owners, pieces = _pieces(waves)
        heard = [_Heard("")] * len(pieces)
        for context, places in _by_context(pieces):
            self._fill(heard, pieces, places, context, prompt)
        loops = [place for place, one in enumerate(heard) if one.loops and len(pieces[place]) <= CONTEXTS_S[-2] * RATE]
        self._fill(heard, pieces, loops, LONGEST_S, prompt)
        texts: list[list[str]] = [[] for _ in waves]
        for owner, one in zip(owners, heard, strict=True):
            texts[owner].append(unrolled(one.text) if one.loops else one.text)
        return [" ".join(filter(None, parts)) for parts in texts]

    def _prompt(self, lang: str) -> list[int]:
        names = ("<|startoftranscript|>", f"<|{lang}|>", "<|transcribe|>", "<|notimestamps|>")
        ids = [self.tokenizer.token_to_id(name) for name in names]
        if None in ids:
            raise ValueError(f"{self.model} knows no language {lang!r}")
        return [place for place in ids if place is not None]

    def _fill(
        self, heard: list[_Heard], pieces: list[np.ndarray], places: list[int], context: float, prompt: list[int]
    ) -> None:
        """Hear the pieces at these places with one context and put what was heard in their places."""
        for some in _batches(places, _DECODED_TOGETHER):
            waves = [pieces[place] for place in some]
            for place, one in zip(some, self._hear(waves, context, prompt), strict=True):
                heard[place] = one

    def _hear(self, waves: list[np.ndarray], context: float, prompt: list[int]) -> list[_Heard]:
        limits = [max(LEAST_TOKENS, min(MOST_TOKENS, int(TOKENS_PER_S * len(wave) / RATE))) for wave in waves]
        prompts, longest = [prompt] * len(waves), max(limits) + len(prompt)
        found = self.whisper.generate(
            self._encode(waves, context), prompts, beam_size=self.beam_size, max_length=longest
        )
        return [self._read(one.sequences_ids[0], limit) for one, limit in zip(found, limits, strict=True)]

    def _read(self, tokens: list[int], limit: int) -> _Heard:
        """Cut at the utterance's own limit, so that a transcript does not depend on its batch."""
        text = self.tokenizer.decode(tokens[:limit]).strip()
        return _Heard(text, len(tokens) >= limit or compresses(text))

    def _encode(self, waves: list[np.ndarray], context: float) -> Any:
        """Return the encoder's states of a batch, computed for a few utterances at a time and put together."""
        import ctranslate2

        parts = []
        for few in _batches(waves, _ENCODED_TOGETHER):
            features = np.stack([self._features(wave, context) for wave in few])
            parts.append(np.array(self.whisper.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)))
        return ctranslate2.StorageView.from_array(np.concatenate(parts))

    def _features(self, wave: np.ndarray, context: float) -> np.ndarray:
        """Return (mels, 100 x context) log-mel features of a wave padded with silence."""
        padded = np.zeros(int(context * RATE), dtype=np.float32)
        padded[: len(wave)] = wave
        return np.ascontiguousarray(self.features(padded, padding=0)[:, : int(context * 100)], dtype=np.float32)


def compresses(text: str) -> bool:
    """Return whether a text repeats itself more than speech does: it compresses better than Whisper's own limit, 2.4."""
    raw = text.encode()
    return bool(raw) and len(raw) / len(zlib.compress(raw)) > LOOP_COMPRESSION


def unrolled(text: str) -> str:
    """Return a text with every phrase of three words or more that repeats at once said a single time."""
    return re.sub(r"\b((?:\S+\s+){2,}?\S+)(?:\s+\1)+", r"\1", text)


def _pieces(waves: Sequence[np.ndarray]) -> tuple[list[int], list[np.ndarray]]:
    """Cut waves into pieces of at most 30 s; return which wave each piece belongs to, and the pieces."""
    size = int(LONGEST_S * RATE)
    cut = [
        (owner, wave[start : start + size]) for owner, wave in enumerate(waves) for start in range(0, len(wave), size)
    ]
    return [owner for owner, _ in cut], [piece for _, piece in cut]


def _by_context(waves: list[np.ndarray]) -> Iterator[tuple[float, list[int]]]:
    """Yield each context in use with the places of its waves: the shortest context that holds a wave."""
    shortest = [next(context for context in CONTEXTS_S if len(wave) <= context * RATE) for wave in waves]
    for context in CONTEXTS_S:
        members = [place for place, own in enumerate(shortest) if own == context]
        if members:
            yield context, members


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
