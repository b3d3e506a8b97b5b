"""Which two of an utterance's candidates become its pair: the policies of `select.rule`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any, NamedTuple

from factory.metrics import METRICS

Candidate = dict[str, Any]


class Choice(NamedTuple):
    """What the policies go by: the metric that ranks, all metrics that may object, and the place of policy quantile (0.5..1)."""

    metric: str
    metrics: tuple[str, ...]
    quantile: float


Found = tuple[Candidate, Candidate] | str
"""Chosen and rejected, or the reason why there are no two."""


def preference(metric: str, one: Candidate, two: Candidate) -> float:
    """Return by how much the first candidate is better by a metric: negative where it is worse, 0 where neither has a score.

    A candidate without a score (a malformed way back has no MCD) is worse than one that has it, by infinity.
    """
    ours, theirs = one["scores"].get(metric), two["scores"].get(metric)
    if ours is None or theirs is None:
        return 0.0 if ours == theirs else (float("inf") if theirs is None else -float("inf"))
    return METRICS[metric].advantage(ours, theirs)


def best_worst(ranked: Sequence[Candidate], choice: Choice) -> Found:
    """The best against the worst: the widest gap, which an extreme that fooled the metric may have made."""
    return ranked[0], ranked[-1]


def quantile(ranked: Sequence[Candidate], choice: Choice) -> Found:
    """Candidates as far from the two ends as `quantile` says: with 0.75 the second against the third of four."""
    place = min(round((1 - choice.quantile) * (len(ranked) - 1)), len(ranked) // 2 - 1)  # never the middle one twice
    return ranked[place], ranked[len(ranked) - 1 - place]


def all_agree(ranked: Sequence[Candidate], choice: Choice) -> Found:
    """The best against the worst, if every metric prefers it."""
    chosen, rejected = ranked[0], ranked[-1]
    against = [name for name in choice.metrics if preference(name, chosen, rejected) <= 0 and name != choice.metric]
    return (
        f"disagreement: {', '.join(against)} prefer the other candidate or neither" if against else (chosen, rejected)
    )


def pareto(ranked: Sequence[Candidate], choice: Choice) -> Found:
    """The widest gap among the pairs whose rejected side is better by no metric."""
    sides = [
        (chosen, rejected)
        for chosen, rejected in permutations(ranked, 2)
        if preference(choice.metric, chosen, rejected) > 0
        and all(preference(name, chosen, rejected) >= 0 for name in choice.metrics)
    ]
    if not sides:
        return "no_dominance: of every two candidates each is better by some metric, or they are equal"
    return max(sides, key=lambda pair: preference(choice.metric, *pair))


RULES: dict[str, Callable[[Sequence[Candidate], Choice], Found]] = {
    "best_worst": best_worst,
    "all_agree": all_agree,
    "pareto": pareto,
    "quantile": quantile,
}
"""Each takes candidates that have a score, the best one first."""
