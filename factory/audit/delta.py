"""The whole audit of a round, and the δ that follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from factory.audit.labels import ALL, JUDGES, POLICIES, Judged, agreement, by_delta, by_gap, compare
from schemas.datasets import Row
from schemas.errors import RoundtripError

FEWEST = 20
"""Labels that a threshold must keep before the audit recommends it."""


class NoDelta(RoundtripError):
    """The audit recommends no δ, and says why."""


def audit(rows: Sequence[Judged], metrics: Sequence[str]) -> Row:
    """Audit every metric, judge, direction and policy of selection; the result is plain JSON.

    `tables` has a row for each of them, with `by_gap` and `by_delta`; `recommended` a δ for each metric; `agreement` between metrics.
    """
    judges = [judge for judge in JUDGES if any(judge in truth for row in rows for truth in row.truth)]
    tables = [
        {
            "metric": metric,
            "judge": judge,
            "direction": direction,
            "policy": policy,
            **_table(_of(rows, direction), metric, judge, policy),
        }
        for metric in metrics
        for judge in judges
        for direction in [ALL, *sorted({row.direction for row in rows})]
        for policy in POLICIES
    ]
    return {
        "utterances": len(rows),
        "judges": judges,
        "tables": tables,
        "recommended": {metric: recommend(rows, metric, *judges[:1]) for metric in metrics},
        "agreement": agreement(rows, metrics),
    }


def _of(rows: Sequence[Judged], direction: str) -> list[Judged]:
    return [row for row in rows if direction in (ALL, row.direction)]


def _table(rows: Sequence[Judged], metric: str, judge: str, policy: str) -> Row:
    compared = compare(rows, metric, judge, policy)
    return {"by_gap": by_gap(compared, metric), "by_delta": by_delta(compared, metric)}


def recommend(rows: Sequence[Judged], metric: str, judge: str = "bleu") -> Row:
    """Return the δ whose labels are worth most by the judge (`delta`: None where none can be recommended), and the reason."""
    weighed = by_delta(compare(rows, metric, judge), metric)
    able = [found for found in weighed if found["n"] >= FEWEST]
    if not able:
        most = max((found["n"] for found in weighed), default=0)
        return {
            "delta": None,
            "reason": f"{most} labels can be checked against a reference; {FEWEST} are needed to weigh a δ by {metric}",
        }
    best = max(able, key=lambda found: (found["worth"], -found["delta"]))
    if best["ci"][0] <= 0.5:
        return {"delta": None, "reason": f"labels by {metric} cannot be told from chance: {_told(best)}"}
    return {
        "delta": best["delta"],
        "reason": f"{_told(best)}, worth {best['worth']:.0f} faultless ones{_others(able, best)}",
    }


def _told(found: Row) -> str:
    low, high = found["ci"]
    return f"above {found['delta']:g}, {found['accuracy']:.2f} [{low:.2f}, {high:.2f}] of {found['n']} labels are right by the reference"


def _others(able: list[Row], best: Row) -> str:
    """Say what the neighbouring thresholds would have given."""
    place = able.index(best)
    near = [found for found in able[max(0, place - 1) : place + 2] if found is not best]
    told = [
        f"at {found['delta']:g}: {found['n']} labels, {found['accuracy']:.2f} right, worth {found['worth']:.0f}"
        for found in near
    ]
    return f" ({'; '.join(told)})" if told else ""


def recommended_delta(rows: Sequence[Judged], metric: str) -> float:
    """Return the δ that `select.delta: auto` stands for; raises NoDelta with the reason where the audit recommends none."""
    found = recommend(rows, metric)
    if found["delta"] is None:
        raise NoDelta(
            f"select.delta is auto, but {found['reason']}; give select.delta a number, or more rows in corpus.dev"
        )
    return float(found["delta"])
