"""The changes of scores between cells of a reproduction, with bootstrap intervals over test sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.reproduce_records import Record
from factory.metrics import bootstrap, normalise
from factory.report.summary_types import Score, ScoreName
from schemas.datasets import Row

Records = dict[str, Record]
Changes = dict[tuple[ScoreName, str], bootstrap.Estimate]
DIRECTIONS = ("en-fr", "fr-en")
SCORES: dict[ScoreName, str] = {"s2t_bleu": "S2T BLEU", "asr_bleu": "ASR-BLEU"}
COLUMNS: dict[ScoreName, str] = {"s2t_bleu": "text", "asr_bleu": "asr_text"}


def change(
    records: Records, names: Sequence[str], starts: Sequence[str], directions: Sequence[str], score: ScoreName
) -> bootstrap.Estimate:
    """Return the change of a score from the cells `starts`, averaged over seeds and over directions.

    Args:
        records: the records by name of the cell.
        names: the cells after a change, which differ in their seed.
        starts: the cells without it: one for all seeds, or several.
        directions: the directions, as `en-fr`. They share their test sentences, in the order of the ids.
        score: the score.

    Returns:
        The mean change, with a bootstrap interval over test sentences.
    """
    return bootstrap.compare(
        _average(records, names, directions, score), _average(records, starts, directions, score)
    ).difference


def estimate(records: Records, names: Sequence[str], direction: str, score: ScoreName) -> bootstrap.Estimate:
    """Return a score of one direction with its interval, averaged over cells that differ in their seed."""
    return bootstrap.estimate(_average(records, names, [direction], score))


def _average(records: Records, names: Sequence[str], directions: Sequence[str], score: ScoreName) -> bootstrap.Sample:
    return bootstrap.average(
        [_sample(records[name], direction, COLUMNS[score]) for name in names for direction in directions]
    )


def _sample(record: Record, direction: str, column: str) -> bootstrap.Sample:
    return make_sample(record.said(direction), column, direction.split("-")[1])


def make_sample(rows: Sequence[Row], column: str, lang: str) -> bootstrap.Sample:
    """Return the sample of a corpus BLEU. A row that was not heard has no transcript and is left out.

    Args:
        rows: test utterances of one direction, in the order of their ids.
        column: `text` or `asr_text`.
        lang: the target language.
    """
    rows = [row for row in rows if column == "text" or row[column] is not None]
    texts, references = [row[column] or "" for row in rows], [row["reference"] for row in rows]
    if column == "asr_text":
        texts, references = ([normalise.text(text, lang) for text in side] for side in (texts, references))
    return bootstrap.corpus("bleu", texts, references, lang)


def changes_by_score(
    records: Records, names: list[str], start: str, scores: Iterable[ScoreName] = tuple(SCORES)
) -> Changes:
    """Return the change of each score and direction by a round, averaged over runs with different seeds.

    Args:
        records: the records by name of the cell.
        names: the cells after a round, which differ in their seed.
        start: the cell before the round.
        scores: the scores; one that the first cell lacks is left out.
    """
    first = records[names[0]].summary
    scored = [(score, direction) for score in scores for direction in DIRECTIONS if first[score].get(direction)]
    return {(score, direction): change(records, names, [start], [direction], score) for score, direction in scored}


def describe_changes(found: Changes, names: list[str]) -> str:
    """Return changes in words; `names` are the averaged cells."""
    changes = "; ".join(
        f"{SCORES[score]} {direction} {signed(*estimate)}" for (score, direction), estimate in found.items()
    )
    return f"mean of {len(names)} seed{'s' * (len(names) > 1)}: {changes}"


def signed(point: float, low: float, high: float) -> str:
    """Format a difference `point` with its interval from `low` to `high`."""
    return f"{point:+.2f} [{low:+.2f}, {high:+.2f}]"


def describe_score(score: Score | None) -> str:
    """Format a score of a summary, and in brackets what the round changed; a dash for one that was not measured."""
    if score is None:
        return "-"
    if "difference" not in score:
        return f"{score['after']:.2f}"
    low, high = score["difference_ci"]
    return f"{score['after']:.2f} ({signed(score['difference'], low, high)})"


def describe_agreement(found: bootstrap.Estimate, paper: float | None) -> str:
    """Return in words if a difference is significant, and if it agrees with the paper."""
    if found.low <= 0 <= found.high:
        return "cannot be told apart from zero" + ", as in the paper" * (paper == 0)
    if paper is None:
        return "can be told apart from zero"
    return "agrees with the paper" if paper * found.point > 0 else "contradicts the paper"
