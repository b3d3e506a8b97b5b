"""The audit of a round as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from factory.audit.audit import explain_unmeasured_audit, find_table
from factory.audit.formats import format_gap, format_interval
from factory.audit.labels import MAX_UTTERANCES
from factory.audit.result import LabelAccuracy, MetricAgreement, Recommendation, RoundAudit
from factory.storage.names import on_one_line


def render_audit(audit: RoundAudit) -> str:
    """Return the audit as text: accuracy by gap and by δ, the recommendation, and where metrics disagree."""
    if reason := explain_unmeasured_audit(audit):
        return reason
    metric, judges = audit["select"]["metric"], audit["judges"]
    limit = " (the most that an audit reads)" if audit["utterances"] == MAX_UTTERANCES else ""
    return "\n".join(
        [
            f"{audit['utterances']:,} utterances with references{limit}; "
            f"labels by {metric}, 95 % intervals in brackets",
            *_gap_lines(audit, metric),
            "",
            f"  δ         kept   right by {', '.join(judges)}; gain and worth by {judges[0]}",
            *_delta_lines(audit, metric),
            "",
            *(f"  recommended for {name}: {_recommended(found)}" for name, found in audit["recommended"].items()),
            "",
            *(f"  {' and '.join(found['metrics'])} agree on {_agreement(found)}" for found in audit["agreement"]),
        ]
    )


def _gap_lines(audit: RoundAudit, metric: str) -> Iterator[str]:
    """Yield a line of accuracies by gap for each direction and judge."""
    for table in audit["tables"]:
        if table["metric"] == metric and table["rule"] == "best_worst":
            cells = [f"{format_gap(b['gap'])}: {_accuracy(b)} n={b['n']}" for b in table["by_gap"] if b["n"]]
            yield f"  {table['direction']:6} by {table['judge']:9} {'; '.join(cells) or 'nothing to compare'}"


def _delta_lines(audit: RoundAudit, metric: str) -> Iterator[str]:
    """Yield a line for each δ, with the accuracy by every judge."""
    tables = [find_table(audit, metric, judge) for judge in audit["judges"]]
    for thresholds in zip(*(table["by_delta"] for table in tables if table), strict=True):
        first = thresholds[0]
        accuracies = " | ".join(map(_accuracy, thresholds))
        gain = format_interval(first["gain"], first["gain_ci"], "+.3f")
        yield f"  {first['delta']:<6g}{first['kept']:>8,}   {accuracies} | {gain} | {first['worth']:.0f}"


def _accuracy(labels: LabelAccuracy) -> str:
    return format_interval(labels["accuracy"], labels["ci"])


def _recommended(found: Recommendation) -> str:
    return f"δ = {found['delta']:g}: {found['reason']}" if found["delta"] is not None else f"no δ: {found['reason']}"


def _agreement(found: MetricAgreement) -> str:
    differ = f"; they differ on {', '.join(map(on_one_line, found['differ'][:3]))}" if found["differ"] else ""
    return f"{found['agree']:,} of {found['n']:,}{differ}"
