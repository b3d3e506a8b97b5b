"""The listener of evaluate: speaks what a policy wrote, hears it with the recognizer and rates how natural it sounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.actors.base import Row, RowActor
from schemas.datasets import EVALUATED, TOPLINE


class _Ears:
    """One voice a language, the recognizer and the MOS model in one process."""

    def __init__(self, vocoders: dict[str, str], recognizer: dict[str, Any], threads: int) -> None:
        from factory.actors.mos import Mos
        from factory.actors.recognizer import Recognizer
        from factory.actors.vocoder import Voice

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
    """Reads the only candidate of each row; those of the utterances in `spoken` are spoken and heard as well."""

    schema = EVALUATED

    def __init__(self, *, vocoders: dict[str, str], recognizer: dict[str, Any], spoken: list[str], threads: int = 1) -> None:
        self.ears = _Ears(vocoders, recognizer, threads)
        self.spoken = set(spoken)

    def process(self, rows: list[Row]) -> list[Row]:
        """Take text and units out of the candidate; a malformed translation that should be heard is heard as silence: an empty text."""
        told = [row | {key: row["candidates"][0][key] for key in ("text", "units", "finish")} for row in rows]
        for lang in {row["tgt_lang"] for row in told}:
            spoken = [row for row in told if row["utt_id"] in self.spoken and row["tgt_lang"] == lang]
            voiced = [row for row in spoken if row["units"]]
            for row in spoken:
                row["asr_text"] = ""
            for row, (text, mos) in zip(voiced, self.ears.hear_units([row["units"] for row in voiced], lang), strict=True):
                row["asr_text"], row["mos"] = text, mos
        return told


class ToplineJudge(RowActor):
    """Hears a test recording as it is and as the vocoder speaks its units: what a perfect translation would get."""

    schema = TOPLINE

    def __init__(self, *, vocoders: dict[str, str], recognizer: dict[str, Any], encoder: dict[str, Any], threads: int = 1) -> None:
        from factory.actors.encoder import Encoder

        self.encoder = Encoder(**encoder)
        self.ears = _Ears(vocoders, recognizer, threads)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return TOPLINE rows; `reference` is the recording's own transcript."""
        from factory.audio import read

        told: list[Row] = []
        rows = self.encoder.process(rows)
        for lang in sorted({row["lang"] for row in rows}):
            some = [row for row in rows if row["lang"] == lang]
            original = self.ears.hear([read(row["audio"])[0] for row in some], lang)
            again = self.ears.hear_units([row["units"] for row in some], lang)
            told += [
                row | {"reference": row["text"], "audio_asr": a[0], "audio_mos": a[1], "resynthesised_asr": b[0], "resynthesised_mos": b[1]}
                for row, a, b in zip(some, original, again, strict=True)
            ]
        order = {row["utt_id"]: place for place, row in enumerate(rows)}
        return sorted(told, key=lambda row: order[row["utt_id"]])
