"""The report of a round: one HTML file with plots, sounds and a table of pairs, which opens offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from factory.audit.audit import audit_round, explain_unmeasured_audit
from factory.audit.result import RoundAudit
from factory.planning.kept_recipe import as_yaml
from factory.planning.places import Round
from factory.recipe.recipe import Recipe
from factory.report import collect, plots, sections
from factory.report.malformed import count_malformed, describe_malformed
from factory.report.pairs import MAX_PLAYERS, ShownPair, choose_pairs_with_players, make_table_row, read_shown_pairs
from factory.report.players import embed_waves, find_recordings, load_vocoders, make_waves
from factory.report.summary import read_summary
from factory.report.table import LABELS, MEANS, SPEECH_LABELS, describe_unmeasured
from factory.report.training_log import read_training_log
from factory.storage.files import filesystem, put

MAX_PAIRS = 500
"""Most pairs of the page's table."""
Values = Mapping[str, object]
"""The variables of the page's template."""


def write_report(round_: Round) -> str:
    """Write `report/index.html` and `audit/audit.json` of a finished round; return the URI of the page."""
    uri = report_uri(round_)
    fs, path = filesystem(uri)
    put(fs, path, render_report(round_).encode())
    return uri


def report_uri(round_: Round) -> str:
    """Return the URI of a round's report."""
    return f"{round_.uri}/report/index.html"


def render_report(round_: Round) -> str:
    """Return the report of a finished round as HTML."""
    from jinja2 import Environment

    folder = files("factory.report")
    template, css, js = ((folder / name).read_text("utf-8") for name in ("page.html.j2", "page.css", "page.js"))
    page = Environment(autoescape=True, trim_blocks=True).from_string(template)
    preference = _preference_values(round_) if round_.number else {"funnel": None, "data": "{}"}
    return page.render(**_common_values(round_), **preference, css=css, js=js if round_.number else "")


def _common_values(round_: Round) -> Values:
    """Return the variables of every round: scores, training, time, failures, origin."""
    summary = read_summary(round_.run, round_.number)
    stages = collect.time_stages(round_, summary)
    seconds = plots.bars([(stage["stage"], stage["seconds"]) for stage in stages], "seconds")
    origins = collect.list_origins(round_)
    versions = origins[-1]["versions"] if origins else {}
    signatures = collect.list_signatures(round_.recipe)
    names = f"--round {round_.number} --run {round_.run.uri}"
    return {
        "run": round_.run.uri,
        "number": round_.number,
        "recipe": round_.recipe,
        "recipe_text": as_yaml(round_.recipe),
        "command": f"python factory/run_round.py {names} --recipe recipe.yaml",
        "directions": round_.recipe.used_directions,
        "summary": summary,
        "labels": LABELS | SPEECH_LABELS,
        "means": MEANS,
        "unmeasured_speech": describe_unmeasured(summary),
        "scores": sections.plot_scores(collect.read_summaries(round_)),
        "training": sections.plot_training(read_training_log(round_)),
        "stages": stages,
        "time_plot": sections.Figure(plots.draw("time", seconds), "Seconds of each stage, all attempts together."),
        "origins": origins,
        "versions": "\n".join(f"{name}: {value}" for name, value in {**versions, **signatures}.items()),
    }


def _preference_values(round_: Round) -> Values:
    """Return the further variables of a preference round: funnel, gaps, audit and pairs."""
    funnel = collect.make_funnel(round_)
    total = funnel[-1]["count"]
    pairs = read_shown_pairs(round_.pairs, round_.scored, collect.MAX_PLOTTED)
    gap_plots, correlation = sections.plot_gaps(round_)
    bars = plots.bars([(step["step"], step["count"]) for step in funnel], "count")
    return {
        "funnel": funnel,
        "malformed": describe_malformed(count_malformed(round_.pairs)),
        "funnel_plot": sections.Figure(plots.draw("funnel", bars), "The number that each step passes on."),
        "gap_plots": gap_plots,
        "correlation": correlation,
        "shape_plots": sections.plot_shapes(pairs, total),
        **_audit_values(audit_round(round_)),
        **_table_values(pairs, total, round_.recipe),
    }


def _audit_values(audit: RoundAudit) -> Values:
    if reason := explain_unmeasured_audit(audit):
        return {"audit": None, "unmeasured": reason}
    return {"audit": audit, "audit_plots": sections.plot_audit(audit), "audit_rows": sections.make_audit_rows(audit)}


def _table_values(pairs: Sequence[ShownPair], total: int, recipe: Recipe) -> Values:
    """Return the data of the page's table, with the sounds of some pairs, and a note about the sample."""
    shown = spread_over_margins(pairs)
    players = choose_pairs_with_players(shown)
    recordings = find_recordings(recipe.corpus.mono, [pair["utt_id"] for pair in players])
    sounds = embed_waves(make_waves(players, recordings, load_vocoders(recipe)))
    rows = [make_table_row(pair, recipe, sounds) for pair in shown]
    data = {"pairs": rows, "sounds": sounds, "metrics": recipe.scorer.metrics}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    part = "All" if len(rows) == total else f"A sample of {len(rows):,}"
    some = f"{len(players)} of them with players (at most {MAX_PLAYERS})"
    with_players = "all with players" if len(players) == len(rows) else some
    return {"data": text, "sample_note": f"{part} of {total:,} pairs, {with_players}."}


def spread_over_margins(pairs: Sequence[ShownPair], limit: int = MAX_PAIRS) -> list[ShownPair]:
    """Return at most `limit` pairs at equal steps of the list, which is sorted by margin."""
    if len(pairs) <= limit:
        return list(pairs)
    return [pairs[index * len(pairs) // limit] for index in range(limit)]
