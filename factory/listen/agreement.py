"""How far each metric agrees with people: accuracy and Cohen's kappa, with bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.listen.judgements import judgements_of
from factory.passes.audit import advantage
from factory.recipe import Recipe
from factory.runs import Run

Row = dict[str, Any]
RESAMPLES, SEED = 1_000, 12_345


def human_audit(run: Run, number: int, recipe: Recipe) -> Row:
    """Compare the judgements of a round with what each metric says of the same two candidates."""
    rows = judgements_of(run, number).to_pylist()
    decided = [row for row in rows if row["verdict"] != "same"]
    return {
        "judgements": len(rows),
        "same": len(rows) - len(decided),
        "raters": sorted({row["rater"] for row in rows}),
        "metrics": {metric: agreement(*_sides(decided, metric)) for metric in recipe.scorer.metrics},
    }


def _sides(decided: list[Row], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return whether people, and whether the metric, prefer A; rows on which the metric ties are left out."""
    votes = []
    for row in decided:
        one, two = ((row[f"{side}_scores"] or {}).get(metric) for side in ("a", "b"))
        if one is not None and two is not None and one != two:
            votes.append((row["verdict"] == "a", advantage(metric, one, two) > 0))
    table = np.array(votes, dtype=bool).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def agreement(people: np.ndarray, metric: np.ndarray, seed: int = SEED) -> Row:
    """Return n, accuracy (share of equal verdicts) and Cohen's kappa (1960) of two binary raters (n,), with 95 % bootstrap intervals."""
    count = len(people)
    if not count:
        return {"n": 0, "accuracy": None, "ci": None, "kappa": None, "kappa_ci": None}
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    accuracy, kappa = _accuracy(people[draws], metric[draws]), _kappa(people[draws], metric[draws])
    told: Row = {"n": count, "accuracy": float(_accuracy(people, metric)), "ci": _interval(accuracy)}
    return told | {"kappa": float(_kappa(people, metric)), "kappa_ci": _interval(kappa)}


def _accuracy(people: np.ndarray, metric: np.ndarray) -> np.ndarray:
    return np.asarray((people == metric).mean(axis=-1))


def _kappa(people: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Agreement beyond chance over what is possible beyond chance; 0 where both always say the same one thing."""
    ours, theirs = people.mean(axis=-1), metric.mean(axis=-1)
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    return np.where(chance < 1, (_accuracy(people, metric) - chance) / np.where(chance < 1, 1 - chance, 1), 0.0)


def _interval(values: np.ndarray) -> list[float]:
    return [float(q) for q in np.quantile(values, (0.025, 0.975))]


def render_human(told: Row) -> str:
    """Return the comparison as text."""
    if not told["judgements"]:
        return "nobody has judged this round yet; roundtrip listen asks"
    undecided = f"{told['same']} of them undecided; 95 % intervals in brackets"
    return "\n".join([f"{told['judgements']} judgements by {', '.join(told['raters'])}, {undecided}", *map(_line, told["metrics"].items())])


def _line(item: tuple[str, Row]) -> str:
    metric, found = item
    if not found["n"]:
        return f"  {metric:8} says nothing of what was judged"
    shares = [f"{found[key]:.2f} [{found[ci][0]:.2f}, {found[ci][1]:.2f}]" for key, ci in (("accuracy", "ci"), ("kappa", "kappa_ci"))]
    return f"  {metric:8} agrees {shares[0]}, kappa {shares[1]}  n={found['n']}"
