"""Comparisons of two candidates per utterance: the metric's label against the judge's preference.

A rule chooses the two candidates. The metric of the back-translations labels one of them as better; the judge says
whether it is, and by how much. All intervals are bootstrap intervals over utterances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from factory.audit.labels import ScoredUtterance
from factory.audit.result import GapBin, LabelAccuracy, MetricAgreement, RuleName, Threshold
from factory.metrics import METRICS, bootstrap

GAP_EDGES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, np.inf)
MCD_GAP_EDGES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, np.inf)
NAT_GAP_EDGES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, np.inf)
"""Edges of the bins of the gap, on the metric's scale: 0..1 for all metrics but MCD and reconstruction."""
DELTAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
MCD_DELTAS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
NAT_DELTAS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
"""The thresholds δ that an audit compares."""
_SCALES = {"mcd": (MCD_GAP_EDGES, MCD_DELTAS), "reconstruction": (NAT_GAP_EDGES, NAT_DELTAS)}

Choice = tuple[int, int]
"""The indices of two candidates, the one with the better back-translation first."""


def best_worst(utterance: ScoredUtterance, metric: str) -> Choice | None:
    """Choose the best and the worst valid candidate with speech, as `select` does by its default rule."""
    return _choose_best_worst(utterance, metric, filtered=True)


def unfiltered(utterance: ScoredUtterance, metric: str) -> Choice | None:
    """Choose the best and the worst candidate with speech, also among those that a filter rejects."""
    return _choose_best_worst(utterance, metric, filtered=False)


def any_two(utterance: ScoredUtterance, metric: str) -> Choice | None:
    """Choose the first two valid candidates, as if only two had been sampled. The first one wins a tie."""
    indices = [
        index for index, one in enumerate(utterance.candidates) if one.is_valid and metric in _scored(one.scores)
    ]
    if len(indices) < 2:
        return None
    one, two = indices[:2]
    return (one, two) if _advantage(utterance, metric, one, two) >= 0 else (two, one)


RULES: dict[RuleName, Callable[[ScoredUtterance, str], Choice | None]] = {
    "best_worst": best_worst,
    "unfiltered": unfiltered,
    "any_two": any_two,
}
"""The rules that an audit compares; None means that an utterance has fewer than two candidates to choose from."""


def _choose_best_worst(utterance: ScoredUtterance, metric: str, filtered: bool) -> Choice | None:
    values = {
        index: score
        for index, candidate in enumerate(utterance.candidates)
        if candidate.has_speech
        and (candidate.is_valid or not filtered)
        and (score := candidate.scores.get(metric)) is not None
    }
    if len(values) < 2:
        return None
    ranked = sorted(values, key=lambda index: METRICS[metric].advantage(values[index], 0.0), reverse=True)
    return ranked[0], ranked[-1]


def _scored(scores: dict[str, float | None]) -> dict[str, float]:
    return {metric: score for metric, score in scores.items() if score is not None}


def _advantage(utterance: ScoredUtterance, metric: str, one: int, two: int) -> float:
    """Return by how much the back-translation of the first candidate is better than that of the second."""
    first, second = (_scored(utterance.candidates[index].scores)[metric] for index in (one, two))
    return METRICS[metric].advantage(first, second)


@dataclass(frozen=True)
class Comparisons:
    """Labels and what a judge says about them, as arrays (utterances,).

    Attributes:
        gap: by how much the back-translation of the chosen candidate is better, on the metric's scale; above 0.
        gain: by how much the judge prefers the chosen candidate; below 0 the label is wrong.
    """

    gap: np.ndarray
    gain: np.ndarray


