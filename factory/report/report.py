"""The report of a round: one HTML file, with its plots, its sounds and its table, that opens offline."""

from __future__ import annotations

import json
from importlib.resources import files

from factory.audit.text import audit_round, why_unmeasured
from factory.planning.kept_recipe import as_yaml
from factory.planning.places import Run
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.report import collect, plots, sections
from factory.report.pairs import SPOKEN, shown_pairs, table_row, to_speak
from factory.report.players import embedded, recordings_or_none, voices_of, waves_of
from factory.report.table import LABELS
from factory.storage.files import filesystem, get_json, put
from schemas.datasets import Row


def write_report(run: Run, number: int, recipe: Recipe) -> str:
    """Write `report/index.html` of a round that has its summary, keep its audit beside it, and return where it is."""
    place = report_place(run, number)
    fs, path = filesystem(place)
    put(fs, path, render(run, number, recipe).encode())
    return place


def report_place(run: Run, number: int) -> str:
    """Return where the report of a round is, or would be."""
    return f"{run.place(number)}/report/index.html"


def render(run: Run, number: int, recipe: Recipe) -> str:
    """Return the report as HTML."""
    from jinja2 import Environment

    here = files("factory.report")
    page = Environment(autoescape=True, trim_blocks=True).from_string((here / "page.html.j2").read_text("utf-8"))
    told = _common(run, number, recipe) | (_made(run, number, recipe) if number else {"funnel": None, "data": "{}"})
    return page.render(
        **told, css=(here / "page.css").read_text("utf-8"), js=(here / "page.js").read_text("utf-8") if number else ""
    )


def _common(run: Run, number: int, recipe: Recipe) -> Row:
    """What every round has: scores, training, time, failures, origin."""
    fs, path = filesystem(run.place(number))
    summary = get_json(fs, f"{path}/summary.json")
    stages = collect.stages(run, number, summary)
    seconds = plots.bars([(stage["stage"], stage["seconds"]) for stage in stages], "seconds")
    origins = collect.fingerprints(run, number)
    versions: dict[str, str] = next((row["versions"] for row in reversed(origins)), {})
    return {
        "run": run.uri,
        "number": number,
        "recipe": recipe,
        "recipe_text": as_yaml(recipe),
        "command": f"python factory/run_round.py --round {number} --run {run.uri} --recipe recipe.yaml",
        "directions": recipe.directions,
        "summary": summary,
        "labels": LABELS,
        "scores": sections.scores(collect.rounds(run, number), recipe),
        "training": sections.training(collect.curves(run, number)),
        "stages": stages,
        "time_plot": sections.Figure(plots.draw("time", seconds), "Seconds of each stage, all attempts together."),
        "fingerprints": origins,
        "versions": "\n".join(f"{name}: {told}" for name, told in {**versions, **collect.signatures(recipe)}.items()),
    }


def _made(run: Run, number: int, recipe: Recipe) -> Row:
    """What a preference round has besides: funnel, margins, audit and pairs."""
    funnel = collect.funnel(run, number, recipe)
    total = funnel[-1]["count"]
    pairs = shown_pairs(run.dataset(number, "pairs"), run.dataset(number, "scored"), collect.PLOTTED)
    gaps, correlation = sections.margins(run, number, recipe)
    found = audit_round(run, number, recipe)
    drawn = plots.bars([(step["step"], step["count"]) for step in funnel], "count")
    return {
        "funnel": funnel,
        "funnel_plot": sections.Figure(plots.draw("funnel", drawn), "What each step passes on."),
        "margins": gaps,
        "correlation": correlation,
        "shapes": sections.shapes(pairs, total),
        **_audit(found),
        **_table(pairs, total, recipe),
    }


def _audit(found: Row) -> Row:
    if reason := why_unmeasured(found):
        return {"audit": None, "unmeasured": reason}
    return {"audit": found, "audit_plots": sections.audit(found), "audit_rows": sections.audit_rows(found)}


def _table(pairs: list[Row], total: int, recipe: Recipe) -> Row:
    """The data of the page's table, with the sounds of some pairs, and what it says of being a sample."""
    some = spread(pairs)
    spoken = to_speak(some)
    recorded = recordings_or_none(locate(recipe.corpus.mono), [row["utt_id"] for row in spoken])
    sounds = embedded(waves_of(spoken, recorded, voices_of(recipe)))
    rows = [table_row(row, recipe, sounds) for row in some]
    data = json.dumps(
        {"pairs": rows, "sounds": sounds, "metrics": recipe.scorer.metrics}, ensure_ascii=False, separators=(",", ":")
    )
    shown = "All" if len(rows) == total else f"A sample of {len(rows):,}"
    players = (
        "all with players" if len(spoken) == len(rows) else f"{len(spoken)} of them with players (at most {SPOKEN})"
    )
    return {"data": data.replace("<", "\\u003c"), "sample_note": f"{shown} of {total:,} pairs, {players}."}


def spread(pairs: list[Row], limit: int = 500) -> list[Row]:
    """Return at most `limit` of the pairs, evenly over the margins (they come widest first)."""
    return pairs if len(pairs) <= limit else [pairs[place * len(pairs) // limit] for place in range(limit)]
