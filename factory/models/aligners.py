"""Aligners: where in an utterance each word of its transcript is spoken.

    aligner = load_aligner("whisper", "package:whisper-base", threads=1)
    words = aligner.align(wave, "bonjour à tous", "fr")

Words are what spaces separate, as they are written. Times are frames of 20 ms (50 Hz), as those of the units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from factory.models.ctc import CtcNetwork, join_words
from factory.models.ctc_alignment import align_tokens
from factory.models.weights import WeightsError
from factory.models.whisper import CONTEXTS_S, WhisperNetwork, shortest_context
from factory.models.word_edges import STEP, find_edges, measure_levels
from schemas.audio import SAMPLE_RATE
from schemas.errors import RoundtripError

FRAME = SAMPLE_RATE // 50
"""Samples of a frame."""
MAX_TOKENS = 440
"""Most tokens of a text that Whisper's decoder (448 positions) takes with a prompt and an end."""


class Word(NamedTuple):
    """A word, its first frame, and the frame after its last one."""

    text: str
    start: int
    end: int


class AlignmentError(RoundtripError):
    """A text that cannot be aligned with its speech. The message is `slug: sentence`, to count reasons."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug


class Aligner(Protocol):
    """A model that finds the words of a text in speech."""

    def check_language(self, lang: str) -> None:
        """Raise WeightsError if the model does not know a language."""
        ...

    def align(self, wave: np.ndarray, text: str, lang: str) -> list[Word]:
        """Find the words of a text.

        Args:
            wave: A wave (samples,) of floats at 16 kHz.
            text: What is spoken; one word or more.
            lang: The language of the text, as a two-letter code.

        Returns:
            The words in their order, within the wave.

        Raises:
            AlignmentError: with the slug too_long, too_short or not_writable.
        """
        ...


def load_aligner(kind: str, model: str, threads: int) -> Aligner:
    """Load an aligner.

    Args:
        kind: `whisper` or `ctc`.
        model: A name of weights for `factory.models.weights.resolve`.
        threads: Threads of a computation on a CPU.

    Raises:
        WeightsError: The kind is not known, or the weights cannot be found or used.
    """
    kinds: dict[str, Callable[[str, int], Aligner]] = {"whisper": WhisperAligner, "ctc": CtcAligner}
    if kind not in kinds:
        raise WeightsError(f"aligner.kind must be one of {', '.join(kinds)}; got {kind!r}")
    return kinds[kind](model, threads)


class WhisperAligner:
    """The attention of Whisper's decoder on the known text, followed through time (CTranslate2's `Whisper.align`).

    Whisper reads the text in single characters. Its own tokens are whole words or large parts of them, and its
    attention leaves such a token long before the end of the word: for words on -s some 200 ms.
    """

    def __init__(self, model: str, threads: int) -> None:
        self.network = WhisperNetwork("aligner", model, compute_type="int8", threads=threads)

    def check_language(self, lang: str) -> None:
        """Raise WeightsError if Whisper does not know a language."""
        self.network.prompt(lang)

    def align(self, wave: np.ndarray, text: str, lang: str) -> list[Word]:
        """Find the words of a text in at most 30 s of speech, as `Aligner.align` describes."""
        if len(wave) > CONTEXTS_S[-1] * SAMPLE_RATE:
            sentence = f"{len(wave) / SAMPLE_RATE:.1f} s of audio, and Whisper aligns at most {CONTEXTS_S[-1]:g} s"
            raise AlignmentError("too_long", f"{sentence}: split it, or use aligner.kind ctc")
        words = text.split()
        tokens = self._split(words)
        prompt = self.network.prompt(lang)[:-1]  # CTranslate2 adds <|notimestamps|> itself
        flat, frames = [token for some in tokens for token in some], max(1, len(wave) // STEP)
        states = self.network.encode([wave], shortest_context(wave))
        [found] = self.network.whisper.align(states, prompt, [flat], frames)
        indices, times = np.array(found.alignments).T
        counts = np.cumsum([0, *map(len, tokens)])
        boundaries = 2 * times[np.searchsorted(indices, counts)]  # the index after the last token is that of the end
        return _to_words(words, find_edges(measure_levels(wave), boundaries), len(wave))

    def _split(self, words: list[str]) -> list[list[int]]:
        """Return the tokens of each word, written in characters, or in longer pieces where they are too many."""
        for size in range(1, max(map(len, words)) + 2):
            tokens = [self._tokens(f" {word}", size) for word in words]
            if sum(map(len, tokens)) <= MAX_TOKENS:
                return tokens
        sentence = f"{len(words)} words are more text than Whisper takes at once ({MAX_TOKENS} tokens)"
        raise AlignmentError("too_long", f"{sentence}: split the recording, or use aligner.kind ctc")

    def _tokens(self, word: str, size: int) -> list[int]:
        cuts = [0, *range(size + 1, len(word), size), len(word)]  # the first piece has the space before the word too
        pieces = [word[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
        encode = self.network.tokenizer.encode
        return [token for piece in pieces for token in encode(piece, add_special_tokens=False).ids]


class CtcAligner:
    """Forced alignment with a CTC model of Hugging Face: HuBERT, wav2vec2, w2v-BERT 2.0, as in the paper."""

    def __init__(self, model: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.network = CtcNetwork(model)

    def check_language(self, lang: str) -> None:
        """Do nothing: a CTC model knows characters, not languages."""

    def align(self, wave: np.ndarray, text: str, lang: str) -> list[Word]:
        """Find the words of a text, as `Aligner.align` describes; one without letters has no length."""
        words = text.split()
        tokens = [self._tokens(word) for word in words]
        if not any(tokens):
            raise AlignmentError("not_writable", f"the text {text!r} has no letter that the aligner can write")
        log_probs = self.network.log_probs(wave)
        try:
            joined = join_words(tokens, self.network.delimiter)
            spans = align_tokens(log_probs, joined, self.network.blank)
        except ValueError as error:
            raise AlignmentError("too_short", f"the text does not fit into the audio: {error}") from error
        return _to_words(words, self._join_spans(tokens, spans), len(wave))

    def _tokens(self, word: str) -> list[int]:
        try:
            return self.network.tokens(word)
        except KeyError as error:
            [letter] = error.args
            sentence = f"the aligner {self.network.model} cannot write {letter!r} of {word!r}"
            raise AlignmentError("not_writable", f"{sentence}: use a model of the language, or spell it out") from error

    def _join_spans(self, tokens: Sequence[list[int]], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the edges of each word in steps of 10 ms, from the frames of all tokens and delimiters."""
        edges, position, end, steps = [], 0, 0, self.network.stride / STEP
        for some in tokens:
            if some:
                position += position > 0 and self.network.delimiter is not None
                start, end = spans[position][0], spans[position + len(some) - 1][1]
                position += len(some)
            edges.append((round((start if some else end) * steps), round(end * steps)))
        return edges


def _to_words(words: Sequence[str], edges: Sequence[tuple[int, int]], samples: int) -> list[Word]:
    """Return words with their edges in steps of 10 ms as words in whole frames of a wave with so many samples."""
    frames = samples // FRAME
    rounded = [(min(frames, round(start / 2)), min(frames, round(end / 2))) for start, end in edges]
    return [Word(word, start, end) for word, (start, end) in zip(words, rounded, strict=True)]
