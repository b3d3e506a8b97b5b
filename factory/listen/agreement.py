"""How far each metric agrees with people: accuracy and Cohen's kappa, with bootstrap intervals."""

from __future__ import annotations

import numpy as np

from factory.listen.judgements import judgements_of
from factory.metrics import METRICS, bootstrap
from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from schemas.datasets import Row


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
            votes.append((row["verdict"] == "a", METRICS[metric].advantage(one, two) > 0))
    table = np.array(votes, dtype=bool).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def agreement(people: np.ndarray, metric: np.ndarray) -> Row:
    """Return n, accuracy (share of equal verdicts) and Cohen's kappa (1960) of two binary raters (n,), with 95 % bootstrap intervals."""
    if not len(people):
        return {"n": 0, "accuracy": None, "ci": None, "kappa": None, "kappa_ci": None}
    votes = np.stack([people == metric, people, metric, np.ones(len(people))], axis=1).astype(np.float64)
    accuracy, kappa = bootstrap.estimates([bootstrap.mean(people == metric), bootstrap.Sample(votes, _kappa, "")])
    told: Row = {"n": len(people), "accuracy": accuracy.point, "ci": [accuracy.low, accuracy.high]}
    return told | {"kappa": kappa.point, "kappa_ci": [kappa.low, kappa.high]}


def _kappa(totals: np.ndarray) -> float:
    """Agreement beyond chance over what is possible beyond chance, from how often both agree, each says yes, and there are votes; 0 where
    both always say the same one thing.
    """
    accuracy, ours, theirs = totals[:3] / totals[3]
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    return float((accuracy - chance) / (1 - chance)) if chance < 1 else 0.0


def render_human(told: Row) -> str:
    """Return the comparison as text."""
    if not told["judgements"]:
        return "nobody has judged this round yet; roundtrip listen asks"
    undecided = f"{told['same']} of them undecided; 95 % intervals in brackets"
    return "\n".join(
        [
            f"{told['judgements']} judgements by {', '.join(told['raters'])}, {undecided}",
            *map(_line, told["metrics"].items()),
        ]
    )


def _line(item: tuple[str, Row]) -> str:
    metric, found = item
    if not found["n"]:
        return f"  {metric:8} says nothing of what was judged"
    shares = [
        f"{found[key]:.2f} [{found[ci][0]:.2f}, {found[ci][1]:.2f}]"
        for key, ci in (("accuracy", "ci"), ("kappa", "kappa_ci"))
    ]
    return f"  {metric:8} agrees {shares[0]}, kappa {shares[1]}  n={found['n']}"
