"""The speaker of produce: units of the source and of every candidate become audio that the scorer compares and the recognizer hears."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from factory.actors.base import RowActor
from factory.models.voice import Voice
from schemas.datasets import CANDIDATE, SCORED, Row

PCM = pa.binary()
"""Audio between actors: 16-bit little-endian samples, mono, 16 kHz (32 kB a second, one Arrow buffer). It is dropped before writing."""

SPOKEN_CANDIDATE = pa.struct([*CANDIDATE, pa.field("back_audio", PCM)])
"""A candidate with the audio of its `back_translation_units` (source language); null where there are none."""

SPOKEN = SCORED.set(SCORED.get_field_index("candidates"), pa.field("candidates", pa.list_(SPOKEN_CANDIDATE))).append(
    pa.field("source_audio", PCM)
)
"""SCORED with audio: `source_audio` is the source's units spoken again, not the recording."""


def to_pcm(wave: np.ndarray) -> bytes:
    """Return a float wave in [-1, 1] as PCM; louder samples are clipped."""
    return (np.clip(wave, -1, 1) * 32767).round().astype("<i2").tobytes()


def from_pcm(audio: bytes) -> np.ndarray:
    """Return PCM as a float32 wave in [-1, 1]."""
    return np.frombuffer(audio, "<i2").astype(np.float32) / 32767


class Vocoder(RowActor):
    """Speaks the source's units and every candidate's `back_translation_units` in the source language.

    `checkpoints` names a voice for each language (a path or a name of weights). Units of a language without a voice raise KeyError.
    """

    schema = SPOKEN

    def __init__(self, *, checkpoints: dict[str, str], threads: int = 1) -> None:
        self.voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in checkpoints.items()}

    def process(self, rows: list[Row]) -> list[Row]:
        """Add `source_audio`, and `back_audio` of every candidate."""
        spoken = self._speak_all(_wanted(rows))
        return [self._with_audio(row, spoken) for row in rows]

    def _speak_all(self, wanted: Iterable[tuple[str, tuple[int, ...]]]) -> dict[tuple[str, tuple[int, ...]], bytes]:
        """Speak each distinct line once, language by language."""
        lines = list(dict.fromkeys(wanted))
        spoken: dict[tuple[str, tuple[int, ...]], bytes] = {}
        for lang in sorted({lang for lang, _ in lines}):
            some = [units for known, units in lines if known == lang]
            spoken |= {
                (lang, units): to_pcm(wave) for units, wave in zip(some, self.voices[lang].speak(some), strict=True)
            }
        return spoken

    def _with_audio(self, row: Row, spoken: dict[tuple[str, tuple[int, ...]], bytes]) -> Row:
        def audio(lang: str, units: list[int] | None) -> bytes | None:
            return spoken.get((lang, tuple(units))) if units else None

        lang, some = row["src_lang"], row["candidates"] or []
        candidates = [
            candidate | {"back_audio": audio(lang, candidate.get("back_translation_units"))} for candidate in some
        ]
        return {**row, "candidates": candidates, "source_audio": audio(lang, row["units"])}


def _wanted(rows: list[Row]) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Yield every (language, units) that a row's audio needs."""
    for row in rows:
        asked = [row["units"], *(candidate.get("back_translation_units") for candidate in row["candidates"] or [])]
        yield from ((row["src_lang"], tuple(units)) for units in asked if units)
