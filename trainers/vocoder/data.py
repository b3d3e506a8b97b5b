"""The data of a vocoder's training: units with durations and their audio, in memory, and batches drawn from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from factory.corpora.audio import read
from factory.models.hifigan_layers import REFERENCE_HZ
from schemas.audio import SAMPLE_RATE
from schemas.datasets import Row
from trainers.errors import TrainingError
from trainers.vocoder.pitch import track_pitch

log = logging.getLogger(__name__)

COLUMNS = ("utt_id", "lang", "units", "durations", "audio")


@dataclass(frozen=True)
class Utterance:
    """One utterance of T frames and N units."""

    wave: Tensor
    """Samples (T * hop,)."""
    frames: Tensor
    """The unit of each frame (T,)."""
    log_f0: Tensor
    """log(f0 / REFERENCE_HZ) of each frame (T,)."""
    voiced: Tensor
    """Voicing of each frame (T,), bool."""
    units: Tensor
    """Units (N,)."""
    durations: Tensor
    """Frames of each unit (N,)."""


@dataclass(frozen=True)
class _Batch:
    def to(self, device: str) -> Self:
        """Return the batch on a device."""
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Crops(_Batch):
    """B pieces of utterances, T frames each."""

    wave: Tensor
    """(B, T * hop)."""
    units: Tensor
    """The unit of each frame (B, T)."""
    log_f0: Tensor
    """(B, T)."""
    voiced: Tensor
    """(B, T)."""


@dataclass(frozen=True)
class WholeUtterances(_Batch):
    """B whole utterances, padded with zeros to N units and T frames."""

    units: Tensor
    """(B, N)."""
    durations: Tensor
    """Frames (B, N); 0 is padding."""
    frames: Tensor
    """The unit of each frame (B, T)."""
    log_f0: Tensor
    """(B, T)."""
    voiced: Tensor
    """(B, T)."""
    inside: Tensor
    """(B, T); False is padding."""


class Corpus:
    """The utterances of a language in memory: 4 bytes per sample, 230 MB per hour."""

    def __init__(self, utterances: list[Utterance], hop: int, crop: int) -> None:
        """Keep the utterances.

        Args:
            utterances: all utterances.
            hop: samples per frame.
            crop: frames of a crop; at least one utterance must be that long.

        Raises:
            TrainingError: all utterances are shorter than a crop.
        """
        self.utterances, self.hop = utterances, hop
        self.long = [utterance for utterance in utterances if len(utterance.frames) >= crop]
        if not self.long:
            raise TrainingError(
                f"none of {len(utterances)} utterances is as long as a crop of {crop} frames: give more data, "
                "or a shorter --crop"
            )
        self.weights = torch.tensor([float(len(utterance.frames)) for utterance in self.long])

    @classmethod
    def load(cls, path: Path, hop: int, crop: int, lang: str | None = None) -> Corpus:
        """Read a Parquet file, or all Parquet files of a folder.

        Args:
            path: the file or folder, with the columns of COLUMNS; rows without units are skipped.
            hop: samples per frame.
            crop: frames of a crop.
            lang: use only the rows of this language; None uses all rows.

        Raises:
            TrainingError: a file cannot be read, or no row can be used.
        """
        utterances = [prepare(row, hop) for row in _rows(path) if row["units"] and lang in (None, row["lang"])]
        log.info("%d utterances read from %s", len(utterances), path)
        return cls(utterances, hop, crop)

    @property
    def is_deduplicated(self) -> bool:
        """Return False if every unit of the corpus lasts one frame."""
        return any(int(utterance.durations.max()) > 1 for utterance in self.utterances)

    def summary(self) -> dict[str, float]:
        """Return the number of utterances and minutes."""
        samples = sum(len(utterance.wave) for utterance in self.utterances)
        return {"utterances": len(self.utterances), "minutes": round(samples / SAMPLE_RATE / 60, 2)}

    def draw_crops(self, batch: int, length: int, generator: torch.Generator) -> Crops:
        """Draw `batch` crops of `length` frames; every frame of the corpus is about equally likely."""
        pieces = []
        for index in torch.multinomial(self.weights, batch, True, generator=generator).tolist():
            source = self.long[index]
            start = int(torch.randint(len(source.frames) - length + 1, (), generator=generator))
            end = start + length
            wave = source.wave[start * self.hop : end * self.hop]
            pieces.append((wave, source.frames[start:end], source.log_f0[start:end], source.voiced[start:end]))
        return Crops(*(torch.stack(column) for column in zip(*pieces, strict=True)))

    def draw_utterances(self, batch: int, generator: torch.Generator) -> WholeUtterances:
        """Draw `batch` whole utterances."""
        indices = torch.randint(len(self.utterances), (batch,), generator=generator).tolist()
        drawn = [self.utterances[index] for index in indices]
        names = ("units", "durations", "frames", "log_f0", "voiced")
        columns = {name: _pad([getattr(utterance, name) for utterance in drawn]) for name in names}
        return WholeUtterances(**columns, inside=_pad([torch.ones_like(utterance.voiced) for utterance in drawn]))


def prepare(row: Row, hop: int) -> Utterance:
    """Decode the audio of a row, fit it to the frames of its units by cutting or padding, and track its pitch."""
    units, durations = torch.tensor(row["units"]), torch.tensor(row["durations"])
    frames = torch.repeat_interleave(units, durations)
    wave = np.zeros(len(frames) * hop, np.float32)
    samples = np.asarray(read(row["audio"]), np.float32)[: len(wave)]
    wave[: len(samples)] = samples
    f0, voiced = track_pitch(torch.from_numpy(wave), len(frames), hop)
    log_f0 = torch.from_numpy(np.log(f0 / REFERENCE_HZ))
    return Utterance(torch.from_numpy(wave), frames, log_f0, torch.from_numpy(voiced), units, durations)


def _pad(pieces: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)


def _rows(path: Path) -> Iterator[Row]:
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise TrainingError(f"{path} has no Parquet file: give a file, or a folder with *.parquet files, as --data")
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(64, columns=list(COLUMNS)):
                yield from batch.select(list(COLUMNS)).to_pylist()
        except (OSError, pa.ArrowException, KeyError) as error:
            columns = ", ".join(COLUMNS)
            raise TrainingError(f"{file} cannot be read as Parquet with the columns {columns} ({error})") from error
