"""Several rounds side by side: the history's table and plot, the rule that ends them, and the tripwire."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.report.history import falls, history_rows, render_history, write_history
from factory.report.tripwire import tripped
from factory.rounds import run_rounds
from tests.toy_run import toy_recipe, toy_run


def stopping(at: float | None) -> Recipe:
    recipe = toy_recipe()
    return replace(recipe, rounds=replace(recipe.rounds, stop=at))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two finished rounds, of which the second is two BLEU worse, and a third that is not finished."""
    made = toy_run(tmp_path_factory.mktemp("run"))
    for number in (2, 3):
        shutil.copytree(made.place(1), made.place(number))
    worse = json.loads(Path(made.place(2), "summary.json").read_text()) | {"round": 2}
    for direction in ("fr-en", "en-fr"):
        worse["s2t_bleu"][direction]["after"] -= 2.0
    Path(made.place(2), "summary.json").write_text(json.dumps(worse))
    Path(made.place(3), "summary.json").unlink()
    return made


def test_the_history_holds_every_finished_round_and_direction(run: Run) -> None:
    write_history(run)
    rows = history_rows(run)
    assert [(row["round"], row["direction"]) for row in rows] == [
        (1, "fr-en"),
        (1, "en-fr"),
        (2, "fr-en"),
        (2, "en-fr"),
    ]
    assert json.loads(Path(run.uri, "history.json").read_text())["rounds"] == rows
    assert Path(run.uri, "history.svg").read_text().startswith("<svg")
    assert "12.50 [11.00, 13.00]" in render_history(rows)


@pytest.mark.parametrize(("stop", "ends"), [(0.0, True), (1.9, True), (2.1, False), (None, False)])
def test_a_round_that_falls_by_more_than_the_recipe_allows_is_the_last(
    run: Run, stop: float | None, ends: bool
) -> None:
    reason = falls(history_rows(run), 2, stopping(stop))
    assert (reason is not None) == ends
    if reason:
        assert "S2T BLEU fell from 12.50 to 10.50" in reason and "rounds.stop" in reason


def test_no_round_is_begun_after_one_that_falls(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_rounds(run, [1, 2, 3], stopping(0.0))
    told = capsys.readouterr().out
    assert "no round after 2: S2T BLEU fell from 12.50 to 10.50" in told and "round 2 of" in told
    assert not Path(run.place(3), "summary.json").exists()


def test_the_first_round_is_held_against_the_ready_made_start(run: Run) -> None:
    write_history(run)
    rows = history_rows(run)
    assert falls(rows, 1, stopping(0.0)) is None
    better = [row | {"s2t_bleu": row["s2t_bleu"] | {"before": 14.0}} for row in rows]
    assert "S2T BLEU fell from 14.00 to 12.50" in str(falls(better, 1, stopping(0.0)))
    unknown = [row | {"s2t_bleu": row["s2t_bleu"] | {"before": None}} for row in rows]
    assert falls(unknown, 1, stopping(0.0)) is None


def change(difference: float, low: float, high: float) -> dict[str, Any]:
    return {"difference": difference, "difference_ci": [low, high]}


@pytest.mark.parametrize(
    ("trip", "reference", "trips"),
    [
        (change(3.0, 1.0, 5.0), change(-1.0, -3.0, 1.0), True),  # certainly comes back better, and translates worse
        (change(1.0, -1.0, 3.0), change(-2.0, -3.0, -1.0), True),
        (change(1.0, -1.0, 3.0), change(-1.0, -3.0, 1.0), False),  # both may be chance
        (change(3.0, 1.0, 5.0), change(1.0, -1.0, 3.0), False),  # both better
        (change(-3.0, -5.0, -1.0), change(-1.0, -3.0, 1.0), False),  # both worse
        (None, change(-2.0, -3.0, -1.0), False),
        ({"after": 3.0}, change(-2.0, -3.0, -1.0), False),  # round 0 has nothing to compare with
    ],
)
def test_the_tripwire_wants_a_rise_there_and_back_with_a_fall_against_references(
    trip: Any, reference: Any, trips: bool
) -> None:
    told = tripped({"round_trip": {"fr-en": trip}, "s2t_bleu": {"fr-en": reference}, "asr_bleu": {"fr-en": None}})
    assert len(told) == int(trips)
    assert all("fr-en" in sentence and "not to translate" in sentence for sentence in told)
