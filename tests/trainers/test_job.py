"""The names of what a training reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.job import Job, absolute_location, name_for_workers


def test_a_uri_stays_and_a_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_location("s3://bucket/policy") == "s3://bucket/policy"
    assert absolute_location("runs/policy") == absolute_location(Path("runs/policy")) == tmp_path / "runs/policy"
    assert absolute_location("~/policy") == Path.home() / "policy"


def test_workers_find_an_existing_file_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").touch()
    assert name_for_workers("data") == name_for_workers(Path("data")) == str(tmp_path / "data")
    assert [name_for_workers(name) for name in ("owner/model", "s3://b/data")] == ["owner/model", "s3://b/data"]


def test_the_work_folder_is_next_to_the_policy(tmp_path: Path) -> None:
    assert Job(None, 0, {}, tmp_path / "policy").work == tmp_path / "policy.work"
    assert Job(None, 0, {}, "s3://bucket/policy").work == "s3://bucket/policy.work"
