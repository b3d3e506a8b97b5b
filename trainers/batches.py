"""Training sequences as batches: of about one length together, within a budget of padded tokens, all of a training planned in advance.

A batch depends on the seed and its own number alone, so a training that was killed goes on with exactly the batches that are left, and
any number of workers can share them out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

IGNORED = -100
_JITTER = 12  # tokens: sequences of nearly one length meet others in every epoch


class Encoded(NamedTuple):
    """One training sequence: the token ids of its prompt, and of its completion with the end token."""

    task: str
    prompt: np.ndarray
    completion: np.ndarray

    @property
    def length(self) -> int:
        """Tokens in all."""
        return len(self.prompt) + len(self.completion)


def read_sequences(path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[list[Encoded], int]:
    """Return the rows of a Parquet file of SEQUENCE that have at most `max_length` tokens, and how many were longer.

    Raises ValueError when none is left.
    """
    rows = pq.read_table(path, columns=["task", "prompt", "completion"]).to_pylist()
    prompts, completions = (
        tokenizer([row[name] for row in rows], add_special_tokens=False)["input_ids"] if rows else [] for name in ("prompt", "completion")
    )
    encoded = [
        Encoded(row["task"], np.array(prompt), np.array([*completion, tokenizer.eos_token_id]))
        for row, prompt, completion in zip(rows, prompts, completions)
    ]
    fitting = [sequence for sequence in encoded if sequence.length <= max_length]
    if not fitting:
        raise ValueError(f"none of the {len(rows)} sequences in {path} fits into {max_length} tokens")
    return fitting, len(rows) - len(fitting)


def plan(sequences: Sequence[Encoded], budget: int, epochs: int, seed: int, weights: Mapping[str, float] | None = None) -> list[list[int]]:
    """Return the batches of all epochs in their order, each a list of sequence numbers; the same for the same seed.

    A batch has at most `budget` tokens with its padding (more if a single sequence is longer). A task with the weight w comes w times an
    epoch on average: 0.5 is every second sequence, drawn anew each epoch, 2 is each twice; tasks without a weight come once.
    """
    return [batch for epoch in range(epochs) for batch in _epoch(sequences, budget, np.random.default_rng([seed, epoch]), weights or {})]


def _epoch(sequences: Sequence[Encoded], budget: int, random: np.random.Generator, weights: Mapping[str, float]) -> list[list[int]]:
    wanted = np.array([weights.get(sequence.task, 1.0) for sequence in sequences])
    drawn = np.repeat(np.arange(len(sequences)), np.floor(wanted + random.random(len(sequences))).astype(int))
    lengths = np.array([sequence.length for sequence in sequences])
    batches: list[list[int]] = []
    widest = 0
    for index in drawn[np.argsort(lengths[drawn] + _JITTER * random.random(len(drawn)), kind="stable")]:
        widest = max(widest, lengths[index])
        if not batches or widest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            widest = lengths[index]
        batches[-1].append(int(index))
    random.shuffle(batches)
    return batches


class Batches(Dataset[dict[str, Any]]):
    """The planned batches as the inputs of a causal language model, with noise in the prompts' units.

    An item holds `input_ids` (B, T), padded on the right, and, for the last `logits_to_keep` positions K, where the completions are,
    `labels` (B, K) and `shift_labels` (B, K), the labels one token further on. There is no attention mask: no token looks to the right.
    """

    def __init__(
        self,
        sequences: Sequence[Encoded],
        batches: Sequence[Sequence[int]],
        tokenizer: PreTrainedTokenizerBase,
        *,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        """`noise` is the share (0..1) of the prompts' units that another unit, drawn anew for each batch, replaces."""
        self.sequences, self.batches, self.noise, self.seed = sequences, batches, noise, seed
        self.pad = tokenizer.pad_token_id
        self.units = np.array(sorted(index for token, index in tokenizer.get_vocab().items() if re.fullmatch(r"<\|u\d+\|>", token)))

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> dict[str, Any]:
        some = [self.sequences[index] for index in self.batches[number]]
        random = np.random.default_rng([self.seed, number])
        width, context = max(one.length for one in some), min(len(one.prompt) for one in some)
        ids = np.full((len(some), width), self.pad)
        labels = np.full((len(some), width + 1), IGNORED)
        for row, one in enumerate(some):
            ids[row, : one.length] = np.concatenate([self._noisy(one.prompt, random), one.completion])
            labels[row, len(one.prompt) : one.length] = one.completion
        keep = width - context + 1  # the last token of the shortest prompt foretells the first label
        kept = torch.from_numpy(labels[:, width - keep :])
        return {"input_ids": torch.from_numpy(ids), "labels": kept[:, :-1], "shift_labels": kept[:, 1:].contiguous(), "logits_to_keep": keep}

    def _noisy(self, prompt: np.ndarray, random: np.random.Generator) -> np.ndarray:
        if not self.noise:
            return prompt
        replaced = np.isin(prompt, self.units) & (random.random(len(prompt)) < self.noise)
        return np.where(replaced, random.choice(self.units, len(prompt)), prompt)
