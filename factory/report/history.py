"""The history of a run: its finished rounds as JSON, table and plot, and the rule that stops a range of rounds."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from factory.planning.places import Run, finished_rounds
from factory.recipe.recipe import Recipe
from factory.report.summary import read_summary
from factory.report.summary_types import Score, Summary
from factory.report.table import LABELS, OTHER_LABELS
from factory.storage.files import filesystem, get_json, look, put, put_json

HistoryName = Literal["s2t_bleu", "asr_bleu", "round_trip"]
HISTORY_LABELS: dict[HistoryName, str] = {
    "s2t_bleu": LABELS["s2t_bleu"],
    "asr_bleu": LABELS["asr_bleu"],
    "round_trip": OTHER_LABELS["round_trip"],
}
"""The scores of a history."""


class HistoryScore(TypedDict):
    """A corpus score as a history holds it; see `Score`."""

    before: float | None
    after: float
    ci: list[float]
    difference: NotRequired[float]
    difference_ci: NotRequired[list[float]]


class HistoryRow(TypedDict):
    """One round and direction (`fr-en`) of a history."""

    round: int
    direction: str
    pairs: int | None
    s2t_bleu: HistoryScore | None
    asr_bleu: HistoryScore | None
    round_trip: HistoryScore | None
    mos: float | None
    tripwire: bool


class History(TypedDict):
    """The history of a run. This is `history.json`."""

    rounds: list[HistoryRow]


def history_rows(run: Run) -> list[HistoryRow]:
    """Return a row for each finished round and direction."""
    return [row for number in finished_rounds(run) for row in _summary_rows(read_summary(run, number))]


def has_history(run: Run) -> bool:
    """Return True if the run has its history, and it holds every finished round."""
    fs, path = filesystem(run.uri)
    is_current: bool = get_json(fs, f"{path}/history.json") == History(rounds=history_rows(run))
    return is_current and look(fs, f"{path}/history.svg").is_file


def write_history(run: Run) -> None:
    """Write `history.json` and `history.svg` into the folder of the run."""
    fs, path = filesystem(run.uri)
    history = History(rounds=history_rows(run))
    put_json(fs, f"{path}/history.json", history)
    put(fs, f"{path}/history.svg", _plot(history["rounds"]).encode())


def _summary_rows(summary: Summary) -> list[HistoryRow]:
    return [
        {
            "round": summary["round"],
            "direction": direction,
            "pairs": summary.get("pairs", {}).get(direction),
            "s2t_bleu": _shorten(summary["s2t_bleu"][direction]),
            "asr_bleu": _shorten(score),
            "round_trip": _shorten(summary["round_trip"][direction]),
            "mos": summary["mos"][direction]["after"],
            "tripwire": bool(summary["tripwire"]),
        }
        for direction, score in summary["asr_bleu"].items()
    ]


def _shorten(score: Score | None) -> HistoryScore | None:
    if score is None:
        return None
    short = HistoryScore(before=score["before"], after=score["after"], ci=score["ci"])
    if "difference" in score:
        short.update({"difference": score["difference"], "difference_ci": score["difference_ci"]})
    return short


def render_history(rows: list[HistoryRow]) -> str:
    """Return the history as a table for a terminal."""
    head = "  ".join(f"{label:>22}" for label in HISTORY_LABELS.values())
    return "\n".join([f"\n  {'round':6}{'direction':11}{'pairs':>7}  {head}  {'MOS':>6}", *map(_line, rows)])


def _line(row: HistoryRow) -> str:
    cells = "  ".join(f"{_cell(row[name]):>22}" for name in HISTORY_LABELS)
    pairs = f"{row['pairs']:,}" if row["pairs"] is not None else "-"
    mos = f"{row['mos']:.2f}" if row["mos"] is not None else "-"
    warning = "  TRIPWIRE" if row["tripwire"] else ""
    return f"  {row['round']:<6}{row['direction']:11}{pairs:>7}  {cells}  {mos:>6}{warning}"


def _cell(score: HistoryScore | None) -> str:
    if score is None:
        return "-"
    low, high = score["ci"]
    return f"{score['after']:.2f} [{low:.2f}, {high:.2f}]"


def _plot(rows: list[HistoryRow]) -> str:
    """Plot the score that the stop rule uses, per direction."""
    from factory.report import plots

    name = _main_score(rows)
    groups: dict[str, list[plots.Point]] = {}
    for row in rows:
        if (score := row[name]) is not None:
            point = plots.Point(f"round {row['round']}", score["after"], *score["ci"])
            groups.setdefault(row["direction"], []).append(point)
    return plots.draw("history", plots.estimates(groups, HISTORY_LABELS[name]))


def _main_score(rows: list[HistoryRow]) -> HistoryName:
    """Return the score that decides: that of the text, or that of the speech if the policy writes no text."""
    return "s2t_bleu" if any(row["s2t_bleu"] for row in rows) else "asr_bleu"


def find_stop_reason(rows: list[HistoryRow], number: int, recipe: Recipe) -> str | None:
    """Return why no round should follow round `number`; None if rounds may go on.

    They stop when the mean score over directions falls by more than `rounds.stop` (BLEU). The score is measured on
    `corpus.test`, so the number of rounds depends on the test set; the history shows every round that was run.

    Args:
        rows: the history of the run.
        number: the last finished round.
        recipe: the experiment.
    """
    name, limit = _main_score(rows), recipe.rounds.stop
    scores = [
        (row["round"], score) for row in rows if (score := row[name]) is not None
    ]  # a test set may lack references
    after = _mean([score["after"] for at, score in scores if at == number])
    before = _mean([score["after"] for at, score in scores if at == number - 1])
    if before is None:  # the policy that round 1 starts from may have no round of its own
        before = _mean([score["before"] for at, score in scores if at == number and score["before"] is not None])
    if limit is None or before is None or after is None or after >= before - limit:
        return None
    directions = len(recipe.used_directions)
    mean = "mean of both directions" if directions == 2 else f"mean of {directions} directions"
    fall = f"{HISTORY_LABELS[name]} fell from {before:.2f} to {after:.2f} ({mean})"
    return f"{fall}, by more than rounds.stop: {limit:g}"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
