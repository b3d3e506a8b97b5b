"""The sections of a report's page: plots and tables of the numbers that `collect` read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

from factory.audit.audit import ALL, find_table
from factory.audit.formats import format_gap
from factory.audit.result import GapBin, RoundAudit, Threshold
from factory.planning.places import Round
from factory.report import collect, plots
from factory.report.pairs import ShownPair
from factory.report.summary_types import ScoreName, Summary
from factory.report.table import LABELS, scores_by_direction

WORTH = "The worth of the labels above each δ: n (2a - 1)² for n labels with accuracy a by the reference."
TRAINING = (
    ("loss", ("loss", "eval_loss", "dev_loss")),
    ("reward margin", ("rewards/margins", "eval_rewards/margins")),
    ("share of words that are text", ("text_share",)),
)
"""The training curves: label, and the keys of the training log."""


class Figure(NamedTuple):
    """A plot (an SVG element) and its caption."""

    svg: str
    caption: str


class AuditRow(TypedDict):
    """A row of the audit's table: all labels (δ = 0), and those above the recommended δ (None: no recommendation)."""

    metric: str
    direction: str
    all_labels: Threshold
    above_delta: Threshold | None


def plot_gaps(round_: Round) -> tuple[list[Figure], Figure]:
    """Return a histogram of gaps for each metric, and the correlation of the metrics."""
    recipe = round_.recipe
    utterances, total = collect.read_candidates(round_)
    sample = f"; a sample of {len(utterances):,} of {total:,} utterances" if total > len(utterances) else ""
    figures = []
    for metric in recipe.scorer.metrics:
        gaps = {name: collect.compute_gaps(utterances, metric, name) for name in map(str, recipe.used_directions)}
        delta = recipe.select.delta if metric == recipe.select.metric and recipe.select.delta != "auto" else None
        svg = plots.draw(f"gap {metric}", plots.histograms(gaps, f"gap in {metric}", delta))
        figures.append(Figure(svg, f"Gap between the best and the worst candidate by {metric}{sample}."))
    correlation = collect.correlate_metrics(utterances, recipe.scorer.metrics)
    svg = plots.draw("correlation of metrics", plots.heatmap(correlation, recipe.scorer.metrics), (4.2, 3.6))
    caption = f"Spearman correlation of the metrics' preferences between two candidates of an utterance{sample}."
    return figures, Figure(svg, caption)


def plot_shapes(pairs: Sequence[ShownPair], total: int) -> list[Figure]:
    """Return length and repetition of chosen and rejected: what a policy may learn besides translation.

    Args:
        pairs: the pairs, or a sample of them.
        total: the number of all pairs.
    """
    shapes = collect.measure_shapes(pairs)
    sample = f"; a sample of {len(pairs):,} of {total:,} pairs" if total > len(pairs) else ""
    labels = {"length": "units / units of the source", "repetition": "share of unit trigrams that occurred before"}
    figures = []
    for name, label in labels.items():
        groups = {str(side): values for side, values in shapes[name].items()}
        svg = plots.draw(name, plots.histograms(groups, label))
        figures.append(Figure(svg, f"{name.capitalize()} of chosen and rejected{sample}."))
    return figures


def plot_scores(summaries: Sequence[Summary]) -> list[Figure]:
    """Return a plot of each corpus score by round, with intervals; ASR-BLEU with its toplines."""
    figures = []
    for name, label in LABELS.items():
        directions = scores_by_direction(summaries[-1], name)
        groups = {direction: _points_by_round(summaries, name, direction) for direction in directions}
        if not groups:
            continue
        levels = _toplines(summaries[-1], groups) if name == "asr_bleu" else {}
        dotted = "; dotted: resynthesised recordings" if name == "asr_bleu" else ""
        svg = plots.draw(name, plots.estimates(groups, label, levels))
        figures.append(Figure(svg, f"{label} of the test set by round, 95 % intervals{dotted}."))
    return figures


