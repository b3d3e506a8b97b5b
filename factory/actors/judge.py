"""The listener of evaluate: speaks what a policy wrote, hears it with the recognizer and rates how natural it sounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.actors.base import RowActor
from factory.models.tts import Speakers
from schemas.datasets import EVALUATED, TOPLINE, Row
from schemas.sequences import words


class _Ears:
    """One voice a language, the recognizer and the MOS model in one process."""

    def __init__(self, vocoders: dict[str, str], recognizer: dict[str, Any], threads: int) -> None:
        from factory.models.mos import Mos
        from factory.models.recognizer import Recognizer
        from factory.models.voice import Voice

        self.voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in vocoders.items()}
        self.recognizer = Recognizer(**recognizer, threads=threads)
        self.mos = Mos(threads)

    def hear(self, waves: list[np.ndarray], lang: str) -> list[tuple[str, float]]:
        """Return the transcript and the MOS (1..5) of each wave (16 kHz)."""
        return list(zip(self.recognizer.transcribe(waves, lang), self.mos.rate(waves), strict=True))

    def hear_units(self, units: list[list[int]], lang: str) -> list[tuple[str, float]]:
        """Speak units with predicted durations, then hear them."""
        return self.hear(self.voices[lang].speak(units), lang)


class Judge(RowActor):
    """Reads the only candidate of each row; those of the utterances in `spoken` are spoken and heard as well.

    `writes_text` says whether ways back have a text of their own (else they are heard); `cascade` names a text-to-speech voice a
    language, which speaks the policy's text as a baseline.
    """

    schema = EVALUATED

    def __init__(
        self,
        *,
        vocoders: dict[str, str],
        recognizer: dict[str, Any],
        spoken: list[str],
        writes_text: bool = True,
        cascade: dict[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        self.ears = _Ears(vocoders, recognizer, threads)
        self.spoken, self.writes_text = set(spoken), writes_text
        self.speakers = Speakers(cascade, threads) if cascade else None

    def process(self, rows: list[Row]) -> list[Row]:
        """Take text and units out of the candidate; a translation without units that should be heard is heard as silence: an empty text.

        Its own text ends where speech began in it.
        """
        told = [self._read(row, row["candidates"][0]) for row in rows]
        spoken = [row for row in told if row["utt_id"] in self.spoken]
        self._hear(spoken, "units", "tgt_lang", "asr_text", "mos")
        if not self.writes_text:
            self._hear(spoken, "back_translation_units", "src_lang", "back_translation")
        if self.speakers:
            self._hear_cascade([row for row in spoken if row["text"]], self.speakers)
        return told

    def _read(self, row: Row, candidate: Row) -> Row:
        back = (candidate["back_translation"] or "") if self.writes_text else None
        taken = {key: candidate[key] for key in ("text", "units", "finish", "back_translation_units")}
        if taken["text"]:
            taken["text"] = words(taken["text"])
        return row | {"source_text": row["text"]} | taken | {"back_translation": back}

    def _hear(self, rows: list[Row], units: str, language: str, into: str, mos_into: str | None = None) -> None:
        """Put what the recognizer hears of units, and how natural it sounds, into the rows."""
        for row in rows:
            row[into] = ""
        for lang in {row[language] for row in rows}:
            voiced = [row for row in rows if row[units] and row[language] == lang]
            for row, (text, mos) in zip(
                voiced, self.ears.hear_units([row[units] for row in voiced], lang), strict=True
            ):
                row[into] = text
                if mos_into:
                    row[mos_into] = mos

    def _hear_cascade(self, rows: list[Row], speakers: Speakers) -> None:
        for lang in {row["tgt_lang"] for row in rows} & speakers.languages:
            some = [row for row in rows if row["tgt_lang"] == lang]
            waves = speakers.speak([row["text"] for row in some], lang)
            for row, (text, mos) in zip(some, self.ears.hear(waves, lang), strict=True):
                row["cascade_text"], row["cascade_mos"] = text, mos


class ToplineJudge(RowActor):
    """Hears a test recording as it is and as the vocoder speaks its units: what a perfect translation would get.

    Without an `encoder` the rows have units and no recording, and only the units are heard.
    """

    schema = TOPLINE

    def __init__(
        self, *, vocoders: dict[str, str], recognizer: dict[str, Any], encoder: dict[str, Any] | None, threads: int = 1
    ) -> None:
        from factory.actors.encoder import Encoder

        self.encoder = Encoder(**encoder) if encoder else None
        self.ears = _Ears(vocoders, recognizer, threads)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return TOPLINE rows; `reference` is the recording's own transcript."""
        told: list[Row] = []
        rows = self.encoder.process(rows) if self.encoder else rows
        for lang in sorted({row["lang"] for row in rows}):
            some = [row for row in rows if row["lang"] == lang]
            original = self._recordings(some, lang)
            again = self.ears.hear_units([row["units"] for row in some], lang)
            told += [
                row
                | {
                    "reference": row["text"],
                    "audio_asr": a[0],
                    "audio_mos": a[1],
                    "resynthesised_asr": b[0],
                    "resynthesised_mos": b[1],
                }
                for row, a, b in zip(some, original, again, strict=True)
            ]
        order = {row["utt_id"]: place for place, row in enumerate(rows)}
        return sorted(told, key=lambda row: order[row["utt_id"]])

    def _recordings(self, rows: list[Row], lang: str) -> list[tuple[str, float]] | list[tuple[None, None]]:
        from factory.corpora.audio import read

        return (
            self.ears.hear([read(row["audio"]) for row in rows], lang) if self.encoder else [(None, None)] * len(rows)
        )
