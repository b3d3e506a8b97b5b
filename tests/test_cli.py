"""The command line beside the main job."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from factory.cli import main
from factory.store import DatasetDir
from schemas.datasets import UNITS


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
    assert "holds no Parquet" in capsys.readouterr().err
