"""How far what came back is from where it started: the scores of every candidate's way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.vocoder import from_pcm
from factory.metrics import METRICS, normalise
from schemas.datasets import OK, SCORED, Row

Candidate = dict[str, Any]


class Scorer(RowActor):
    """Fills `scores` of every candidate by comparing its way back with the source utterance.

    Rows in: `factory.actors.vocoder.SPOKEN` (or SCORED, when nothing was spoken); rows out: SCORED, the audio is dropped here. With
    `score_text` "policy" the text metrics compare `back_translation` with `text`, both as they are written (WER normalises by itself). With
    "asr" they compare what the recognizer hears in `back_audio`, and in `source_audio` where a source has no text, both normalised.

    A way back that is missing because it or its candidate is malformed gets the worst score of each text metric (0 for BLEU, chrF and
    METEOR, 1 for WER) and no MCD. No text although the way back is sound (a policy without text, or no audio to hear), or a source
    without text, gives null: nothing was compared.
    """

    schema: ClassVar[pa.Schema] = SCORED

    def __init__(
        self,
        *,
        metrics: list[str],
        score_text: Literal["policy", "asr"] = "policy",
        recognizer: dict[str, Any] | None = None,
        threads: int = 1,
    ) -> None:
        """Prepare the metrics named; `recognizer` holds Recognizer's arguments and is used with "asr" only.

        Raises ValueError for a metric or a `score_text` that is not known.
        """
        if unknown := sorted(set(metrics) - set(METRICS)):
            raise ValueError(f"unknown metrics {', '.join(unknown)}; known are {', '.join(METRICS)}")
        if score_text not in ("policy", "asr"):
            raise ValueError(f"score_text is policy or asr; got {score_text!r}")
        self.metrics = [METRICS[name] for name in metrics]
        self.recognizer = _recognizer(recognizer or {}, threads) if score_text == "asr" else None

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with all scores filled."""
        sources = self._source_texts(rows)
        backs = self._back_texts(rows)
        return [
            row
            | {"candidates": [self._scored(row, *pair, source) for pair in zip(row["candidates"], texts, strict=True)]}
            for row, source, texts in zip(rows, sources, backs, strict=True)
        ]

    def _scored(self, row: Row, candidate: Candidate, back: str | None, source: str | None) -> Candidate:
        sound = candidate["back_translation_finish"] == OK
        audio = _wave(candidate.get("back_audio")), _wave(row.get("source_audio"))
        scores: dict[str, float | None] = {}
        for metric in self.metrics:
            told, expected = audio if metric.audio else (back, source)
            if told is not None and expected is not None:
                scores[metric.name] = _finite(metric.score(told, expected, row["src_lang"]))
            else:
                scores[metric.name] = None if sound or expected is None else metric.worst
        return candidate | {"scores": scores}

    def _source_texts(self, rows: list[Row]) -> list[str | None]:
        if self.recognizer is None:
            return [row["text"] for row in rows]
        mute = [row.get("source_audio") if row["text"] is None else None for row in rows]
        heard = self._heard(mute, [row["src_lang"] for row in rows])
        return [
            _normalised(row["text"], row["src_lang"]) if told is None else told
            for row, told in zip(rows, heard, strict=True)
        ]

    def _back_texts(self, rows: list[Row]) -> list[list[str | None]]:
        if self.recognizer is None:
            return [[candidate["back_translation"] for candidate in row["candidates"]] for row in rows]
        spoken = [(candidate.get("back_audio"), row["src_lang"]) for row in rows for candidate in row["candidates"]]
        heard = iter(self._heard([audio for audio, _ in spoken], [lang for _, lang in spoken]))
        return [[next(heard) for _ in row["candidates"]] for row in rows]

    def _heard(self, audio: Sequence[bytes | None], langs: Sequence[str]) -> list[str | None]:
        """Return the normalised transcript of each wave, None where there is none."""
        told: list[str | None] = [None] * len(audio)
        for lang in sorted(set(langs)):
            places = [
                i for i, (sound, own) in enumerate(zip(audio, langs, strict=True)) if own == lang and sound is not None
            ]
            texts = (
                self.recognizer.transcribe([from_pcm(audio[i] or b"") for i in places], lang) if self.recognizer else []
            )
            for place, text in zip(places, texts, strict=True):
                told[place] = _normalised(text, lang)
        return told


def _wave(pcm: bytes | None) -> np.ndarray | None:
    return None if pcm is None else from_pcm(pcm)


def _normalised(text: str | None, lang: str) -> str | None:
    return None if text is None else normalise.text(text, lang)


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None


def _recognizer(arguments: dict[str, Any], threads: int) -> Any:
    from factory.models.recognizer import Recognizer

    return Recognizer(**arguments, threads=threads)
