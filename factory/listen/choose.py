"""Chooses the utterances that a person judges, and the two candidates of each."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple, cast

from factory.audit.comparisons import Choice, best_worst
from factory.audit.labels import ScoredUtterance, read_scores
from factory.judges.dataset import add_select_scores
from factory.listen.judgements import ListenError
from factory.metrics import METRICS
from factory.passes.sampling import sample_rows
from factory.passes.unit_languages import Languages, read_languages
from factory.planning.places import Round
from factory.recipe.recipe import Recipe
from schemas.datasets import OK, Candidate, Row

MAX_UTTERANCES = 20_000
"""Most utterances of a round that are considered; of more, a sample by hash."""


class Question(NamedTuple):
    """An utterance (a row of SCORED) and the indices of its two candidates, A and B."""

    row: Row
    a_index: int
    b_index: int

    @property
    def a(self) -> Candidate:
        """Candidate A."""
        return cast(Candidate, self.row["candidates"][self.a_index])

    @property
    def b(self) -> Candidate:
        """Candidate B."""
        return cast(Candidate, self.row["candidates"][self.b_index])


class _Compared(NamedTuple):
    """An utterance with the two candidates that select compares, and by how much each metric prefers the first."""

    row: Row
    choice: Choice
    advantages: dict[str, float]


def choose_questions(round_: Round, choose: str, count: int) -> list[Question]:
    """Choose utterances to judge; the same every time for the same round and seed.

    Args:
        round_: a round with candidates.
        choose: `random`; `near`, the gap closest to δ first; or `disagree`, the utterances first on which the metrics
            disagree most about the better candidate.
        count: how many utterances.

    Returns:
        The utterances, each with its best and worst candidate in random order.

    Raises:
        ListenError: no utterance has two candidates that differ.
    """
    recipe = round_.recipe
    rows = sample_rows(round_.scored.rows(status=OK), MAX_UTTERANCES)
    add_select_scores(rows, round_.scored, recipe.select.metric)
    languages = read_languages(round_.scored, recipe)
    compared = [found for row in rows if (found := _compare(row, recipe, languages)) is not None]
    if not compared:
        raise ListenError(
            f"round {round_.number} of {round_.run.uri} has no utterance with two valid candidates that differ: "
            "sample more candidates (translator.n), or relax select.filters"
        )
    draw = random.Random(f"{recipe.seed} {round_.number}")
    keys: dict[str, Callable[[_Compared], float]] = {
        "random": lambda _: draw.random(),
        "near": lambda one: _distance_from_delta(one, recipe),
        "disagree": _unanimity,
    }
    ranked = sorted(compared, key=keys[choose])
    return [Question(one.row, *draw.sample(one.choice, 2)) for one in ranked[:count]]


def _compare(row: Row, recipe: Recipe, languages: Languages) -> _Compared | None:
    """Compare the two candidates that select compares; None if there are none, or if no metric prefers one."""
    utterance = read_scores(row, recipe.select.filters, languages)
    choice = best_worst(utterance, recipe.select.metric)
    advantages = _advantages(utterance, choice, recipe) if choice else {}
    return _Compared(row, choice, advantages) if choice and any(advantages.values()) else None


def _advantages(utterance: ScoredUtterance, choice: Choice, recipe: Recipe) -> dict[str, float]:
    """Return by how much each metric that scored both candidates prefers the first."""
    first, second = (utterance.candidates[index].scores for index in choice)
    metrics = {*recipe.scorer.metrics, recipe.select.metric}  # the second may be a judge
    scores = {metric: (first.get(metric), second.get(metric)) for metric in metrics}
    return {
        metric: METRICS[metric].advantage(one, two)
        for metric, (one, two) in scores.items()
        if one is not None and two is not None
    }


def _distance_from_delta(compared: _Compared, recipe: Recipe) -> float:
    """Return the distance of the gap from δ, or from 0 if the recipe leaves δ to the audit."""
    delta = 0.0 if recipe.select.delta == "auto" else float(recipe.select.delta)
    return abs(abs(compared.advantages[recipe.select.metric]) - delta)


def _unanimity(compared: _Compared) -> float:
    """Return 0 if the same number of metrics prefers each candidate, 1 if all prefer the same one."""
    signs = [(advantage > 0) - (advantage < 0) for advantage in compared.advantages.values()]
    return abs(sum(signs)) / len(signs)
