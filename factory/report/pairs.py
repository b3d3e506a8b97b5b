"""The pairs that a report shows: which ones, their texts, the differences between their texts, and their scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from typing import Literal, TypedDict

from factory.passes.sampling import sample_rows
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, Candidate, Row, Scores
from schemas.sequences import parse, task

MAX_PLAYERS = 24
"""Most pairs with players. A pair has five sounds of about 10 kB."""

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")
TextRun = tuple[str, bool]
"""Consecutive words of a text; True if the other text does not have them in this position."""


class ShownSource(TypedDict):
    """The source utterance of a pair: transcript, units and reference translation."""

    text: str | None
    units: list[int] | None
    reference: str | None


class ShownPair(TypedDict):
    """A preference pair with its source and both candidates."""

    pair_id: str
    utt_id: str
    src_lang: str
    tgt_lang: str
    metric: str
    margin: float
    source: ShownSource
    chosen: Candidate
    rejected: Candidate


class TableSide(TypedDict):
    """One side of a pair in the page's table; `scores` are in the order of the recipe's metrics."""

    text: list[TextRun]
    back_translation: list[TextRun]
    scores: list[float | None]


class TableRow(TypedDict):
    """A row of the page's table, as its JavaScript reads it; `sounds` has the keys of the sounds that exist."""

    id: str
    direction: str
    margin: float
    source: str | None
    reference: str | None
    chosen: TableSide
    rejected: TableSide
    sounds: dict[str, str]


def read_shown_pairs(pairs: DatasetDir, scored: DatasetDir, limit: int) -> list[ShownPair]:
    """Return at most `limit` pairs, the widest margin first; a sample by hash if there are more.

    Args:
        pairs: a dataset of PAIR.
        scored: the dataset of SCORED that the pairs were selected from.
        limit: the largest number of pairs.
    """
    return join_scored(sorted(sample_rows(pairs.rows(status=OK), limit), key=margin_key), scored)


def margin_key(row: Row) -> tuple[float, str]:
    """Return the sort key of a row of PAIR, for the widest margin first."""
    return -row["margin"], row["pair_id"]


def join_scored(rows: Sequence[Row], scored: DatasetDir) -> list[ShownPair]:
    """Join rows of PAIR with the texts and units of their rows of SCORED; a pair without such a row is left out."""
    table = scored.rows(status=OK, ids=[row["utt_id"] for row in rows])
    sources = {(row["utt_id"], row["tgt_lang"]): row for row in table.to_pylist()}
    joined = [(row, sources.get((row["utt_id"], row["tgt_lang"]))) for row in rows]
    return [_join(row, source) for row, source in joined if source is not None]


def _join(row: Row, source: Row) -> ShownPair:
    return {
        "pair_id": row["pair_id"],
        "utt_id": row["utt_id"],
        "src_lang": row["src_lang"],
        "tgt_lang": row["tgt_lang"],
        "metric": row["metric"],
        "margin": row["margin"],
        "source": {"text": source["text"], "units": source["units"], "reference": source["reference"]},
        "chosen": _find_candidate(row, "chosen", source["candidates"]),
        "rejected": _find_candidate(row, "rejected", source["candidates"]),
    }


def _find_candidate(row: Row, side: Side, candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate of a side of the pair, found by its text and scores."""
    text, scores = row[f"{side}_text"], _known(row[f"{side}_scores"])
    same = (one for one in candidates if one["text"] == text and _known(one.get("scores")) == scores)
    return next(same, None) or _parse_candidate(row, side)


def _known(scores: Scores | None) -> Scores:
    """Return the scores that are not null: a dataset of before a metric existed has no column for it."""
    return {metric: score for metric, score in (scores or {}).items() if score is not None}


def _parse_candidate(row: Row, side: Side) -> Candidate:
    """Parse a side of the pair from its training sequence, which has no back-translation."""
    parsed = parse(task(row["prompt"]), row[side])
    return {
        "text": parsed.text,
        "units": parsed.units,
        "logprob": None,
        "finish": OK,
        "back_translation": None,
        "back_translation_units": None,
        "back_translation_finish": None,
        "scores": row[f"{side}_scores"],
    }


def choose_pairs_with_players(pairs: Sequence[ShownPair], limit: int = MAX_PLAYERS) -> list[ShownPair]:
    """Choose at most `limit` pairs, the same number per direction.

    A third of them has the widest margins, a third the narrowest, and the rest is spread between them.

    Args:
        pairs: the pairs, the widest margin first.
        limit: the largest number of pairs.
    """
    directions = sorted({(pair["src_lang"], pair["tgt_lang"]) for pair in pairs})
    count = limit // max(1, len(directions))
    chosen: list[ShownPair] = []
    for direction in directions:
        chosen += _spread([pair for pair in pairs if (pair["src_lang"], pair["tgt_lang"]) == direction], count)
    return chosen


def _spread(pairs: list[ShownPair], count: int) -> list[ShownPair]:
    if len(pairs) <= count:
        return pairs
    third = count // 3
    ends = [*pairs[:third], *pairs[-third:]] if third else []
    middle, rest = pairs[third : len(pairs) - third], count - 2 * third
    return [*ends, *middle[:: max(1, len(middle) // max(1, rest))][:rest]]


def mark_differences(text: str | None, other: str | None) -> list[TextRun]:
    """Split a text into runs of words that the other text has in common with it, or has not."""
    words, others = (text or "").split(), (other or "").split()
    codes = SequenceMatcher(None, words, others, autojunk=False).get_opcodes()
    return [(" ".join(words[start:end]), kind != "equal") for kind, start, end, _, _ in codes if end > start]


def make_table_row(pair: ShownPair, recipe: Recipe, sounds: Collection[str]) -> TableRow:
    """Return a row of the page's table.

    Args:
        pair: the pair.
        recipe: the experiment, whose metrics give the scores.
        sounds: the keys of all sounds in the page (`make_waves`).
    """
    names = ("source", "chosen", "rejected", "chosen_back", "rejected_back")
    keys = {name: f"{pair['pair_id']}.{name}" for name in names}
    return {
        "id": pair["pair_id"],
        "direction": Direction.of_row(pair),
        "margin": round(pair["margin"], 4),
        "source": pair["source"]["text"],
        "reference": pair["source"]["reference"],
        "chosen": _table_side(pair, "chosen", "rejected", recipe),
        "rejected": _table_side(pair, "rejected", "chosen", recipe),
        "sounds": {name: key for name, key in keys.items() if key in sounds},
    }


def _table_side(pair: ShownPair, side: Side, other: Side, recipe: Recipe) -> TableSide:
    scores = pair[side].get("scores", {})
    return {
        "text": mark_differences(pair[side]["text"], pair[other]["text"]),
        "back_translation": mark_differences(pair[side]["back_translation"], pair["source"]["text"]),
        "scores": [_rounded(scores, metric) for metric in recipe.scorer.metrics],
    }


def _rounded(scores: Scores, metric: str) -> float | None:
    score = scores.get(metric)
    return None if score is None else round(score, 3)