def compare(rows: Sequence[ScoredUtterance], metric: str, judge: str, rule: RuleName = "best_worst") -> Comparisons:
    """Compare two candidates of every utterance.

    An utterance is left out where the rule finds no two candidates, where both back-translations are equally good,
    and where the judge cannot score both candidates.

    Args:
        rows: the utterances.
        metric: the metric of the back-translations that gives the labels.
        judge: the judge of the labels; for every judge a higher score is better.
        rule: the name of the rule (`RULES`) that chooses the two candidates.
    """
    pairs = []
    for row in rows:
        choice = RULES[rule](row, metric)
        if choice is None:
            continue
        chosen, rejected = (row.candidates[index].judgements.get(judge) for index in choice)
        gap = _advantage(row, metric, *choice)
        if gap > 0 and chosen is not None and rejected is not None:
            pairs.append((gap, chosen - rejected))
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Comparisons(table[:, 0], table[:, 1])


def measure(comparisons: Comparisons, selected: np.ndarray) -> LabelAccuracy:
    """Measure the accuracy and the gain of the `selected` comparisons (booleans, one per comparison)."""
    gain = comparisons.gain[selected]
    right, wrong = int((gain > 0).sum()), int((gain < 0).sum())
    n, ties = right + wrong, len(gain) - right - wrong
    if not n:
        return {"n": n, "ties": ties, "accuracy": None, "ci": None, "gain": None, "gain_ci": None}
    accuracy, mean = bootstrap.estimates([bootstrap.quotient(gain > 0, gain != 0), bootstrap.mean(gain)])
    return {
        "n": n,
        "ties": ties,
        "accuracy": accuracy.point,
        "ci": [accuracy.low, accuracy.high],
        "gain": mean.point,
        "gain_ci": [mean.low, mean.high],
    }


def group_by_gap(comparisons: Comparisons, metric: str) -> list[GapBin]:
    """Measure the comparisons in each bin of the gap."""
    edges, _ = _SCALES.get(metric, (GAP_EDGES, DELTAS))
    bins = []
    for low, high in zip(edges, edges[1:], strict=False):
        inside = (comparisons.gap >= low) & (comparisons.gap < high)
        gap = [low, high if np.isfinite(high) else None]
        bins.append(GapBin(gap=gap, **measure(comparisons, inside)))
    return bins


def group_by_delta(comparisons: Comparisons, metric: str) -> list[Threshold]:
    """Measure the labels that each threshold δ keeps, and their worth.

    The worth of n labels with accuracy a is n (2a - 1)², and 0 where a is at most 0.5: learning from labels of which
    a share η is wrong needs 1 / (1 - 2η)² times as many of them (Angluin and Laird, Learning from noisy examples,
    1988).
    """
    thresholds = []
    _, deltas = _SCALES.get(metric, (GAP_EDGES, DELTAS))
    for delta in deltas:
        kept = comparisons.gap > delta
        labels = measure(comparisons, kept)
        worth = labels["n"] * max(0.0, 2 * (labels["accuracy"] or 0.0) - 1) ** 2
        thresholds.append(Threshold(delta=delta, kept=int(kept.sum()), worth=worth, **labels))
    return thresholds


def measure_agreement(
    rows: Sequence[ScoredUtterance], metrics: Sequence[str], rule: RuleName = "any_two"
) -> list[MetricAgreement]:
    """Count for every two metrics how often they choose the same candidate, and name ten utterances where they do not.

    Args:
        rows: the utterances; one on which a metric has no preference does not count for that metric.
        metrics: the metrics of the back-translations.
        rule: the name of the rule that chooses the two candidates.
    """
    return [_measure_agreement(rows, one, two, rule) for one, two in combinations(metrics, 2)]


def _measure_agreement(rows: Sequence[ScoredUtterance], one: str, two: str, rule: RuleName) -> MetricAgreement:
    agree, differ = 0, []
    for row in rows:
        first, second = _preference(row, one, rule), _preference(row, two, rule)
        if first is None or second is None:
            continue
        if first == second:
            agree += 1
        else:
            differ.append(row.utt_id)
    return {"metrics": [one, two], "n": agree + len(differ), "agree": agree, "differ": sorted(differ)[:10]}


def _preference(row: ScoredUtterance, metric: str, rule: RuleName) -> Choice | None:
    """Return the choice of a metric; None if there is none, or if both candidates are equally good."""
    choice = RULES[rule](row, metric)
    return choice if choice is not None and _advantage(row, metric, *choice) else None
