"""A round whose numbers are there is finished, whatever becomes of its samples, report and history; run again, it gets
them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from factory.report.endings import make_parts

from factory.arguments import UNMADE
from factory.cli import main
from factory.planning.kept_recipe import keep_recipe
from factory.planning.places import Run
from factory.planning.ready import check_folder
from factory.storage.manifest import StoreError
from tests.toy_run import ROOT, toy_recipe, toy_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = toy_run(tmp_path / "run")
    keep_recipe(made, 1, toy_recipe())
    return made


def states(run: Run) -> dict[str, int]:
    """Return when each file of a run was last written, by its path."""
    return {str(path): path.stat().st_mtime_ns for path in Path(run.uri).rglob("*") if path.is_file()}


def again(run: Run) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "factory/run_round.py", "--round", "1", "--run", run.uri]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_what_cannot_be_made_is_named_and_made_alone_when_the_command_is_run_again(run: Run) -> None:
    samples = Path(run.place(1), "samples")
    samples.write_text("a file where the folder should be")
    first = again(run)
    assert first.returncode == UNMADE and "round 1 of" in first.stdout and "is finished" in first.stdout
    [sentence] = first.stderr.splitlines()
    assert f"round 1 of {run.uri} is finished, and its samples could not be made (StoreError: {samples}" in sentence
    assert sentence.endswith(
        f"once that is fixed, this makes it: python factory/run_round.py --round 1 --run {run.uri}"
    )
    assert (
        Path(run.place(1), "report/index.html").exists() and Path(run.uri, "history.svg").exists()
    )  # the others are made all the same
    assert main(["report", "--run", run.uri]) == 0  # the round counts as finished for every command
    samples.unlink()
    before = states(run)
    second = again(run)
    after = states(run)
    assert second.returncode == 0 and second.stderr == ""
    assert {path: after[path] for path in before} == before
    made = {Path(path).relative_to(samples).name for path in set(after) - set(before)}
    assert "texts.tsv" in made and len(made) == 19  # six pairs, three sounds each
    third = again(run)
    assert third.returncode == 0 and states(run) == after and third.stdout.count("\n") == 1


def test_every_part_is_told_with_the_command_that_makes_it_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("samples", "report"):
        Path(run.place(1), name).write_text("in the way")
    Path(run.uri, "history.svg").mkdir()
    told = make_parts(run, 1, toy_recipe)
    assert [sentence.split("its ")[1].split(" could")[0] for sentence in told] == ["samples", "report", "history"]
    commands = [sentence.rsplit("this makes it: ", 1)[1] for sentence in told]
    assert commands[1] == f"roundtrip report --round 1 --run {run.uri}" and commands[0] == commands[2] != commands[1]
    monkeypatch.setenv("ROUNDTRIP_TRACEBACK", "1")
    with pytest.raises(StoreError):
        make_parts(run, 1, toy_recipe)


def test_an_error_that_nobody_thought_of_does_not_lose_the_round_either(run: Run) -> None:
    (part,) = (path for path in Path(run.place(1), "pairs").glob("*.parquet"))
    part.write_bytes(b"no Parquet at all")
    told = make_parts(run, 1, toy_recipe)
    assert len(told) == 2 and all("is finished, and its" in sentence for sentence in told)
    assert Path(run.uri, "history.json").exists()


def test_the_recipe_that_the_round_was_run_with_makes_its_parts(run: Run) -> None:
    assert (
        again(run).returncode == 0
    )  # the command names the recipe of another experiment: bleu and chrf are its only metrics
    assert "mcd" in Path(run.place(1), "report/index.html").read_text().split('"metrics":')[1]


@pytest.mark.parametrize("place", ["a-file", "a-file/deeper", "/proc/roundtrip"])
def test_a_folder_that_cannot_be_written_is_said_at_once(place: str, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written .*: give another --run, or free that folder"):
        check_folder(str(tmp_path / place))
    check_folder(str(tmp_path / "run/round-1"))
    assert list((tmp_path / "run/round-1").iterdir()) == []
