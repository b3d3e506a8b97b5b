"""The agreement of each metric with people: accuracy and Cohen's kappa, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np

from factory.listen.judgements import Judgement, read_judgements
from factory.metrics import METRICS, bootstrap
from factory.planning.places import Round


class Agreement(TypedDict):
    """The agreement of two raters. Intervals are `[low, high]` (95 %); without judgements the numbers are None."""

    n: int
    accuracy: float | None
    """Share (0..1) of equal verdicts."""
    ci: list[float] | None
    kappa: float | None
    """Cohen's kappa (-1..1)."""
    kappa_ci: list[float] | None


class HumanAudit(TypedDict):
    """The judgements of a round, and the agreement of each metric with them."""

    judgements: int
    same: int
    """Judgements with the verdict `same`, which are compared with no metric."""
    raters: list[str]
    metrics: dict[str, Agreement]


def audit_judgements(round_: Round) -> HumanAudit:
    """Compare the judgements of a round with the preference of each metric between the same two candidates."""
    judgements = read_judgements(round_)
    decided = [judgement for judgement in judgements if judgement["verdict"] != "same"]
    return {
        "judgements": len(judgements),
        "same": len(judgements) - len(decided),
        "raters": sorted({judgement["rater"] for judgement in judgements}),
        "metrics": {metric: measure_agreement(*_votes(decided, metric)) for metric in round_.recipe.scorer.metrics},
    }


def _votes(judgements: Sequence[Judgement], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return whether people prefer A and whether the metric does, (n,) each, without judgements where it ties."""
    votes = []
    for judgement in judgements:
        a, b = ((scores or {}).get(metric) for scores in (judgement["a_scores"], judgement["b_scores"]))
        if a is not None and b is not None and a != b:
            votes.append((judgement["verdict"] == "a", METRICS[metric].advantage(a, b) > 0))
    table = np.array(votes, dtype=bool).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def measure_agreement(people: np.ndarray, metric: np.ndarray) -> Agreement:
    """Measure the agreement of two binary raters.

    Args:
        people: booleans (n,), the verdicts of people.
        metric: booleans (n,), the verdicts of a metric on the same candidates.

    Returns:
        Accuracy, and kappa = (p_o - p_e) / (1 - p_e) with the observed agreement p_o and the agreement p_e that is
        expected by chance (Cohen, A coefficient of agreement for nominal scales, 1960). Kappa is 0 if p_e is 1.
    """
    if not len(people):
        return {"n": 0, "accuracy": None, "ci": None, "kappa": None, "kappa_ci": None}
    counts = np.stack([people == metric, people, metric, np.ones(len(people))], axis=1).astype(np.float64)
    accuracy, kappa = bootstrap.estimates([bootstrap.mean(people == metric), bootstrap.Sample(counts, _kappa, "")])
    return {
        "n": len(people),
        "accuracy": accuracy.point,
        "ci": [accuracy.low, accuracy.high],
        "kappa": kappa.point,
        "kappa_ci": [kappa.low, kappa.high],
    }


def _kappa(totals: np.ndarray) -> float:
    """Return kappa from four counts: equal verdicts, A by the first rater, A by the second, all verdicts."""
    observed, first, second = totals[:3] / totals[3]
    expected = first * second + (1 - first) * (1 - second)
    return float((observed - expected) / (1 - expected)) if expected < 1 else 0.0


def render_human_audit(audit: HumanAudit) -> str:
    """Return the comparison as text."""
    if not audit["judgements"]:
        return "this round has no judgements yet: judge with roundtrip listen"
    raters = ", ".join(audit["raters"])
    head = (
        f"{audit['judgements']} judgements by {raters}, {audit['same']} of them undecided; 95 % intervals in brackets"
    )
    return "\n".join([head, *(_render(metric, agreement) for metric, agreement in audit["metrics"].items())])


def _render(metric: str, agreement: Agreement) -> str:
    if not agreement["n"]:
        return f"  {metric:8} has no preference between the judged candidates"
    accuracy = _render_interval(agreement, "accuracy", "ci")
    kappa = _render_interval(agreement, "kappa", "kappa_ci")
    return f"  {metric:8} agrees {accuracy}, kappa {kappa}  n={agreement['n']}"


def _render_interval(
    agreement: Agreement, value: Literal["accuracy", "kappa"], interval: Literal["ci", "kappa_ci"]
) -> str:
    low, high = agreement[interval] or (0.0, 0.0)
    return f"{agreement[value]:.2f} [{low:.2f}, {high:.2f}]"
