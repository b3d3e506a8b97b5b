"""What a vocoder learns from: units with durations beside the audio they came from, held in memory; crops and whole lines of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from factory.corpora.audio import read
from factory.models.hifigan_layers import REFERENCE_HZ
from trainers.vocoder.pitch import track

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """One utterance, T frames and N deduplicated units: waves are [T * hop] samples, `log_f0` is log(f0 / 150 Hz)."""

    wave: Tensor
    frames: Tensor  # [T] units
    log_f0: Tensor  # [T]
    voiced: Tensor  # [T] bool
    units: Tensor  # [N]
    durations: Tensor  # [N] frames


@dataclass(frozen=True)
class _Batch:
    def to(self, device: str) -> Self:
        """Return the batch on a device."""
        return type(self)(**{name.name: getattr(self, name.name).to(device) for name in fields(self)})


@dataclass(frozen=True)
class Crops(_Batch):
    """Pieces of equal length: [B, T] and waves of [B, T * hop]."""

    wave: Tensor
    units: Tensor
    log_f0: Tensor
    voiced: Tensor


@dataclass(frozen=True)
class Lines(_Batch):
    """Whole utterances, padded with zeros: [B, N] units and durations (0: padding), [B, T] frames (`inside`: not padding)."""

    units: Tensor
    durations: Tensor
    frames: Tensor
    log_f0: Tensor
    voiced: Tensor
    inside: Tensor


class Corpus:
    """A language's utterances in memory (4 bytes a sample: 230 MB an hour)."""

    def __init__(self, utterances: list[Utterance], hop: int, crop: int) -> None:
        self.utterances, self.hop = utterances, hop
        self.long = [utterance for utterance in utterances if len(utterance.frames) >= crop]
        if not self.long:
            raise ValueError(
                f"none of {len(utterances)} utterances is as long as a crop of {crop} frames: more data or a shorter --crop"
            )
        self.weights = torch.tensor([float(len(utterance.frames)) for utterance in self.long])

    @classmethod
    def read(cls, path: Path, hop: int, rate: int, crop: int, lang: str | None = None) -> Corpus:
        """Read a Parquet file or folder; raises ValueError when no row can be used. Skips rows without units."""
        if rate != 16_000:
            raise ValueError(f"audio is read at 16 kHz, but the vocoder's sampling_rate is {rate}")
        utterances = [prepare(row, hop, rate) for row in _rows(path) if row["units"] and lang in (None, row["lang"])]
        log.info("%d utterances read from %s", len(utterances), path)
        return cls(utterances, hop, crop)

    def summary(self) -> dict[str, float]:
        """Return the number of utterances and minutes."""
        samples = sum(len(utterance.wave) for utterance in self.utterances)
        return {"utterances": len(self.utterances), "minutes": round(samples / 16_000 / 60, 2)}

    def crops(self, batch: int, length: int, generator: torch.Generator) -> Crops:
        """Draw `batch` crops of `length` frames, every frame of the corpus about equally often."""
        pieces = []
        for index in torch.multinomial(self.weights, batch, True, generator=generator).tolist():
            line = self.long[index]
            start = int(torch.randint(len(line.frames) - length + 1, (), generator=generator))
            end = start + length
            wave = line.wave[start * self.hop : end * self.hop]
            pieces.append((wave, line.frames[start:end], line.log_f0[start:end], line.voiced[start:end]))
        return Crops(*(torch.stack(column) for column in zip(*pieces, strict=True)))

    def lines(self, batch: int, generator: torch.Generator) -> Lines:
        """Draw `batch` whole utterances."""
        some = [self.utterances[i] for i in torch.randint(len(self.utterances), (batch,), generator=generator).tolist()]
        columns = {
            name: _pad([getattr(line, name) for line in some])
            for name in ("units", "durations", "frames", "log_f0", "voiced")
        }
        return Lines(**columns, inside=_pad([torch.ones_like(line.voiced) for line in some]))


def _pad(pieces: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for file in [path] if path.is_file() else sorted(path.rglob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(64, columns=["utt_id", "lang", "units", "durations", "audio"]):
            yield from batch.to_pylist()


def prepare(row: dict[str, Any], hop: int, rate: int) -> Utterance:
    """Decode a row's audio, cut or pad it to its units' frames, and track its pitch."""
    units, durations = torch.tensor(row["units"]), torch.tensor(row["durations"])
    frames = torch.repeat_interleave(units, durations)
    wave = np.zeros(len(frames) * hop, np.float32)
    heard = np.asarray(read(row["audio"]), np.float32)[: len(wave)]
    wave[: len(heard)] = heard
    f0, voiced = track(torch.from_numpy(wave), len(frames), hop, rate)
    log_f0 = torch.from_numpy(np.log(f0 / REFERENCE_HZ))
    return Utterance(torch.from_numpy(wave), frames, log_f0, torch.from_numpy(voiced), units, durations)
