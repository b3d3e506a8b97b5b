"""Text inside speech: spans of words are written as text instead of their units (arXiv 2506.10299).

Which words those are depends on the seed, the epoch, the pair and the side of the pair alone, so that a resumed
training is the same and two utterances differ. No marker stands around a text: a unit is a token that no text has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from factory.recipe.training import InterleaveConfig
from schemas.sequences import SOSP, UNK
from trainers.batches import IGNORED, Example, Ids, Words
from trainers.checks import check_tokens
from trainers.errors import TrainingError

_PROMPT, _COMPLETION = 0, 1
_SIDES = {"both": (_PROMPT, _COMPLETION), "source": (_PROMPT,), "target": (_COMPLETION,)}
_MAX_SHOWN = 3


def draw_words(count: int, share: float, mean: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return which words (count,) are text: spans at random places, until their share is reached.

    A span is shortened where it meets another one, the last word, or the number that is still missing. Nothing is drawn
    again: every word is the start of one span, in a random order, so that this ends for every share.

    Args:
        count: the number of words.
        share: of the words (0..1) that are text; on average exactly that, because the number is rounded at random.
        mean: of the Poisson distribution of lengths (words); a length of 0 counts as 1.
        random: the same state gives the same words, and for a smaller share some of these.
    """
    chosen = np.zeros(count, bool)
    missing = int(share * count + random.random())
    lengths = np.maximum(1, random.poisson(mean, count))
    for start, length in zip(random.permutation(count), lengths, strict=True):
        span = chosen[start : start + min(int(length), missing)]
        free = int(span.argmax()) if span.any() else len(span)
        span[:free] = True
        missing -= free
    return chosen


def fill_words(
    ids: Ids, first: int, words: Words, chosen: NDArray[np.bool_], encode: Callable[[Sequence[str]], Sequence[int]]
) -> Ids:
    """Return a prompt or completion in which chosen words have other tokens instead of their units.

    Args:
        ids: its token ids (T,).
        first: index of its first unit.
        words: the words of its speech.
        chosen: which words (n,) have other tokens.
        encode: gives the token ids of neighbouring words.
    """
    edges = (first + np.cumsum([0, *words.units])).tolist()
    pieces, start = [ids[:first]], 0
    for is_chosen, run in groupby(chosen.tolist()):
        end = start + len(list(run))
        units = ids[edges[start] : edges[end]]
        pieces.append(np.array(encode(words.texts[start:end]), np.int64) if is_chosen else units)
        start = end
    return np.concatenate([*pieces, ids[edges[-1] :]])


class Interleaver:
    """Writes words of training sequences as text, and counts them."""

    def __init__(
        self, config: InterleaveConfig, sequences: Sequence[Example], tokenizer: PreTrainedTokenizerBase, seed: int
    ) -> None:
        """Check that the sequences can be interleaved.

        Args:
            config: the settings.
            sequences: those of the training, with their words.
            tokenizer: that of the policy.
            seed: of the spans.

        Raises:
            TrainingError: no sequence has words, or the policy has no tokens for a word.
        """
        self.config, self.tokenizer, self.seed = config, tokenizer, seed
        vocabulary = tokenizer.get_vocab()
        check_tokens([SOSP, UNK], vocabulary, tokenizer.name_or_path)
        self._sosp, self._mask = vocabulary[SOSP], vocabulary[UNK]
        self.words, self.text_words = 0, 0
        """Words of the sequences that were written since `take_counts`, and how many of them are text."""
        spoken = [(sequence, side) for sequence in sequences for side in self._spoken_sides(sequence)]
        known = [words for sequence, side in spoken if (words := _words(sequence, side))]
        self.without_words = len({id(sequence) for sequence, side in spoken if not _words(sequence, side)})
        """Sequences with speech whose words are not known; it stays units."""
        if not known:
            raise TrainingError(
                f"none of the {len(sequences):,} sequences has words for sft.interleave (sides: {config.sides}): align "
                "the paired speech (section aligner), or set sft.interleave.units: uniform; then write them again"
            )
        if config.fill == "text":
            self._check_vocabulary(sorted({text for words in known for text in words.texts}))

    def write(self, sequence: Example, share: float, epoch: int) -> Example:
        """Return a sequence in which a share (0..1) of the words is text.

        A prompt or completion that would become longer stays as it is, because batches are planned by its tokens.
        """
        for side in self._spoken_sides(sequence):
            if words := _words(sequence, side):
                random = np.random.default_rng([self.seed, epoch, side, *sequence.pair_id.encode()])
                chosen = draw_words(len(words.texts), share, self.config.span.poisson, random)
                sequence = self._fill(sequence, side, words, chosen)
        return sequence

    def describe(self, steps: int) -> str:
        """Return what a training of this number of steps does with the share of text."""
        config = self.config
        first, last = config.share(0), config.share(steps - 1)
        unfinished = config.step > 0 and last > config.end
        advice = f", not to sft.interleave.end ({config.end:g}): lower every, or train longer" if unfinished else ""
        missing = f"; {self.without_words:,} sequences have speech without words" if self.without_words else ""
        return f"interleaves: the share of text goes from {first:g} to {last:g} in {steps:,} steps{advice}{missing}"

    def take_counts(self) -> tuple[int, int]:
        """Return `words` and `text_words`, and set both to 0."""
        counts = self.words, self.text_words
        self.words, self.text_words = 0, 0
        return counts

    def _fill(self, sequence: Example, side: int, words: Words, chosen: NDArray[np.bool_]) -> Example:
        ids = sequence.completion if side else sequence.prompt
        filled = fill_words(ids, ids.tolist().index(self._sosp) + 1, words, chosen, self._encode)
        self.words += len(chosen)
        if not chosen.any() or len(filled) > len(ids):
            return sequence
        self.text_words += int(chosen.sum())
        if side == _PROMPT:
            return sequence._replace(prompt=filled)
        masked = self.config.fill == "mask"
        return sequence._replace(
            completion=filled, labels=np.where(filled == self._mask, IGNORED, filled) if masked else filled
        )

    def _encode(self, texts: Sequence[str]) -> Sequence[int]:
        if self.config.fill == "mask":
            return [self._mask] * len(texts)
        ids: list[int] = self.tokenizer(" ".join(texts), add_special_tokens=False)["input_ids"]
        return ids

    def _spoken_sides(self, sequence: Example) -> list[int]:
        """Return the sides that are interleaved and have speech."""
        sides = sequence.prompt, sequence.completion
        return [side for side in _SIDES[self.config.sides] if self._sosp in sides[side]]

    def _check_vocabulary(self, texts: Sequence[str]) -> None:
        """Raise TrainingError if a word has unknown tokens."""
        encoded = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        unknown = [text for text, ids in zip(texts, encoded, strict=True) if self.tokenizer.unk_token_id in ids]
        if unknown:
            more = f" and {len(unknown) - _MAX_SHOWN:,} more" if len(unknown) > _MAX_SHOWN else ""
            shown = ", ".join(unknown[:_MAX_SHOWN])
            raise TrainingError(
                f"the policy {self.tokenizer.name_or_path} has no tokens for the words {shown}{more}: correct these "
                "transcripts, start from another policy, or leave out sft.interleave"
            )


def _words(sequence: Example, side: int) -> Words | None:
    return sequence.completion_words if side else sequence.prompt_words
