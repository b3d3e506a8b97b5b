"""All rounds of a run side by side: `history.json`, a table, a plot, and the rule that ends a range of rounds."""

from __future__ import annotations

from factory.planning.places import Run, finished_rounds
from factory.recipe.recipe import Recipe
from factory.report.table import LABELS, OTHERS
from factory.storage.files import filesystem, get_json, look, put, put_json
from schemas.datasets import Row

TOLD = ("before", "after", "ci", "difference", "difference_ci")
SCORES = {name: label for name, label in (LABELS | OTHERS).items() if name not in ("s2t_chrf", "cascade_bleu")}


def history_rows(run: Run) -> list[Row]:
    """Return a line for each finished round and direction."""
    fs, path = filesystem(run.uri)
    summaries = [get_json(fs, f"{path}/round-{number}/summary.json") for number in finished_rounds(run)]
    return [row for summary in summaries for row in _lines(summary)]


def has_history(run: Run) -> bool:
    """Whether the run's history is there and holds every finished round as it is."""
    fs, path = filesystem(run.uri)
    kept = get_json(fs, f"{path}/history.json")
    return kept == {"rounds": history_rows(run)} and look(fs, f"{path}/history.svg").is_file


def write_history(run: Run) -> None:
    """Write `history.json`, which holds the rows, and `history.svg` into the run."""
    fs, path = filesystem(run.uri)
    rows = history_rows(run)
    put_json(fs, f"{path}/history.json", {"rounds": rows})
    put(fs, f"{path}/history.svg", _plot(rows).encode())


def _lines(summary: Row) -> list[Row]:
    lines = []
    for direction in summary["asr_bleu"]:
        line: Row = {
            "round": summary["round"],
            "direction": direction,
            "pairs": summary.get("pairs", {}).get(direction),
        }
        for name in SCORES:
            found = summary.get(name, {}).get(direction)
            line[name] = {key: found[key] for key in TOLD if key in found} if found else None
        lines.append(line | {"mos": summary["mos"][direction]["after"], "tripwire": bool(summary.get("tripwire"))})
    return lines


def render_history(rows: list[Row]) -> str:
    """Return the history as a table for a terminal."""
    head = "  ".join(f"{label:>22}" for label in SCORES.values())
    lines = [f"\n  {'round':6}{'direction':11}{'pairs':>7}  {head}  {'MOS':>6}"]
    for row in rows:
        cells = "  ".join(f"{_cell(row[name]):>22}" for name in SCORES)
        pairs = f"{row['pairs']:,}" if row["pairs"] is not None else "-"
        mos = f"{row['mos']:.2f}" if row["mos"] is not None else "-"
        lines.append(
            f"  {row['round']:<6}{row['direction']:11}{pairs:>7}  {cells}  {mos:>6}{'  TRIPWIRE' if row['tripwire'] else ''}"
        )
    return "\n".join(lines)


def _cell(score: Row | None) -> str:
    if score is None:
        return "-"
    low, high = score["ci"]
    return f"{score['after']:.2f} [{low:.2f}, {high:.2f}]"


def _plot(rows: list[Row]) -> str:
    """Draw the corpus score that the stop rule goes by, for each direction."""
    from factory.report import plots

    name = _followed(rows)
    groups: dict[str, list[Row]] = {}
    for row in (row for row in rows if row[name]):
        low, high = row[name]["ci"]
        groups.setdefault(row["direction"], []).append(
            {"x": f"round {row['round']}", "y": row[name]["after"], "low": low, "high": high}
        )
    return plots.draw("history", plots.estimates(groups, LABELS[name]))


def _followed(rows: list[Row]) -> str:
    """Return which score tells a run's course: that of the text, or of the speech where the policy writes none."""
    return "s2t_bleu" if any(row["s2t_bleu"] for row in rows) else "asr_bleu"


def falls(rows: list[Row], number: int, recipe: Recipe) -> str | None:
    """Return why no further round should follow round `number`: a sentence when its mean score fell by more than `rounds.stop` (BLEU).

    The score is measured on `corpus.test`: it decides how many rounds are run, and every round that was is told.
    """
    name, limit = _followed(rows), recipe.rounds.stop
    known = [row for row in rows if row[name]]  # a test set may lack the references of a direction, or of both
    means = {of: _mean([row[name]["after"] for row in known if row["round"] == of]) for of in (number - 1, number)}
    compared = [row[name]["before"] for row in known if row["round"] == number and row[name].get("before") is not None]
    before, after = means[number - 1] or _mean(compared), means[number]  # a ready-made start has no row of its own
    if limit is None or before is None or after is None or after >= before - limit:
        return None
    return f"{LABELS[name]} fell from {before:.2f} to {after:.2f} (mean of both directions), by more than rounds.stop: {limit:g}"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
