"""Samples, report and history of a finished round: made once, and again if they are missing."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from factory.arguments import INCOMPLETE
from factory.cli import main
from factory.planning.kept_recipe import keep_recipe
from factory.planning.places import Round
from factory.recipe.loading import load
from factory.report.extras import list_extras, make_extras
from factory.storage.manifest import StoreError
from tests.toy_run import ROOT, toy_recipe, toy_run


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    round_ = Round(toy_run(tmp_path / "run"), 1, toy_recipe())
    keep_recipe(round_)
    return round_


def write_times(round_: Round) -> dict[str, int]:
    """Return the time of the last write of each file of a run, by its path."""
    return {str(path): path.stat().st_mtime_ns for path in Path(round_.run.uri).rglob("*") if path.is_file()}


def run_again(round_: Round) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "factory/run_round.py", "--round", "1", "--run", round_.run.uri]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_a_missing_extra_is_named_and_made_alone_when_the_command_is_run_again(round_: Round) -> None:
    samples = Path(round_.uri, "samples")
    samples.write_text("a file in the way of the folder")
    first = run_again(round_)
    assert first.returncode == INCOMPLETE and "round 1 of" in first.stdout and "is finished" in first.stdout
    [sentence] = first.stderr.splitlines()
    start = f"round 1 of {round_.run.uri} is finished, but its samples could not be made (StoreError: {samples}"
    assert sentence.startswith(start)
    assert sentence.endswith(f"fix that, then run: python factory/run_round.py --round 1 --run {round_.run.uri}")
    assert Path(round_.uri, "report/index.html").exists() and Path(round_.run.uri, "history.svg").exists()
    assert main(["report", "--run", round_.run.uri]) == 0  # the round is finished for every command
    samples.unlink()
    before = write_times(round_)
    second = run_again(round_)
    after = write_times(round_)
    assert second.returncode == 0 and second.stderr == ""
    assert {path: after[path] for path in before} == before
    made = {Path(path).relative_to(samples).name for path in set(after) - set(before)}
    assert "texts.tsv" in made and len(made) == 1 + 6 * 3  # six pairs with three sounds each
    third = run_again(round_)
    assert third.returncode == 0 and write_times(round_) == after and third.stdout.count("\n") == 1


def test_every_extra_is_named_with_the_command_that_makes_it(round_: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("samples", "report"):
        Path(round_.uri, name).write_text("in the way")
    Path(round_.run.uri, "history.svg").mkdir()
    sentences = make_extras(round_)
    assert [sentence.split("but its ")[1].split(" could")[0] for sentence in sentences] == [
        "samples",
        "report",
        "history",
    ]
    run, report, history = (sentence.rsplit("then run: ", 1)[1] for sentence in sentences)
    assert report == f"roundtrip report --round 1 --run {round_.run.uri}"
    assert run == history == f"python factory/run_round.py --round 1 --run {round_.run.uri}"
    monkeypatch.setenv("ROUNDTRIP_TRACEBACK", "1")
    with pytest.raises(StoreError):
        make_extras(round_)


def test_an_unexpected_error_does_not_lose_the_round(round_: Round) -> None:
    [part] = Path(round_.uri, "pairs").glob("*.parquet")
    part.write_bytes(b"no Parquet")
    sentences = make_extras(round_)
    assert len(sentences) == 2 and all("is finished, but its" in sentence for sentence in sentences)
    assert Path(round_.run.uri, "history.json").exists()


def test_an_unreadable_recipe_fails_only_the_extras_that_need_it(round_: Round) -> None:
    Path(round_.uri, "recipe.json").write_text("{")
    sentences = make_extras(round_)
    assert ["samples" in sentences[0], "report" in sentences[1], len(sentences)] == [True, True, 2]


def test_round_0_has_no_samples(round_: Round) -> None:
    first = Round(round_.run, 0, round_.recipe)
    assert [extra.name for extra in list_extras(first)] == ["report", "history"]


def test_a_finished_round_is_tracked_once_if_a_command_asks_for_it(round_: Round) -> None:
    tracked = replace(round_, recipe=replace(round_.recipe, tracking=("tensorboard",)))
    assert not any("tracking" in extra.name for extra in list_extras(round_))
    *_, extra = list_extras(tracked)
    assert extra.name == "tracking by tensorboard" and not extra.is_made()
    extra.make()
    before = write_times(round_)
    assert extra.is_made() and make_extras(tracked) == []
    assert {path: time for path, time in write_times(round_).items() if path in before} == before
    command = shlex.split(extra.command)
    assert command[-2:] == ["--set", "tracking=[tensorboard]"] and load(None, command[-1:]).tracking == ("tensorboard",)


def test_each_tracker_is_an_extra_of_its_own(round_: Round) -> None:
    trackers = ("mlflow", "tensorboard", "wandb")
    *_, first, second, third = list_extras(replace(round_, recipe=replace(round_.recipe, tracking=trackers)))
    assert [extra.command.split("--set ")[1] for extra in (first, second, third)] == [
        f"'tracking=[{name}]'" for name in trackers
    ]
    second.make()
    assert [extra.is_made() for extra in (first, second, third)] == [False, True, False]


def test_the_recipe_that_the_round_was_run_with_makes_its_extras(round_: Round) -> None:
    assert run_again(round_).returncode == 0  # this command names another recipe, whose only metrics are bleu and chrf
    assert "mcd" in Path(round_.uri, "report/index.html").read_text("utf-8").split('"metrics":')[1]
