"""The rules of `select.rule`: which two candidates of an utterance become its pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations

from factory.metrics import METRICS
from factory.recipe.sections import SelectConfig
from schemas.datasets import Candidate

Choice = tuple[Candidate, Candidate] | str
"""The chosen and the rejected candidate, or the reason why there are none."""
Rule = Callable[[Sequence[Candidate], SelectConfig, Sequence[str]], Choice]
"""Takes two or more candidates with a score (the best first), the config, and the names of all scored metrics."""


def preference(metric: str, first: Candidate, second: Candidate) -> float:
    """Return by how much the first candidate is better by a metric; negative if it is worse, 0 if neither has a score.

    A candidate without a score (a malformed back-translation has no MCD) is infinitely worse than a candidate with one.
    """
    one, two = first["scores"].get(metric), second["scores"].get(metric)
    if one is None or two is None:
        return 0.0 if one == two else (math.inf if two is None else -math.inf)
    return METRICS[metric].advantage(one, two)


def best_worst(ranked: Sequence[Candidate], config: SelectConfig, metrics: Sequence[str]) -> Choice:
    """Take the best and the worst: the widest gap. A candidate that fooled the metric is likely to be one of them."""
    return ranked[0], ranked[-1]


def quantile(ranked: Sequence[Candidate], config: SelectConfig, metrics: Sequence[str]) -> Choice:
    """Take the candidates at `select.quantile` from either end: with 0.75 the second and the third of four."""
    distance = round((1 - config.quantile) * (len(ranked) - 1))
    index = min(distance, len(ranked) // 2 - 1)  # so that the two are never the same candidate
    return ranked[index], ranked[len(ranked) - 1 - index]


def all_agree(ranked: Sequence[Candidate], config: SelectConfig, metrics: Sequence[str]) -> Choice:
    """Take the best and the worst if every metric prefers the best."""
    chosen, rejected = ranked[0], ranked[-1]
    against = [name for name in metrics if name != config.metric and preference(name, chosen, rejected) <= 0]
    if against:
        return f"disagreement: {', '.join(against)} prefer the other candidate or neither"
    return chosen, rejected


def pareto(ranked: Sequence[Candidate], config: SelectConfig, metrics: Sequence[str]) -> Choice:
    """Take the widest gap among the pairs whose rejected candidate is better by no metric."""
    pairs = [
        (chosen, rejected)
        for chosen, rejected in permutations(ranked, 2)
        if preference(config.metric, chosen, rejected) > 0
        and all(preference(name, chosen, rejected) >= 0 for name in metrics)
    ]
    if not pairs:
        return "no_dominance: in every pair of candidates each is better by a metric, or they are equal"
    return max(pairs, key=lambda pair: preference(config.metric, *pair))


RULES: dict[str, Rule] = {
    "best_worst": best_worst,
    "all_agree": all_agree,
    "pareto": pareto,
    "quantile": quantile,
}
