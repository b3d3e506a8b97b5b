"""Training sequences as batches: of about one length together, within a budget of padded tokens, all of a training planned in advance.

A batch depends on the seed and its own number alone, so a training that was killed goes on with exactly the batches that are left, and
any number of workers can share them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from schemas.sequences import is_unit
from trainers.checks import check_tokens, none_fits

IGNORED = -100
_JITTER = 12  # tokens: sequences of nearly one length meet others in every epoch
_WIDTH = 16  # tokens: widths are multiples of it, so that few shapes occur

Ids = NDArray[np.int64]


class Example(NamedTuple):
    """One training sequence: the token ids of its prompt, and of its completion with the end token."""

    task: str
    prompt: Ids
    completion: Ids

    @property
    def length(self) -> int:
        """Tokens in all."""
        return len(self.prompt) + len(self.completion)


class Batch(NamedTuple):
    """Token ids (B, T), padded on the right, and labels (B, T); a label of IGNORED is not learned."""

    ids: Tensor
    labels: Tensor


class Batches:
    """Sequences of a Parquet file of SEQUENCE, read once, and the batches that are made of them."""

    def __init__(self, path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        """Encode the rows; those of more than `max_length` tokens are left out and counted in `too_long`.

        Raises ValueError when none is left, and when the rows hold tokens that the policy does not have.
        """
        rows = pq.read_table(path, columns=["task", "prompt", "completion"]).to_pylist()
        vocabulary = tokenizer.get_vocab()
        check_tokens(
            (row[side] for row in rows for side in ("prompt", "completion")), vocabulary, tokenizer.name_or_path
        )
        encoded = [
            Example(
                row["task"],
                _ids(tokenizer, row["prompt"]),
                np.append(_ids(tokenizer, row["completion"]), tokenizer.eos_token_id),
            )
            for row in rows
        ]
        self.sequences = [sequence for sequence in encoded if sequence.length <= max_length]
        if not self.sequences:
            raise ValueError(
                none_fits("sequences", len(rows), str(path), max_length, [len(sequence.prompt) for sequence in encoded])
            )
        self.too_long = len(rows) - len(self.sequences)
        self._pad = tokenizer.pad_token_id
        self._units = np.array(sorted(index for token, index in vocabulary.items() if is_unit(token)))

    def plan(
        self, budget: int, seed: int, epoch: int = 0, weights: Mapping[str, float] | None = None
    ) -> list[list[int]]:
        """Return an epoch's batches in their order, each a list of sequence numbers; the same for the same seed and epoch.

        A batch has at most `budget` tokens with its padding (more if a single sequence is longer). A task with the weight w comes w times
        an epoch on average: 0.5 is every second sequence, drawn anew each epoch, 2 is each twice; a task without a weight comes once.
        """
        random = np.random.default_rng([seed, epoch])
        wanted = np.array([(weights or {}).get(sequence.task, 1.0) for sequence in self.sequences])
        drawn = np.repeat(np.arange(len(wanted)), np.floor(wanted + random.random(len(wanted))).astype(int))
        lengths = np.array([sequence.length for sequence in self.sequences])
        batches: list[list[int]] = [[]]
        width = 0
        for index in drawn[np.argsort(lengths[drawn] + _JITTER * random.random(len(drawn)), kind="stable")].tolist():
            width = max(width, _rounded(lengths[index]))
            if batches[-1] and width * (len(batches[-1]) + 1) > budget:
                batches.append([])
                width = _rounded(lengths[index])
            batches[-1].append(index)
        return [batches[place] for place in random.permutation(len(batches)) if batches[place]]

    def batch(self, some: Sequence[int], noise: float = 0.0, seed: Sequence[int] = (0,)) -> Batch:
        """Pad sequences to a common width; the share `noise` (0..1) of the units in their prompts is replaced by units drawn at random."""
        random = np.random.default_rng(seed)
        chosen = [self.sequences[index] for index in some]
        width = _rounded(max(sequence.length for sequence in chosen))
        ids, labels = np.full((len(chosen), width), self._pad), np.full((len(chosen), width), IGNORED)
        for row, sequence in enumerate(chosen):
            start, end = len(sequence.prompt), sequence.length
            ids[row, :start] = self._noisy(sequence.prompt, noise, random)
            ids[row, start:end] = labels[row, start:end] = sequence.completion
        return Batch(torch.from_numpy(ids), torch.from_numpy(labels))

    def _noisy(self, prompt: Ids, noise: float, random: np.random.Generator) -> Ids:
        replaced = np.isin(prompt, self._units) & (random.random(len(prompt)) < noise)
        return np.where(replaced, random.choice(self._units, len(prompt)), prompt)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> Ids:
    return np.array(tokenizer(text, add_special_tokens=False)["input_ids"])


def _rounded(length: int) -> int:
    return -(-int(length) // _WIDTH) * _WIDTH
