"""The actor that speaks a corpus of units, for a policy of continuous speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa

from factory.actors.base import RowActor
from factory.corpora.audio import encode
from factory.corpora.base import CORPUS_ROW
from factory.models.voice import Voice
from schemas.datasets import Row


class Speaker(RowActor):
    """Speaks the source side of paired units, as a recording in FLAC: Opus takes longer to write than to synthesise.

    Rows in: PAIRED, with `utt_id` and `lang`; rows out: CORPUS_ROW, with the translation as `reference`. A row without
    units gets no recording.
    """

    schema: ClassVar[pa.Schema] = CORPUS_ROW

    def __init__(self, checkpoints: Mapping[str, str], threads: int) -> None:
        """Load the vocoder of each language: `checkpoints` maps a language to a folder or another name of weights."""
        self.voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in checkpoints.items()}

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with `audio`, `text` and `reference`."""
        spoken: dict[str, bytes] = {}
        for lang in sorted({row["lang"] for row in rows}):
            own = [row for row in rows if row["lang"] == lang and row["src_units"]]
            waves = self.voices[lang].speak([row["src_units"] for row in own])
            spoken |= {row["utt_id"]: encode(wave, "FLAC") for row, wave in zip(own, waves, strict=True)}
        audio = {name: {"bytes": recording, "path": None} for name, recording in spoken.items()}
        return [
            row | {"audio": audio.get(row["utt_id"]), "text": row["src_text"], "reference": row["tgt_text"]}
            for row in rows
        ]
