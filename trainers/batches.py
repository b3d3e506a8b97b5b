"""Batches of training sequences: of similar length, within a budget of padded tokens, planned for the whole training.

A batch depends on the seed and on its own number alone. A training that was killed therefore resumes with exactly the
batches that are left, and any number of workers can share them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from sys import intern
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from schemas.datasets import Row
from schemas.sequences import is_unit
from trainers.checks import check_tokens, nothing_fits, read_texts, read_words
from trainers.errors import TrainingError

IGNORED = -100
"""The label of a token that is not learned."""
LENGTH_JITTER = 12
"""Tokens of noise on a length when sequences are sorted: similar sequences meet others in every epoch."""
WIDTH_STEP = 16
"""Widths of batches are multiples of this number of tokens, so that there are few shapes."""

Ids = NDArray[np.int64]


class Words(NamedTuple):
    """The words of a speech segment, and how many of its units each one has."""

    texts: tuple[str, ...]
    units: tuple[int, ...]


class Example(NamedTuple):
    """One training sequence: the token ids of its prompt, and of its completion with the end token.

    Attributes:
        task: its variant.
        prompt: ids (T,).
        completion: ids (U,).
        labels: the ids (U,) of the completion, IGNORED where a token is not learned.
        pair_id: id of its pair; empty where the words are not read.
        prompt_words: words of the speech in the prompt; None where they are not known, or not read.
        completion_words: words of the speech in the completion; None as above.
    """

    task: str
    prompt: Ids
    completion: Ids
    labels: Ids
    pair_id: str = ""
    prompt_words: Words | None = None
    completion_words: Words | None = None

    @property
    def length(self) -> int:
        """The tokens of prompt and completion."""
        return len(self.prompt) + len(self.completion)


class Batch(NamedTuple):
    """Token ids (B, T), padded on the right, and labels (B, T), IGNORED where a token is not learned."""

    ids: Tensor
    labels: Tensor


class Batches:
    """The sequences of a Parquet file (schema SEQUENCE), encoded once, and the batches made of them."""

    def __init__(
        self, path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, *, with_words: bool = False
    ) -> None:
        """Read and encode the sequences. Longer ones than `max_length` tokens are left out; `too_long` is their number.

        Args:
            path: a Parquet file or folder.
            tokenizer: that of the policy.
            max_length: tokens of the longest sequence.
            with_words: also read the words of their speech.

        Raises:
            TrainingError: the file cannot be read, the policy lacks a token, no sequence fits, or words do not have the
                units of their speech.
        """
        rows = read_texts(path, ("task", "prompt", "completion"))
        vocabulary = tokenizer.get_vocab()
        texts = (row[side] for row in rows for side in ("prompt", "completion"))
        check_tokens(texts, vocabulary, tokenizer.name_or_path)
        self._units = np.array(sorted(index for token, index in vocabulary.items() if is_unit(token)))
        examples = [_example(tokenizer, row) for row in rows]
        if with_words:
            examples = [self._add_words(*each) for each in zip(examples, read_words(path), strict=True)]
        self.sequences = [example for example in examples if example.length <= max_length]
        if not self.sequences:
            raise nothing_fits("sequences", str(path), max_length, [len(example.prompt) for example in examples])
        self.too_long = len(rows) - len(self.sequences)
        self._pad = tokenizer.pad_token_id

    def plan(
        self, budget: int, seed: int, epoch: int = 0, weights: Mapping[str, float] | None = None
    ) -> list[list[int]]:
        """Return the batches of an epoch in their order, each as the indices of its sequences.

        Args:
            budget: the largest number of tokens in a batch, padding included; a longer sequence is a batch of its own.
            seed: the same seed and epoch give the same plan.
            epoch: the number of the epoch.
            weights: how often an epoch has each sequence of a task, on average. 0.5 draws every second sequence, anew
                in each epoch; 2 takes each sequence twice. A task without a weight has 1.
        """
        tasks, lengths = zip(*((sequence.task, sequence.length) for sequence in self.sequences), strict=True)
        return plan_epoch(tasks, lengths, budget, (seed, epoch), weights or {})

    def batch(
        self,
        indices: Sequence[int],
        noise: float = 0.0,
        seed: Sequence[int] = (0,),
        rewrite: Callable[[Example], Example] = lambda sequence: sequence,
    ) -> Batch:
        """Return sequences padded to one width.

        Args:
            indices: the sequences, as `plan` names them.
            noise: share (0..1) of the units in the prompts that are replaced by random units.
            seed: of the noise.
            rewrite: changes a sequence first; it must not make it longer, because the plan counts its tokens.
        """
        random = np.random.default_rng(seed)
        sequences = [rewrite(self.sequences[index]) for index in indices]
        width = _round_up(max(sequence.length for sequence in sequences))
        ids = np.full((len(sequences), width), self._pad)
        labels = np.full((len(sequences), width), IGNORED)
        for row, sequence in enumerate(sequences):
            start, end = len(sequence.prompt), sequence.length
            ids[row, :start] = self._add_noise(sequence.prompt, noise, random)
            ids[row, start:end], labels[row, start:end] = sequence.completion, sequence.labels
        return Batch(torch.from_numpy(ids), torch.from_numpy(labels))

    def _add_words(self, example: Example, row: Row) -> Example:
        prompt, completion = (self._read_words(row, side, getattr(example, side)) for side in ("prompt", "completion"))
        pair_id = row["sequence_id"].removeprefix(f"{example.task}-")
        return example._replace(pair_id=pair_id, prompt_words=prompt, completion_words=completion)

    def _read_words(self, row: Row, side: str, ids: Ids) -> Words | None:
        """Return the words of the speech of one side; raises TrainingError if they do not have all its units."""
        if not row[f"{side}_words"]:
            return None
        texts, units = zip(*((intern(word["text"]), word["units"]) for word in row[f"{side}_words"]), strict=True)
        expected = int(np.isin(ids, self._units).sum())
        if sum(units) != expected or min(units) < 0:
            raise TrainingError(
                f"the {side} of {row['sequence_id']} has {expected} units, but its words ({side}_words) have "
                f"{' + '.join(map(str, units))}: delete the sequences and write them again"
            )
        return Words(texts, units)

    def _add_noise(self, prompt: Ids, noise: float, random: np.random.Generator) -> Ids:
        replaced = np.isin(prompt, self._units) & (random.random(len(prompt)) < noise)
        return np.where(replaced, random.choice(self._units, len(prompt)), prompt)


def plan_epoch(
    tasks: Sequence[str], lengths: Sequence[int], budget: int, seed: Sequence[int], weights: Mapping[str, float]
) -> list[list[int]]:
    """Return the batches of an epoch in their order: see `Batches.plan`.

    Args:
        tasks: of each sequence.
        lengths: of each sequence, in tokens.
        budget: the largest number of tokens in a batch, padding included.
        seed: of the order.
        weights: how often an epoch has each sequence of a task; 1 for a task without a weight.
    """
    random, sizes = np.random.default_rng(seed), np.array(lengths)
    counts = np.array([weights.get(task, 1.0) for task in tasks])
    drawn = np.repeat(np.arange(len(counts)), np.floor(counts + random.random(len(counts))).astype(int))
    order = np.argsort(sizes[drawn] + LENGTH_JITTER * random.random(len(drawn)), kind="stable")
    batches = _fill(drawn[order].tolist(), sizes.tolist(), budget)
    return [batches[index] for index in random.permutation(len(batches))]


def _example(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, str]) -> Example:
    prompt, completion = (
        np.array(tokenizer(row[side], add_special_tokens=False)["input_ids"], np.int64)
        for side in ("prompt", "completion")
    )
    answer = np.append(completion, tokenizer.eos_token_id)
    return Example(row["task"], prompt, answer, answer)


def _fill(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Put sequences into batches in this order; a batch ends where one more sequence would exceed the budget."""
    batches: list[list[int]] = []
    width = 0
    for index in order:
        width = max(width, _round_up(lengths[index]))
        if not batches or width * (len(batches[-1]) + 1) > budget:
            batches.append([])
            width = _round_up(lengths[index])
        batches[-1].append(index)
    return batches


def _round_up(length: int) -> int:
    return -(-int(length) // WIDTH_STEP) * WIDTH_STEP
