"""The types of an audit's result, as `audit.json` holds it."""

from __future__ import annotations

from typing import Literal, TypedDict

RuleName = Literal["best_worst", "unfiltered", "any_two"]
"""The rules by which an audit chooses two candidates per utterance."""


class LabelAccuracy(TypedDict):
    """The agreement of labels with a judge. Intervals are `[low, high]` (95 %). Without labels the numbers are None."""

    n: int
    """Labels on which the judge has a preference."""
    ties: int
    """Labels on which both candidates are equally good by the judge."""
    accuracy: float | None
    """Share (0..1) of the n labels that the judge agrees with."""
    ci: list[float] | None
    gain: float | None
    """Mean score of the chosen candidate minus that of the rejected one by the judge (0..1), ties included."""
    gain_ci: list[float] | None


class GapBin(LabelAccuracy):
    """The labels with a gap in a bin. `gap` is `[low, high)`; the last bin has None for high."""

    gap: list[float | None]


class Threshold(LabelAccuracy):
    """The labels that a threshold δ keeps (their gap is above `delta`)."""

    delta: float
    kept: int
    """Labels above δ, ties included."""
    worth: float
    """Number of error-free labels that teach as much; see `group_by_delta`."""


class AuditTable(TypedDict):
    """The labels of one metric, judge, direction (`fr-en`, or `all`) and rule."""

    metric: str
    judge: str
    direction: str
    rule: RuleName
    by_gap: list[GapBin]
    by_delta: list[Threshold]


class Recommendation(TypedDict):
    """The recommended δ of a metric (None: no δ can be recommended), and the reason in words."""

    delta: float | None
    reason: str


class MetricAgreement(TypedDict):
    """How often two metrics choose the same candidate: `agree` of `n` utterances; `differ` has ids of others."""

    metrics: list[str]
    n: int
    agree: int
    differ: list[str]


class Audit(TypedDict):
    """The audit of scored candidates."""

    utterances: int
    """Utterances with a reference."""
    judges: list[str]
    """Judges that could score candidates; without any, nothing was measured."""
    tables: list[AuditTable]
    recommended: dict[str, Recommendation]
    """The recommendation for each metric."""
    agreement: list[MetricAgreement]


class Selection(TypedDict):
    """What `select` of the recipe goes by: the metric, and δ or `auto`."""

    metric: str
    delta: float | Literal["auto"]


class RoundAudit(Audit):
    """The audit of a round, with the metric and δ that its pairs were selected by. This is `audit.json`."""

    select: Selection
