"""The command line beside the main job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from factory.cli import main
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS
from tests.limits import HANG_S


def test_rows_shows_reasons_and_shortens_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = DatasetDir(str(tmp_path / "units"), UNITS)
    dataset.start({"stage": "tokenize"})
    good = {"utt_id": "a", "lang": "fr", "units": list(range(40)), "durations": [1] * 40, "status": "ok"}
    bad = {"utt_id": "b", "lang": "fr", "status": "failed", "reason": "not_audio: noise"}
    dataset.append(pa.Table.from_pylist([good, bad], schema=UNITS))
    assert main(["rows", str(tmp_path / "units"), "--status", "ok"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == ["failed", "not_audio", "1", "b"]
    assert json.loads(told[1])["units"] == "40 numbers: 0 1 2 3 4 5 6 7 …"


def test_a_place_without_a_dataset_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", str(tmp_path)]) == 2
    assert "has no Parquet" in capsys.readouterr().err


def said(encoding: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a terminal of this encoding."""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, encoding=encoding, timeout=HANG_S
    )


def test_a_terminal_without_a_letter_gets_another(tmp_path: Path) -> None:
    dataset = DatasetDir(str(tmp_path / "units"), UNITS)
    dataset.start({"stage": "tokenize"})
    dataset.append(pa.Table.from_pylist([{"utt_id": "é●", "lang": "fr", "status": "ok"}], schema=UNITS))
    for encoding, utt_id in (("latin-1", "é?"), ("ascii", "??")):
        rows = said(encoding, "-m", "factory.cli", "rows", dataset.uri)
        assert rows.returncode == 0 and json.loads(rows.stdout)["utt_id"] == utt_id, rows.stderr
        for module in (
            "-m factory.run_round",
            "-m factory.planning.preflight",
            "-m cluster.submit",
            "-m factory.cli submit",
            "-m trainers.sft",
        ):
            told = said(encoding, *module.split(), "--help")
            assert told.returncode == 0, told.stderr
    missing = said("ascii", "-m", "factory.run_round", "--round", "1", "--recipe", "recipes/….yaml")
    assert missing.returncode == 2 and "there is no recipe recipes/?.yaml" in missing.stderr
    stage = "from factory.arguments import mended; mended('run', lambda: print('● produce') or 0)"
    assert said("latin-1", "-c", stage).stdout == "? produce\n"
