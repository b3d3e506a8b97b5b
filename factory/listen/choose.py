"""Which rows a person is asked about, and which two candidates of each."""

from __future__ import annotations

import random

from factory.audit.comparisons import best_worst
from factory.audit.labels import ScoredUtterance, read_scores, sample_rows
from factory.metrics import METRICS
from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from schemas.datasets import OK, Row

FROM = 20_000
"""Most utterances that are considered."""


def questions(run: Run, number: int, recipe: Recipe, choose: str, count: int) -> list[Row]:
    """Return `count` rows of SCORED to judge, each with `places`, its two candidates as (A, B) in random order, the same every time.

    `choose`: `random`; `near` δ by the recipe's metric; or `disagree`, where metrics name different winners, the widest split first.
    Raises ValueError where the round holds nothing to compare.
    """
    rows = sample_rows(run.dataset(number, "scored").rows(status=OK), FROM)
    able = [
        (row, scores, pair)
        for row in rows
        if (pair := _pair(scores := read_scores(row, recipe.select.filters), recipe)) is not None
    ]
    if not able:
        raise ValueError(
            f"round {number} of {run.uri} has no utterance with two different sound candidates to listen to"
        )
    draw = random.Random(f"{recipe.seed} {number}")
    keys = {"random": lambda *_: draw.random(), "near": _distance, "disagree": _unanimity}
    ranked = sorted(able, key=lambda item: keys[choose](item[1], item[2], recipe))
    return [row | {"places": draw.sample(pair, 2)} for row, _, pair in ranked[:count]]


def _pair(scores: ScoredUtterance, recipe: Recipe) -> tuple[int, int] | None:
    """Return the candidates that select compares, None where they come back equally well by every metric."""
    chosen = best_worst(scores, recipe.select.metric)
    return chosen if chosen and any(_votes(scores, chosen, recipe)) else None


def _votes(scores: ScoredUtterance, pair: tuple[int, int], recipe: Recipe) -> list[float]:
    """Return by how much each metric prefers the first of the two (0 where it cannot say)."""
    one, two = (scores.candidates[place].scores for place in pair)
    able = [metric for metric in recipe.scorer.metrics if one.get(metric) is not None and two.get(metric) is not None]
    return [METRICS[metric].advantage(one[metric], two[metric]) for metric in able]  # type: ignore[arg-type]


def _distance(scores: ScoredUtterance, pair: tuple[int, int], recipe: Recipe) -> float:
    """How far the gap is from δ (from 0 where the recipe leaves δ to the audit)."""
    metric, delta = recipe.select.metric, recipe.select.delta
    one, two = (scores.candidates[place].scores[metric] for place in pair)
    return abs(abs(METRICS[metric].advantage(one, two)) - (0.0 if delta == "auto" else float(delta)))  # type: ignore[arg-type]


def _unanimity(scores: ScoredUtterance, pair: tuple[int, int], recipe: Recipe) -> float:
    """0 where as many metrics prefer one as the other, 1 where all agree."""
    signs = [(vote > 0) - (vote < 0) for vote in _votes(scores, pair, recipe)]
    return abs(sum(signs)) / len(signs)
