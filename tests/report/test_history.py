"""The history of a run: its rows, its files, and the rule that stops a range of rounds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from factory.planning.places import Round, Run
from factory.recipe.recipe import Recipe
from factory.report.history import (
    HistoryRow,
    HistoryScore,
    find_stop_reason,
    has_history,
    history_rows,
    render_history,
    write_history,
)
from factory.rounds import run_rounds
from tests.toy_run import toy_recipe, toy_run


def stop_at(fall: float | None) -> Recipe:
    recipe = toy_recipe()
    return replace(recipe, rounds=replace(recipe.rounds, stop=fall))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with two finished rounds, the second one two BLEU worse, and a third round that is not finished."""
    made = toy_run(tmp_path_factory.mktemp("run"))
    first, second, third = (Path(Round(made, number, toy_recipe()).uri) for number in (1, 2, 3))
    for folder in (second, third):
        shutil.copytree(first, folder)
    worse = json.loads((second / "summary.json").read_text("utf-8")) | {"round": 2}
    for direction in ("fr-en", "en-fr"):
        worse["s2t_bleu"][direction]["after"] -= 2.0
    (second / "summary.json").write_text(json.dumps(worse))
    (third / "summary.json").unlink()
    return made


def row(number: int, after: float | None, before: float | None = None, **changes: object) -> HistoryRow:
    score = None if after is None else HistoryScore(before=before, after=after, ci=[0.0, 100.0])
    blank: HistoryRow = {
        "round": number,
        "direction": "fr-en",
        "pairs": None,
        "s2t_bleu": score,
        "asr_bleu": None,
        "round_trip": None,
        "mos": None,
        "tripwire": False,
    }
    return blank | changes  # type: ignore[return-value]


def test_the_history_has_every_finished_round_and_direction(run: Run) -> None:
    assert not has_history(run)
    write_history(run)
    assert has_history(run)
    rows = history_rows(run)
    keys = [(found["round"], found["direction"]) for found in rows]
    assert keys == [(1, "fr-en"), (1, "en-fr"), (2, "fr-en"), (2, "en-fr")]
    score = {"before": 10.0, "after": 12.5, "ci": [11.0, 13.0], "difference": 2.5, "difference_ci": [1.0, 4.0]}
    assert rows[0] == {
        "round": 1,
        "direction": "fr-en",
        "pairs": 4,
        "s2t_bleu": score,
        "asr_bleu": score,
        "round_trip": None,
        "mos": 2.0,
        "tripwire": False,
    }
    assert json.loads(Path(run.uri, "history.json").read_text("utf-8")) == {"rounds": rows}
    assert Path(run.uri, "history.svg").read_text("utf-8").startswith("<svg")
    Path(run.uri, "history.svg").unlink()
    assert not has_history(run)


def test_the_history_is_a_table() -> None:
    rows = [row(0, 12.5), row(1, None, pairs=1234, mos=3.456, tripwire=True)]
    head, first, second = render_history(rows).strip("\n").splitlines()
    assert head.split() == ["round", "direction", "pairs", "S2T", "BLEU", "ASR-BLEU", "round", "trip", "MOS"]
    assert first.split() == ["0", "fr-en", "-", "12.50", "[0.00,", "100.00]", "-", "-", "-"]
    assert second.split() == ["1", "fr-en", "1,234", "-", "-", "-", "3.46", "TRIPWIRE"]


@pytest.mark.parametrize(("fall", "stops"), [(0.0, True), (1.9, True), (2.0, False), (2.1, False), (None, False)])
def test_rounds_stop_when_the_score_falls_by_more_than_the_recipe_allows(fall: float | None, stops: bool) -> None:
    rows = [row(1, 12.0), row(1, 13.0), row(2, 10.0), row(2, 11.0)]
    reason = find_stop_reason(rows, 2, stop_at(fall))
    words = f"S2T BLEU fell from 12.50 to 10.50 (mean of both directions), by more than rounds.stop: {fall}"
    assert reason == (words.replace(": 0.0", ": 0") if stops else None)


def test_no_round_is_begun_after_one_that_falls(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_rounds([Round(run, number, stop_at(0.0)) for number in (1, 2, 3)])
    output = capsys.readouterr().out
    assert "no round after 2: S2T BLEU fell from 12.50 to 10.50" in output and "round 2 of" in output
    assert not Path(run.uri, "round-3/summary.json").exists()


def test_the_first_round_is_compared_with_the_policy_it_started_from() -> None:
    assert find_stop_reason([row(1, 12.5, before=10.0)], 1, stop_at(0.0)) is None
    assert "fell from 14.00 to 12.50" in str(find_stop_reason([row(1, 12.5, before=14.0)], 1, stop_at(0.0)))
    assert find_stop_reason([row(1, 12.5)], 1, stop_at(0.0)) is None
    assert find_stop_reason([row(0, 13.0), row(1, 12.5, before=9.0)], 1, stop_at(0.0)) is not None
    assert find_stop_reason([row(1, None)], 1, stop_at(0.0)) is None


def test_a_policy_that_writes_no_text_is_followed_by_its_speech() -> None:
    score = [HistoryScore(before=None, after=after, ci=[0.0, 1.0]) for after in (9.0, 5.0)]
    rows = [row(number, None, asr_bleu=one) for number, one in enumerate(score, 1)]
    assert "ASR-BLEU fell from 9.00 to 5.00" in str(find_stop_reason(rows, 2, stop_at(0.0)))
