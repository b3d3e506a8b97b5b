"""Whisper through CTranslate2: speech to text in batches, with an audio context as short as the utterances allow.

With a short context (`factory.models.whisper`) it repeats some short utterances until the length limit: with windows of
6 s, not with 10 s on the utterances that the length was chosen on (see `docs/results.md`). An output that looks like
such a loop is transcribed again with the full 30 s. If that loops too, the repetitions are removed.

On silence, noise or a single unit Whisper writes words that nobody said, such as "you". A wave that it takes for no
speech, or whose text nobody could say in its time, therefore has an empty transcript.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from factory.metrics import normalise
from factory.models.whisper import CONTEXTS_S, WhisperNetwork, batches, group_by_context
from schemas.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from ctranslate2.models import WhisperGenerationResult

TOKENS_PER_S, MIN_TOKENS, MAX_TOKENS = 12, 24, 224
"""The length limit of a transcript: tokens per second of speech, and its bounds."""
LOOP_COMPRESSION = 2.4
"""A text that zlib compresses by a higher ratio repeats itself: Whisper's own limit."""
NO_SPEECH = 0.6
"""The probability of no speech (0..1) above which there is none: Whisper's own limit. Silence, noise, and speech of
one or two units have 0.66 to 0.94; the shipped recordings and their resynthesis have 0.18 at most."""
MAX_CHARACTERS_PER_S = 50
"""Characters of a transcript per second of its wave; fast speech has some 25."""
_DECODER_BATCH = 16


class Transcript(NamedTuple):
    """The words of a wave, and the most probable language of its speech: Whisper's code; None if nothing is said."""

    text: str
    lang: str | None = None


class _Task(NamedTuple):
    """What is computed of a batch: its transcripts after a prompt, and its languages if `detects`."""

    prompt: list[int]
    detects: bool


class _Result(NamedTuple):
    """A transcript and its language; `loops` is True if it reached its limit or repeats itself."""

    text: str
    loops: bool = False
    lang: str | None = None


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
    silence = f"no_speech:{NO_SPEECH:g},{MAX_CHARACTERS_PER_S}/s"
    return f"asr:{model}|lang:{lang}|{search}|{silence}|{normalise.signature(lang)}"


class Recognizer:
    """A multilingual Whisper in CTranslate2's format. It does not guess the language of a text: the caller names it."""

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
        self.network = WhisperNetwork("recognizer", model, compute_type=compute_type, threads=threads, device=device)
        self.beam_size = beam_size

    def transcribe(self, waves: Sequence[np.ndarray], lang: str) -> list[str]:
        """Transcribe speech. A transcript does not depend on the other waves of a call.

        Args:
            waves: Waves (samples,) of floats at 16 kHz; one longer than 30 s is transcribed in pieces of 30 s.
            lang: The language of the speech, as a two-letter code.

        Returns:
            A transcript per wave; an empty one for an empty wave, and where there is no speech.

        Raises:
            WeightsError: Whisper does not know the language.
        """
        return [found.text for found in self._transcribe(waves, _Task(self.network.prompt(lang), detects=False))]

    def transcribe_and_detect(self, waves: Sequence[np.ndarray], lang: str) -> list[Transcript]:
        """Transcribe speech as `transcribe` does, and detect its language.

        The language costs a step of the decoder, a tenth of the CPU time of `transcribe`. That of a wave longer than
        30 s is the language of its first piece with speech.
        """
        return self._transcribe(waves, _Task(self.network.prompt(lang), detects=True))

    def _transcribe(self, waves: Sequence[np.ndarray], task: _Task) -> list[Transcript]:
        owners, pieces = _cut(waves)
        results = [_Result("")] * len(pieces)
        for context, indices in group_by_context(pieces):
            self._transcribe_into(results, pieces, indices, context, task)
        longest = int(CONTEXTS_S[-2] * SAMPLE_RATE)  # a longer piece had the full context already
        loops = [index for index, result in enumerate(results) if result.loops and len(pieces[index]) <= longest]
        self._transcribe_into(results, pieces, loops, CONTEXTS_S[-1], task)
        parts: list[list[_Result]] = [[] for _ in waves]
        for owner, result in zip(owners, results, strict=True):
            parts[owner].append(result)
        return list(map(_join, parts))

    def _transcribe_into(
        self, results: list[_Result], pieces: list[np.ndarray], indices: list[int], context: float, task: _Task
    ) -> None:
        """Transcribe the pieces at these indices with one context (seconds), and store their results."""
        for batch in batches(indices, _DECODER_BATCH):
            transcribed = self._transcribe_batch([pieces[index] for index in batch], context, task)
            for index, result in zip(batch, transcribed, strict=True):
                results[index] = result

    def _transcribe_batch(self, waves: list[np.ndarray], context: float, task: _Task) -> list[_Result]:
        limits = [max(MIN_TOKENS, min(MAX_TOKENS, int(TOKENS_PER_S * len(wave) / SAMPLE_RATE))) for wave in waves]
        states, longest = self.network.encode(waves, context), _max_length(max(limits), task.prompt)
        outputs = self.network.whisper.generate(
            states,
            [task.prompt] * len(waves),
            beam_size=self.beam_size,
            max_length=longest,
            return_no_speech_prob=True,
        )
        langs = self.network.detect_languages(states) if task.detects else [None] * len(waves)
        found = zip(outputs, waves, limits, langs, strict=True)
        return [self._read(output, len(wave) / SAMPLE_RATE, limit, lang) for output, wave, limit, lang in found]

    def _read(self, output: WhisperGenerationResult, seconds: float, limit: int, lang: str | None) -> _Result:
        """Read the transcript of a wave of so many seconds.

        Its tokens are cut at the utterance's own limit: the limit of the batch depends on its other utterances.
        """
        tokens = output.sequences_ids[0]
        text = self.network.tokenizer.decode(tokens[:limit]).strip()
        if output.no_speech_prob > NO_SPEECH or len(text) > MAX_CHARACTERS_PER_S * seconds:
            return _Result("")
        return _Result(text, len(tokens) >= limit or is_repetitive(text), lang)


def _join(parts: Sequence[_Result]) -> Transcript:
    """Return the transcript of a wave from those of its pieces."""
    texts = (remove_repetitions(part.text) if part.loops else part.text for part in parts)
    return Transcript(" ".join(filter(None, texts)), next((part.lang for part in parts if part.lang), None))


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


def _cut(waves: Sequence[np.ndarray]) -> tuple[list[int], list[np.ndarray]]:
    """Cut waves into pieces of at most 30 s; return the index of each piece's wave, and the pieces."""
    size = int(CONTEXTS_S[-1] * SAMPLE_RATE)
    cuts = [
        (owner, wave[start : start + size]) for owner, wave in enumerate(waves) for start in range(0, len(wave), size)
    ]
    return [owner for owner, _ in cuts], [piece for _, piece in cuts]
