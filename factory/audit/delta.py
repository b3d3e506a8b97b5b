"""The threshold δ that an audit recommends: the one whose labels are worth most."""

from __future__ import annotations

from collections.abc import Sequence

from factory.audit.comparisons import compare, group_by_delta
from factory.audit.formats import format_interval
from factory.audit.labels import ScoredUtterance
from factory.audit.result import Recommendation, Threshold
from schemas.errors import RoundtripError

MIN_LABELS = 20
"""Fewest labels that a threshold must keep to be recommended."""


class NoDelta(RoundtripError):
    """The audit recommends no δ; the message says why."""


def recommend(rows: Sequence[ScoredUtterance], metric: str, judge: str = "bleu") -> Recommendation:
    """Return the δ whose labels are worth most, and the reason.

    Args:
        rows: the utterances.
        metric: the metric of the back-translations that gives the labels.
        judge: the judge of the labels.
    """
    return recommend_threshold(group_by_delta(compare(rows, metric, judge), metric), metric)


def recommend_threshold(thresholds: Sequence[Threshold], metric: str) -> Recommendation:
    """Return the δ with the highest worth, the lowest δ where several have it.

    A threshold needs at least `MIN_LABELS` labels. None is recommended where the 95 % interval of the best one's
    accuracy includes 0.5, because its labels may be random.
    """
    usable = [threshold for threshold in thresholds if threshold["n"] >= MIN_LABELS]
    if not usable:
        most = max((threshold["n"] for threshold in thresholds), default=0)
        reason = f"{most} labels can be checked against a reference; a δ for {metric} needs at least {MIN_LABELS}"
        return {"delta": None, "reason": reason}
    best = max(usable, key=lambda threshold: (threshold["worth"], -threshold["delta"]))
    if best["ci"] is None or best["ci"][0] <= 0.5:
        return {"delta": None, "reason": f"labels by {metric} may be random: {_describe(best)}"}
    reason = f"{_describe(best)}, worth {best['worth']:.0f} error-free labels{_describe_neighbours(usable, best)}"
    return {"delta": best["delta"], "reason": reason}


def choose_delta(rows: Sequence[ScoredUtterance], metric: str) -> float:
    """Return the recommended δ for `select.delta: auto`.

    Raises:
        NoDelta: the audit recommends none.
    """
    recommendation = recommend(rows, metric)
    if recommendation["delta"] is None:
        raise NoDelta(
            f"select.delta is auto, but {recommendation['reason']}; "
            "set select.delta to a number, or add rows to corpus.dev"
        )
    return recommendation["delta"]


def _describe(threshold: Threshold) -> str:
    accuracy = format_interval(threshold["accuracy"], threshold["ci"])
    return f"above {threshold['delta']:g}, {accuracy} of {threshold['n']} labels are right by the reference"


def _describe_neighbours(usable: Sequence[Threshold], best: Threshold) -> str:
    """Describe the thresholds next to the best one."""
    index = usable.index(best)
    neighbours = [*usable[max(0, index - 1) : index], *usable[index + 1 : index + 2]]
    texts = [
        f"at {one['delta']:g}: {one['n']} labels, {one['accuracy']:.2f} right, worth {one['worth']:.0f}"
        for one in neighbours
    ]
    return f" ({'; '.join(texts)})" if texts else ""
