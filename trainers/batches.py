"""Batches of training sequences: of similar length, within a budget of padded tokens, planned for the whole training.

A batch depends on the seed and on its own number alone. A training that was killed therefore resumes with exactly the
batches that are left, and any number of workers can share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from schemas.sequences import is_unit
from trainers.checks import check_tokens, nothing_fits, read_texts

IGNORED = -100
"""The label of a token that is not learned."""
LENGTH_JITTER = 12
"""Tokens of noise on a length when sequences are sorted: similar sequences meet others in every epoch."""
WIDTH_STEP = 16
"""Widths of batches are multiples of this number of tokens, so that there are few shapes."""

Ids = NDArray[np.int64]


class Example(NamedTuple):
    """One training sequence: the token ids of its prompt, and of its completion with the end token."""

    task: str
    prompt: Ids
    completion: Ids

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

    def __init__(self, path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        """Read and encode the sequences. Longer ones than `max_length` tokens are left out; `too_long` is their number.

        Raises:
            TrainingError: the file cannot be read, the policy lacks a token, or no sequence fits.
        """
        rows = read_texts(path, ("task", "prompt", "completion"))
        vocabulary = tokenizer.get_vocab()
        texts = (row[side] for row in rows for side in ("prompt", "completion"))
        check_tokens(texts, vocabulary, tokenizer.name_or_path)
        examples = [_example(tokenizer, row) for row in rows]
        self.sequences = [example for example in examples if example.length <= max_length]
        if not self.sequences:
            raise nothing_fits("sequences", str(path), max_length, [len(example.prompt) for example in examples])
        self.too_long = len(rows) - len(self.sequences)
        self._pad = tokenizer.pad_token_id
        self._units = np.array(sorted(index for token, index in vocabulary.items() if is_unit(token)))

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
        random = np.random.default_rng([seed, epoch])
        counts = np.array([(weights or {}).get(sequence.task, 1.0) for sequence in self.sequences])
        drawn = np.repeat(np.arange(len(counts)), np.floor(counts + random.random(len(counts))).astype(int))
        lengths = np.array([sequence.length for sequence in self.sequences])
        order = np.argsort(lengths[drawn] + LENGTH_JITTER * random.random(len(drawn)), kind="stable")
        batches = _fill(drawn[order].tolist(), lengths.tolist(), budget)
        return [batches[index] for index in random.permutation(len(batches))]

    def batch(self, indices: Sequence[int], noise: float = 0.0, seed: Sequence[int] = (0,)) -> Batch:
        """Return sequences padded to one width.

        Args:
            indices: the sequences, as `plan` names them.
            noise: share (0..1) of the units in the prompts that are replaced by random units.
            seed: of the noise.
        """
        random = np.random.default_rng(seed)
        sequences = [self.sequences[index] for index in indices]
        width = _round_up(max(sequence.length for sequence in sequences))
        ids = np.full((len(sequences), width), self._pad)
        labels = np.full((len(sequences), width), IGNORED)
        for row, sequence in enumerate(sequences):
            start, end = len(sequence.prompt), sequence.length
            ids[row, :start] = self._add_noise(sequence.prompt, noise, random)
            ids[row, start:end] = labels[row, start:end] = sequence.completion
        return Batch(torch.from_numpy(ids), torch.from_numpy(labels))

    def _add_noise(self, prompt: Ids, noise: float, random: np.random.Generator) -> Ids:
        replaced = np.isin(prompt, self._units) & (random.random(len(prompt)) < noise)
        return np.where(replaced, random.choice(self._units, len(prompt)), prompt)


def _example(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, str]) -> Example:
    prompt, completion = (
        np.array(tokenizer(row[side], add_special_tokens=False)["input_ids"], np.int64)
        for side in ("prompt", "completion")
    )
    return Example(row["task"], prompt, np.append(completion, tokenizer.eos_token_id))


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
