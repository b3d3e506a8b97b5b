"""The scores that an audit compares: of each candidate's back-translation, and of the candidate against a reference.

A label says that one candidate of an utterance is better than another one, by a metric of their back-translations. A
judge is a metric of the candidates against a reference. No pair is made with a reference, so a judge can check the
labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from factory.metrics import METRICS, normalise
from factory.passes.filters import rejection_reason
from factory.passes.sampling import sample_rows
from factory.passes.unit_languages import OF_ROW, Languages
from factory.recipe.directions import Direction
from factory.recipe.sections import FiltersConfig
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, UNSPOKEN, Row, Scores

MAX_UTTERANCES = 3_000
"""Most utterances of an audit. More would make narrow intervals only slightly narrower."""
JUDGES = ("bleu", "chrf", "asr_bleu")
"""The judges: BLEU and chrF of a candidate's text, and BLEU of the transcript of its speech."""

CandidateKey = tuple[str, str, int]
"""Names a candidate: the id of its utterance, the language of the translation, its index in its row of SCORED."""
Transcripts = dict[CandidateKey, str]
"""ASR transcripts of candidates."""


@dataclass(frozen=True)
class ScoredCandidate:
    """The scores of one candidate.

    Attributes:
        scores: of its back-translation against the source, by metric.
        judgements: of the candidate against the reference, by judge; empty if there is nothing to compare.
        is_valid: no filter rejects it.
        has_speech: its finish is not UNSPOKEN. A candidate without speech is in no pair.
    """

    scores: Scores
    judgements: dict[str, float]
    is_valid: bool
    has_speech: bool


@dataclass(frozen=True)
class ScoredUtterance:
    """The scored candidates of an utterance; `direction` is `fr-en` for French to English."""

    utt_id: str
    direction: str
    candidates: list[ScoredCandidate]


def judge_rows(
    rows: Iterable[Row],
    filters: FiltersConfig,
    transcripts: Mapping[CandidateKey, str] | None = None,
    languages: Languages = OF_ROW,
    judgements: Mapping[str, Mapping[CandidateKey, float]] | None = None,
) -> list[ScoredUtterance]:
    """Score the candidates of rows against their references.

    Args:
        rows: rows of SCORED. Those without a reference are left out, and so are malformed candidates.
        filters: the filters of the recipe, which decide whether a candidate is valid.
        transcripts: ASR transcripts of candidates; with them `asr_bleu` is one of the judges.
        languages: the languages of the recipe, and what identifies them, for the filter of the wrong language.
        judgements: scores of candidates by further judges, which read their references (`factory.judges`).

    Returns:
        An utterance for each row that is `ok` and has a reference.
    """
    known, more = transcripts or {}, judgements or {}
    judged = (row for row in rows if row["status"] == OK and row["reference"])
    return [_judge_row(row, filters, known, languages, more) for row in judged]


def read_scores(row: Row, filters: FiltersConfig, languages: Languages = OF_ROW) -> ScoredUtterance:
    """Return the scores of all candidates of a row of SCORED, in their order, without judgements."""
    candidates = [
        ScoredCandidate(
            c["scores"] or {}, {}, rejection_reason(c, row, filters, languages) is None, c["finish"] != UNSPOKEN
        )
        for c in row["candidates"]
    ]
    return ScoredUtterance(row["utt_id"], Direction.of_row(row), candidates)


def read_rows_with_reference(scored: DatasetDir, limit: int = MAX_UTTERANCES) -> list[Row]:
    """Read at most `limit` rows of SCORED that have a reference, always the same ones (`sample_rows`)."""
    table = scored.rows(status=OK)
    return sample_rows(table.filter(pc.greater(pc.utf8_length(table["reference"]), 0)), limit)


def explain_unmeasured(utterances: int, has_judge: bool) -> str | None:
    """Return why labels could not be measured and what to do about it; None if they could.

    Args:
        utterances: number of utterances with a reference.
        has_judge: True if a judge could score a candidate, by its text or its transcript.
    """
    if not utterances:
        return (
            "labels could not be measured: no utterance of this round has a reference; add a column reference to the "
            "speech, with the translation of each utterance, or judge by ear with `roundtrip listen`"
        )
    if not has_judge:
        return (
            "labels could not be measured: the candidates have no text to compare with a reference; let the recognizer "
            "transcribe them with `roundtrip audit --asr 100`"
        )
    return None


def _judge_row(
    row: Row,
    filters: FiltersConfig,
    transcripts: Mapping[CandidateKey, str],
    languages: Languages,
    more: Mapping[str, Mapping[CandidateKey, float]],
) -> ScoredUtterance:
    keys = [(row["utt_id"], row["tgt_lang"], index) for index in range(len(row["candidates"]))]
    candidates = [
        ScoredCandidate(
            scores=candidate["scores"],
            judgements=_judge(candidate["text"], transcripts.get(key), row)
            | {judge: scores[key] for judge, scores in more.items() if key in scores},
            is_valid=rejection_reason(candidate, row, filters, languages) is None,
            has_speech=candidate["finish"] != UNSPOKEN,
        )
        for key, candidate in zip(keys, row["candidates"], strict=True)
        if candidate["finish"] in (OK, UNSPOKEN)
    ]
    return ScoredUtterance(row["utt_id"], Direction.of_row(row), candidates)


def _judge(text: str | None, transcript: str | None, row: Row) -> dict[str, float]:
    """Return the score by each judge that has a text to compare: the candidate's own, or its transcript."""
    reference, lang = row["reference"], row["tgt_lang"]
    scores = {judge: METRICS[judge].score(text, reference, lang) for judge in ("bleu", "chrf")} if text else {}
    if transcript is not None:
        texts = normalise.text(transcript, lang), normalise.text(reference, lang)
        scores["asr_bleu"] = METRICS["bleu"].score(*texts, lang)
    return scores