def _toplines(summary: Summary, directions: Iterable[str]) -> dict[str, float]:
    """Return the ASR-BLEU of resynthesised recordings in the target language of each direction."""
    levels = {}
    for direction in directions:
        toplines = summary["toplines"].get(direction.split("-")[1])
        topline = toplines.get("resynthesised") if toplines else None
        if topline and topline["asr_bleu"]:
            levels[f"topline {direction}"] = topline["asr_bleu"]["score"]
    return levels


def _points_by_round(summaries: Sequence[Summary], name: ScoreName, direction: str) -> list[plots.Point]:
    points: list[plots.Point] = []
    for summary in summaries:
        score = scores_by_direction(summary, name).get(direction)
        if score is None:
            continue
        if not points and (before := score["before"]) is not None:
            points.append(plots.Point(f"round {summary['round'] - 1}", before, before, before))
        points.append(plots.Point(f"round {summary['round']}", score["after"], *score["ci"]))
    return points


def plot_training(log: Sequence[dict[str, float]]) -> list[Figure]:
    """Return the training curves: the loss, for preferences the margin, and with `sft.interleave` the share of text."""
    figures = []
    for label, keys in TRAINING:
        lines = {}
        for key in keys:
            points = [(line["step"], line[key]) for line in log if key in line and "step" in line]
            if points:
                name = "held out" if key.startswith(("eval_", "dev_")) else "training"
                lines[name] = [step for step, _ in points], [value for _, value in points]
        if lines:
            svg = plots.draw(label, plots.curves(lines, "step", label))
            figures.append(Figure(svg, f"{label.capitalize()} during training."))
    return figures


def plot_audit(audit: RoundAudit) -> list[Figure]:
    """Return the accuracy of the labels by gap, and the worth of the labels above each δ."""
    metric = audit["select"]["metric"]
    accuracy: dict[str, list[plots.Point]] = {}
    worth: dict[str, tuple[list[float], list[float]]] = {}
    for judge in audit["judges"]:
        table = find_table(audit, metric, judge)
        if table is None:
            continue
        accuracy[f"by {judge}"] = [point for one in table["by_gap"] if (point := _accuracy_point(one)) is not None]
        deltas = [one["delta"] for one in table["by_delta"]]
        worth[f"by {judge}"] = (deltas, [one["worth"] for one in table["by_delta"]])
    caption = f"Share of labels by {metric} that the reference agrees with, by gap. Random labels have 0.5."
    accuracy_plot = plots.estimates(accuracy, "accuracy of labels", {"random": 0.5})
    worth_plot = plots.curves(worth, f"δ in {metric}", "worth, error-free labels")
    return [
        Figure(plots.draw("label accuracy", accuracy_plot), caption),
        Figure(plots.draw("worth", worth_plot), WORTH),
    ]


def _accuracy_point(gap_bin: GapBin) -> plots.Point | None:
    if gap_bin["accuracy"] is None or gap_bin["ci"] is None:
        return None
    name = format_gap(gap_bin["gap"]).replace(" and more", "+")
    return plots.Point(name, gap_bin["accuracy"], *gap_bin["ci"])


def make_audit_rows(audit: RoundAudit) -> list[AuditRow]:
    """Return, per metric and direction, all labels and the labels above the metric's recommended δ."""
    directions = [ALL, *sorted({table["direction"] for table in audit["tables"]} - {ALL})]
    rows = []
    for metric, recommended in audit["recommended"].items():
        for direction in directions:
            table = find_table(audit, metric, audit["judges"][0], direction)
            if table is not None:
                rows.append(_audit_row(metric, direction, table["by_delta"], recommended["delta"]))
    return rows


def _audit_row(metric: str, direction: str, thresholds: list[Threshold], delta: float | None) -> AuditRow:
    above = next((threshold for threshold in thresholds if threshold["delta"] == delta), None)
    return {"metric": metric, "direction": direction, "all_labels": thresholds[0], "above_delta": above}
