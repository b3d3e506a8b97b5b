"""The command `roundtrip`, and what all commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from factory.arguments import parse_rounds, run_command
from factory.cli import main
from factory.runtime.loopback import open_port
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import StoreError
from schemas.datasets import UNITS
from tests.limits import HANG_S


def test_rows_shows_reasons_and_shortens_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = DatasetDir(str(tmp_path / "units"), UNITS)
    dataset.start({"stage": "tokenize"})
    good = {"utt_id": "a", "lang": "fr", "units": list(range(40)), "durations": [1] * 40, "status": "ok"}
    bad = {"utt_id": "b", "lang": "fr", "status": "failed", "reason": "not_audio: noise"}
    dataset.append(pa.Table.from_pylist([good, bad], schema=UNITS))
    assert main(["rows", str(tmp_path / "units"), "--status", "ok"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["failed", "not_audio", "1", "b"]
    assert json.loads(lines[1])["units"] == "40 numbers: 0 1 2 3 4 5 6 7 …"


def test_a_folder_without_a_dataset_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", str(tmp_path)]) == 2
    assert "has no Parquet" in capsys.readouterr().err


def test_a_run_is_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("round-1/scored", "units"):
        dataset = DatasetDir(str(tmp_path / name), UNITS)
        dataset.start({"stage": name})
        row = {"utt_id": "a", "lang": "fr", "units": [1], "durations": [1], "status": "ok"}
        dataset.append(pa.Table.from_pylist([row], schema=UNITS))
        dataset.publish(["a"])
    assert main(["rows", str(tmp_path)]) == 2
    assert "holds several datasets: name one of round-1/scored, units in it" in capsys.readouterr().err
    assert main(["rows", str(tmp_path / "round-1")]) == 0


@pytest.mark.parametrize("command", [["translate", "a.wav", "--to", "es", "--from", "en"], ["serve-rewards"]])
def test_a_recipe_without_a_policy_asks_for_one(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(Path(__file__).resolve().parent.parent / "recipes/phrasebook_es.yaml")
    assert main([*command, "--recipe", recipe]) == 2
    assert "the recipe phrasebook_es has no policy.start: name a policy with --policy" in capsys.readouterr().err


def on_terminal(encoding: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a terminal with this encoding."""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, encoding=encoding, timeout=HANG_S
    )


MODULES = ("factory.run_round", "factory.planning.preflight", "cluster.submit", "factory.cli", "trainers.sft")


def test_a_terminal_without_a_character_gets_a_question_mark(tmp_path: Path) -> None:
    dataset = DatasetDir(str(tmp_path / "units"), UNITS)
    dataset.start({"stage": "tokenize"})
    dataset.append(pa.Table.from_pylist([{"utt_id": "é●", "lang": "fr", "status": "ok"}], schema=UNITS))
    for encoding, utt_id in (("latin-1", "é?"), ("ascii", "??")):
        rows = on_terminal(encoding, "-m", "factory.cli", "rows", dataset.uri)
        assert rows.returncode == 0 and json.loads(rows.stdout)["utt_id"] == utt_id, rows.stderr
    missing = on_terminal("ascii", "-m", "factory.run_round", "--round", "1", "--recipe", "recipes/….yaml")
    assert missing.returncode == 2 and "the recipe recipes/?.yaml does not exist" in missing.stderr
    stage = "from factory.arguments import run_command; run_command('run', lambda: print('● produce') or 0)"
    assert on_terminal("latin-1", "-c", stage).stdout == "? produce\n"


@pytest.mark.parametrize("module", MODULES)
def test_help_is_printed_on_every_terminal(module: str) -> None:
    done = on_terminal("ascii", "-m", module, "--help")
    assert done.returncode == 0, done.stderr


def test_an_error_that_the_user_can_fix_is_one_sentence_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> int:
        raise StoreError("s3://KEY:SECRET@bucket/run cannot be read: give another --run")

    monkeypatch.delenv("ROUNDTRIP_TRACEBACK", raising=False)
    assert run_command("roundtrip", fails) == 2
    assert capsys.readouterr().err == "roundtrip: s3://***@bucket/run cannot be read: give another --run\n"
    monkeypatch.setenv("ROUNDTRIP_TRACEBACK", "1")
    with pytest.raises(StoreError):
        run_command("roundtrip", fails)


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROUNDTRIP_TRACEBACK", raising=False)
    stop = "from factory.arguments import run_command; import os, signal, sys, time\n"
    stop += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell lets its background jobs ignore it
    stop += "sys.exit(run_command('roundtrip', lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(9) or 0))"
    done = on_terminal("utf-8", "-c", stop)
    assert (done.returncode, done.stderr) == (130, "roundtrip: stopped; the same command goes on\n")


@pytest.mark.parametrize(
    "bug", [ValueError("shapes"), RuntimeError("CUDA out of memory"), OSError("disk"), KeyError("x")]
)
def test_a_bug_keeps_its_traceback(bug: Exception) -> None:
    def fails() -> int:
        raise bug

    with pytest.raises(type(bug)):
        run_command("roundtrip", fails)
    assert run_command("roundtrip", lambda: 4) == 4


def test_rounds_are_a_number_or_a_range() -> None:
    assert (
        list(parse_rounds("2")) == [2] and list(parse_rounds("1-3")) == [1, 2, 3] and list(parse_rounds("1-1")) == [1]
    )
    for wrong in ("3-1", "x", "-1", "1-x", ""):
        with pytest.raises(ValueError):
            parse_rounds(wrong)


def test_a_rater_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("", " "):
        with pytest.raises(SystemExit):
            main(["listen", "--run", "x", "--rater", name])
        assert "argument --rater: expected a name, got an empty text" in capsys.readouterr().err


def test_a_taken_port_is_refused_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with open_port(0) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve-rewards", "--port", port]) == 2
    shown = capsys.readouterr()
    assert f"port {port} cannot be used (Address already in use): give another one" in shown.err and not shown.out


@pytest.mark.parametrize("command", [["rows", "x", "--limit"], ["listen", "--run", "x", "--rows"]])
def test_a_number_of_rows_is_one_or_more(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for number in ("0", "-3", "1.5"):
        with pytest.raises(SystemExit):
            main([*command, number])
        assert f"expected 1 or more, got {number}" in capsys.readouterr().err
