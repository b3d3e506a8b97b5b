"""The scorer actor: compares every back-translation with its source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.recognition import load_recognizer
from factory.actors.vocoder import SpokenCandidate, from_pcm
from factory.metrics import METRICS, normalise
from factory.recipe.sections import RecognizerConfig, ScorerConfig
from schemas.datasets import OK, SCORED, Row, Scores

if TYPE_CHECKING:
    from factory.models.recognizer import Recognizer


class Scorer(RowActor):
    """Fills `scores` of every candidate by comparing its back-translation with the source utterance.

    Rows in: `factory.actors.vocoder.SPOKEN` (or SCORED, if nothing was spoken). Rows out: SCORED, without the audio. If
    `score_text` is "policy", the text metrics compare `back_translation` with `text`, both as they are written (WER
    normalises by itself). If it is "asr", they compare the transcript of `back_audio` with `text` (or with the
    transcript of `source_audio` where a source has no text), both normalised.

    A back-translation that is missing because it or its candidate is malformed gets the worst score of each text metric
    (0 for BLEU, chrF and METEOR, 1 for WER) and no MCD. A valid back-translation without text (a policy that writes
    none, or no audio) and a source without text give null, because nothing was compared. The scores that the policy
    gave itself (reconstruction) stay as they are.
    """

    schema: ClassVar[pa.Schema] = SCORED

    def __init__(self, config: ScorerConfig, recognizer: RecognizerConfig, threads: int) -> None:
        """Load the recognizer if `config.score_text` is "asr"; `threads` are those of the recognizer."""
        self.metrics = [METRICS[name] for name in config.metrics]
        self.recognizer = load_recognizer(recognizer, threads) if config.score_text == "asr" else None

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with all scores."""
        triples = zip(rows, self._source_texts(rows), self._back_texts(rows), strict=True)
        return [row | {"candidates": self._score_row(row, source, texts)} for row, source, texts in triples]

    def _score_row(self, row: Row, source: str | None, texts: list[str | None]) -> list[SpokenCandidate]:
        """Return the candidates with their scores; equal back-translations are compared once."""
        candidates: list[SpokenCandidate] = row["candidates"]
        known: dict[tuple[str | None, str | None, bytes | None], Scores] = {}
        for candidate, text in zip(candidates, texts, strict=True):
            key = (text, candidate["back_translation_finish"], candidate.get("back_audio"))
            if key not in known:
                known[key] = self._score(row, candidate, text, source)
            candidate["scores"] = known[key] | self._own_scores(candidate)
        return candidates

    def _own_scores(self, candidate: SpokenCandidate) -> Scores:
        """Return the scores that the translator gave to a candidate."""
        scores = candidate.get("scores") or {}
        return {metric.name: scores.get(metric.name) for metric in self.metrics if metric.by_policy}

    def _score(self, row: Row, candidate: SpokenCandidate, text: str | None, source: str | None) -> Scores:
        is_valid = candidate["back_translation_finish"] == OK
        waves = _wave(candidate.get("back_audio")), _wave(row.get("source_audio"))
        scores: Scores = {}
        for metric in self.metrics:
            if metric.by_policy:
                continue
            hypothesis, reference = waves if metric.audio else (text, source)
            if hypothesis is not None and reference is not None:
                scores[metric.name] = _finite(metric.score(hypothesis, reference, row["src_lang"]))
            else:
                scores[metric.name] = None if is_valid or reference is None else metric.worst
        return scores

    def _source_texts(self, rows: list[Row]) -> list[str | None]:
        """Return the text of each source, or its transcript where it has none and there is a recognizer."""
        if self.recognizer is None:
            return [row["text"] for row in rows]
        audio = [row.get("source_audio") if row["text"] is None else None for row in rows]
        transcripts = _transcribe(self.recognizer, audio, [row["src_lang"] for row in rows])
        return [
            _normalise(row["text"], row["src_lang"]) if transcript is None else transcript
            for row, transcript in zip(rows, transcripts, strict=True)
        ]

    def _back_texts(self, rows: list[Row]) -> list[list[str | None]]:
        """Return the text of every back-translation of each row."""
        if self.recognizer is None:
            return [[candidate["back_translation"] for candidate in row["candidates"]] for row in rows]
        spoken = [(candidate.get("back_audio"), row["src_lang"]) for row in rows for candidate in row["candidates"]]
        transcripts = iter(_transcribe(self.recognizer, [audio for audio, _ in spoken], [lang for _, lang in spoken]))
        return [[next(transcripts) for _ in row["candidates"]] for row in rows]


def _transcribe(recognizer: Recognizer, audio: Sequence[bytes | None], langs: Sequence[str]) -> list[str | None]:
    """Return the normalised transcript of each sound (PCM) in its language; None where there is no sound."""
    transcripts: list[str | None] = [None] * len(audio)
    for lang in sorted(set(langs)):
        waves = {
            index: from_pcm(pcm)
            for index, (pcm, pcm_lang) in enumerate(zip(audio, langs, strict=True))
            if pcm is not None and pcm_lang == lang
        }
        texts = recognizer.transcribe(list(waves.values()), lang)
        for index, text in zip(waves, texts, strict=True):
            transcripts[index] = _normalise(text, lang)
    return transcripts


def _wave(pcm: bytes | None) -> np.ndarray | None:
    return None if pcm is None else from_pcm(pcm)


def _normalise(text: str | None, lang: str) -> str | None:
    return None if text is None else normalise.text(text, lang)


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
