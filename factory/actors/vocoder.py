"""The vocoder actor of produce: units become audio, which MCD compares and the recognizer transcribes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from factory.actors.base import RowActor
from factory.models.voice import Voice
from schemas.datasets import CANDIDATE, SCORED, Candidate, Row

PCM = pa.binary()
"""Audio between actors: 16-bit little-endian samples, mono, 16 kHz (32 kB per second). It is never written to disk."""

SPOKEN_CANDIDATE = pa.struct([*CANDIDATE, pa.field("back_audio", PCM)])
"""A candidate with the audio of its `back_translation_units` (source language); null if it has none."""

SPOKEN = SCORED.set(SCORED.get_field_index("candidates"), pa.field("candidates", pa.list_(SPOKEN_CANDIDATE))).append(
    pa.field("source_audio", PCM)
)
"""SCORED with audio: `source_audio` is the source's units resynthesised, not the recording."""

Line = tuple[str, tuple[int, ...]]
"""A language, and units to speak in it."""


class SpokenCandidate(Candidate):
    """A candidate as SPOKEN_CANDIDATE holds it."""

    back_audio: bytes | None


def to_pcm(wave: np.ndarray) -> bytes:
    """Return a wave (samples,), floats in [-1, 1], as PCM; louder samples are clipped."""
    return (np.clip(wave, -1, 1) * 32767).round().astype("<i2").tobytes()


def from_pcm(audio: bytes) -> np.ndarray:
    """Return PCM as a float32 wave (samples,) in [-1, 1]."""
    return np.frombuffer(audio, "<i2").astype(np.float32) / 32767


class Vocoder(RowActor):
    """Resynthesises the source's units, and every candidate's `back_translation_units`, in the source language.

    Rows in: SCORED; rows out: SPOKEN. A row in a language without a vocoder fails.
    """

    schema: ClassVar[pa.Schema] = SPOKEN

    def __init__(self, checkpoints: Mapping[str, str], threads: int) -> None:
        """Load the vocoder of each language: `checkpoints` maps a language to a folder or another name of weights."""
        self.voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in checkpoints.items()}

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with `source_audio`, and `back_audio` in every candidate."""
        audio = self._synthesise(line for row in rows for line in _lines(row))
        return [_with_audio(row, audio) for row in rows]

    def _synthesise(self, lines: Iterable[Line]) -> dict[Line, bytes]:
        """Speak each distinct line once, language by language."""
        distinct = list(dict.fromkeys(lines))
        audio: dict[Line, bytes] = {}
        for lang in sorted({lang for lang, _ in distinct}):
            units = [units for line_lang, units in distinct if line_lang == lang]
            waves = self.voices[lang].speak(units)
            audio |= {(lang, line): to_pcm(wave) for line, wave in zip(units, waves, strict=True)}
        return audio


def _lines(row: Row) -> Iterable[Line]:
    """Yield what is spoken of a row."""
    candidates: list[Candidate] = row["candidates"] or []
    for units in (row["units"], *(candidate.get("back_translation_units") for candidate in candidates)):
        if units:
            yield row["src_lang"], tuple(units)


def _with_audio(row: Row, audio: Mapping[Line, bytes]) -> Row:
    def find(units: Sequence[int] | None) -> bytes | None:
        return audio.get((row["src_lang"], tuple(units))) if units else None

    candidates: list[Candidate] = row["candidates"] or []
    spoken: list[SpokenCandidate] = [
        {**candidate, "back_audio": find(candidate.get("back_translation_units"))} for candidate in candidates
    ]
    return {**row, "candidates": spoken, "source_audio": find(row["units"])}
