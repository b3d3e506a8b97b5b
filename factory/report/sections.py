"""The sections of a report's page: plots and tables made of what `collect` found."""

from __future__ import annotations

from typing import NamedTuple

from factory.audit.labels import ALL, bin_name
from factory.audit.text import table
from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.report import collect, plots
from factory.report.table import LABELS, scores_of
from schemas.datasets import Row

WORTH = (
    "What the labels above each δ are worth: n (2a - 1)², for n labels of which a share a is right by the reference."
)


class Figure(NamedTuple):
    """A plot (an SVG element) with what it shows in words."""

    svg: str
    caption: str


def margins(run: Run, number: int, recipe: Recipe) -> tuple[list[Figure], Figure]:
    """Return a histogram of gaps for each metric, and the correlation between metrics."""
    rows, total = collect.candidates_of(run, number, recipe)
    note = f"; a sample of {len(rows):,} of {total:,} utterances" if total > len(rows) else ""
    figures = []
    for metric in recipe.scorer.metrics:
        groups = {direction: collect.gaps(rows, metric, direction) for direction in recipe.directions}
        delta = recipe.select.delta if metric == recipe.select.metric and recipe.select.delta != "auto" else None
        label = f"gap in {metric}"
        caption = f"Gap between best and worst candidate by {metric}{note}."
        figures.append(Figure(plots.draw(f"gap {metric}", plots.histograms(groups, label, delta)), caption))
    square = plots.heatmap(collect.correlation(rows, recipe.scorer.metrics), recipe.scorer.metrics)
    caption = f"Spearman correlation of the metrics' preferences between two candidates of an utterance{note}."
    return figures, Figure(plots.draw("correlation of metrics", square, (4.2, 3.6)), caption)


def shapes(pairs: list[Row], total: int) -> list[Figure]:
    """Return length and repetition of chosen against rejected: what training may learn besides translation."""
    found = collect.shapes(pairs)
    note = f"; a sample of {len(pairs):,} of {total:,} pairs" if total > len(pairs) else ""
    labels = {"length": "units / units of the source", "repetition": "share of unit trigrams that came before"}
    return [
        Figure(
            plots.draw(name, plots.histograms(found[name], label)), f"{name.capitalize()} of chosen and rejected{note}."
        )
        for name, label in labels.items()
    ]


def scores(summaries: list[Row], recipe: Recipe) -> list[Figure]:
    """Return each corpus score of all rounds, with intervals and, for what is heard, the toplines."""
    told = []
    for score, label in LABELS.items():
        groups = {direction: _per_round(summaries, score, direction) for direction in scores_of(summaries[-1], score)}
        if not groups:
            continue
        spoken = score == "asr_bleu"
        tops = {d: summaries[-1]["toplines"].get(d.split("-")[1]) for d in groups}
        known = {d: ((top or {}).get("resynthesised") or {}).get("asr_bleu") for d, top in tops.items()}
        toplines = {d: found["score"] for d, found in known.items() if found}
        lines = {f"topline {direction}": level for direction, level in toplines.items()}
        drawn = plots.draw(score, plots.estimates(groups, label, lines if spoken else None))
        caption = f"{label} of the test set by round, 95 % intervals" + (
            "; dotted: units of recordings spoken again." if spoken else "."
        )
        told.append(Figure(drawn, caption))
    return told


def _per_round(summaries: list[Row], score: str, direction: str) -> list[Row]:
    rows: list[Row] = []
    for summary in summaries:
        if (found := scores_of(summary, score).get(direction)) is None:
            continue
        if not rows and found["before"] is not None:
            rows.append(
                {
                    "x": f"round {summary['round'] - 1}",
                    "y": found["before"],
                    "low": found["before"],
                    "high": found["before"],
                }
            )
        rows.append(
            {"x": f"round {summary['round']}", "y": found["after"], "low": found["ci"][0], "high": found["ci"][1]}
        )
    return rows


def training(lines: list[Row]) -> list[Figure]:
    """Return the training curves: loss and, for preferences, the margin between chosen and rejected."""
    told = []
    for keys, label in (
        (("loss", "eval_loss"), "loss"),
        (("rewards/margins", "eval_rewards/margins"), "reward margin"),
    ):
        found = {key: [(line["step"], line[key]) for line in lines if key in line and "step" in line] for key in keys}
        drawn = {_named(key): tuple(zip(*points, strict=True)) for key, points in found.items() if points}
        if drawn:
            told.append(
                Figure(
                    plots.draw(label, plots.curve(drawn, "step", label)),
                    f"{label.capitalize()} while the policy trained.",
                )
            )
    return told


def _named(key: str) -> str:
    return "held out" if key.startswith("eval_") else "training"


def audit(found: Row) -> list[Figure]:
    """Return accuracy of the labels by gap, and what each δ is worth."""
    metric = found["chosen"]["metric"]
    by_gap, by_delta = {}, {}
    for judge in found["judges"]:
        told = table(found, metric, judge) or {"by_gap": [], "by_delta": []}
        by_gap[f"by {judge}"] = [
            _point(bin_name(b["gap"]).replace(" and more", "+"), b) for b in told["by_gap"] if b["n"]
        ]
        by_delta[f"by {judge}"] = ([d["delta"] for d in told["by_delta"]], [d["worth"] for d in told["by_delta"]])
    note = f"The share of labels by {metric} that the reference agrees with, by gap; half is chance."
    return [
        Figure(plots.draw("label accuracy", plots.estimates(by_gap, "labels that are right", {"chance": 0.5})), note),
        Figure(plots.draw("worth", plots.curve(by_delta, f"δ in {metric}", "worth, faultless labels")), WORTH),
    ]


def _point(x: str, told: Row) -> Row:
    return {"x": x, "y": told["accuracy"], "low": told["ci"][0], "high": told["ci"][1]}


def audit_rows(found: Row) -> list[Row]:
    """Return what each metric's labels are worth in each direction without a threshold and at its recommended δ."""
    told = []
    for metric, recommended in found["recommended"].items():
        for direction in (ALL, *sorted({row["direction"] for row in found["tables"]} - {ALL})):
            rows = (table(found, metric, found["judges"][0], direction) or {})["by_delta"]
            chosen = next((row for row in rows if row["delta"] == recommended["delta"]), None)
            told.append({"metric": metric, "direction": direction, "open": rows[0], "chosen": chosen})
    return told
