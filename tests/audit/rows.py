"""Toy rows of SCORED and toy scores that the tests of the audit share."""

from __future__ import annotations

from typing import Any

from factory.audit.labels import ScoredCandidate, ScoredUtterance, judge_rows
from factory.recipe.sections import FiltersConfig
from schemas.datasets import Row

RIGHT, WRONG = "the train leaves at nine", "the boat leaves at two"


def candidate(text: str | None, bleu: float, finish: str = "ok", **scores: float | None) -> Row:
    """Return a candidate whose back-translation has these scores."""
    return {"text": text, "units": [1, 2, 3], "finish": finish, "scores": {"bleu": bleu, "wer": 1 - bleu, **scores}}


def row(right: float, wrong: float, **changes: Any) -> Row:
    """Return a row with a right and a wrong translation whose back-translations have these BLEUs."""
    values = {
        "utt_id": "u",
        "status": "ok",
        "text": "le train",
        "units": [4, 5, 6],
        "reference": RIGHT,
        "src_lang": "fr",
        "tgt_lang": "en",
        "candidates": [candidate(RIGHT, right), candidate(WRONG, wrong)],
    }
    return values | changes


def rows(right: int, wrong: int, gap: float = 0.3) -> list[Row]:
    """Return rows with right and wrong labels, all with the same gap in BLEU."""
    labels = [row(0.5 + gap, 0.5, utt_id=f"right{index}") for index in range(right)]
    return labels + [row(0.5, 0.5 + gap, utt_id=f"wrong{index}") for index in range(wrong)]


def judge(rows: list[Row], transcripts: dict[tuple[str, str, int], str] | None = None) -> list[ScoredUtterance]:
    """Judge rows with the default filters."""
    return judge_rows(rows, FiltersConfig(), transcripts)


def scored(
    *scores: float | None, metric: str = "bleu", judged: tuple[float, ...] = (), invalid: tuple[int, ...] = ()
) -> ScoredUtterance:
    """Return an utterance whose candidates have these scores by one metric, and these judgements by BLEU."""
    judgements = [{"bleu": value} for value in judged] or [{} for _ in scores]
    candidates = [
        ScoredCandidate({metric: score}, judgement, index not in invalid, True)
        for index, (score, judgement) in enumerate(zip(scores, judgements, strict=True))
    ]
    return ScoredUtterance("u", "fr-en", candidates)
