"""The sequences of a training in stages (SPOKEN_SEQUENCE): recordings between the tokens of a prompt, and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from factory.corpora.audio import read
from factory.corpora.base import AudioError
from factory.models.speech_lm import SpeechLM, Spoken
from schemas.datasets import Row
from schemas.sequences import EOSP, SOSP
from trainers.batches import plan_epoch
from trainers.checks import check_tokens, nothing_fits, read_texts
from trainers.errors import TrainingError

_PLACE = SOSP + EOSP
_COLUMNS = ("task", "prompt", "completion")


class Example(NamedTuple):
    """A sequence, encoded; its recording stays in the file."""

    task: str
    row: int
    """Its number in the file."""
    before: list[int]
    after: list[int]
    completion: list[int]
    length: int
    """Embeddings of the recording, and tokens."""


class SpokenBatches:
    """The sequences of a file, and the batches made of them. Recordings are kept as they are stored, in memory.

    Attributes:
        examples: The sequences that can be learned.
        left_out: How many others there are, by reason: the slug of a recording that cannot be used, or `too_long`.
    """

    def __init__(self, path: Path, model: SpeechLM, max_length: int) -> None:
        """Read and encode the sequences, and decode each recording once, because batches are planned by lengths.

        Args:
            path: Parquet with the columns of SPOKEN_SEQUENCE.
            model: the policy.
            max_length: embeddings and tokens of the longest sequence.

        Raises:
            TrainingError: the file cannot be read, the policy lacks a token, a prompt and its recording do not belong
                together, or no sequence is left.
        """
        self._path, self._model = path, model
        rows = read_texts(path, _COLUMNS)
        texts = (row[side] for row in rows for side in ("prompt", "completion"))
        check_tokens(texts, model.tokenizer.get_vocab(), model.tokenizer.name_or_path)
        self._audio = _read_audio(path)
        self.left_out: Counter[str] = Counter()
        found = [self._encode(index, row) for index, row in enumerate(rows)]
        known = [example for example in found if example is not None]
        self.examples = [example for example in known if example.length <= max_length]
        self.left_out["too_long"] += len(known) - len(self.examples)
        self.left_out = +self.left_out
        if not self.examples:
            if known:
                raise nothing_fits("sequences", str(path), max_length, [example.length for example in known])
            raise TrainingError(f"{path} has no sequence with a recording that can be used: {dict(self.left_out)}")

    def plan(self, budget: int, seed: int, epoch: int, weights: Mapping[str, float]) -> list[list[int]]:
        """Return the batches of an epoch in their order, each as the indices of its examples.

        Args:
            budget: embeddings and tokens of a batch, padding included.
            seed: the same seed and epoch give the same plan.
            epoch: its number.
            weights: how often an epoch has each sequence of a task; 0 for a task without a weight.
        """
        tasks = [example.task for example in self.examples]
        every = dict.fromkeys(tasks, 0.0) | dict(weights)
        return plan_epoch(tasks, [example.length for example in self.examples], budget, (seed, epoch), every)

    @torch.no_grad()
    def batch(self, indices: Sequence[int], where: torch.device) -> list[Spoken]:
        """Return the sequences of a batch on a device, with what the encoder's stem computes of their recordings."""
        return [self._load(self.examples[index], where) for index in indices]

    def _load(self, example: Example, where: torch.device) -> Spoken:
        before, after, completion = (
            torch.tensor(ids, dtype=torch.long, device=where)
            for ids in (example.before, example.after, example.completion)
        )
        audio = self._audio[example.row].as_py()
        stem = None if audio is None else self._model.speech_encoder.compute_stem(read(audio))
        return Spoken(before, stem, after, completion)

    def _encode(self, index: int, row: Mapping[str, str]) -> Example | None:
        audio, count = self._audio[index].as_py(), row["prompt"].count(_PLACE)
        if count != (audio is not None):
            raise TrainingError(
                f"row {index} of {self._path} has {count} places for speech ({_PLACE}) in its prompt and "
                f"{'a' if audio is not None else 'no'} recording: write the sequences again"
            )
        embeddings = 0
        if audio is not None:
            embeddings = self._count_embeddings(audio)
            if not embeddings:
                return None
        before, place, after = row["prompt"].partition(_PLACE)
        start = self._ids(before + (SOSP if place else ""))
        end = self._ids((EOSP if place else "") + after)
        completion = [*self._ids(row["completion"]), int(self._model.tokenizer.eos_token_id)]
        length = embeddings + len(start) + len(end) + len(completion)
        return Example(row["task"], index, start, end, completion, length)

    def _count_embeddings(self, audio: Row) -> int:
        """Return the embeddings of a recording; 0, and a count in `left_out`, if it cannot be used."""
        encoder, stride = self._model.speech_encoder, self._model.adapter.config["stride"]
        try:
            wave = read(audio)
            encoder.check(wave)
        except AudioError as error:
            self.left_out[error.slug] += 1
            return 0
        except ValueError:
            self.left_out["refused_length"] += 1
            return 0
        return -(-encoder.count_frames(len(wave)) // stride)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._model.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _read_audio(path: Path) -> pa.ChunkedArray:
    try:
        return pq.read_table(path, columns=["audio"])["audio"]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise TrainingError(f"{path} has no column audio ({error}): give sequences with recordings") from error
