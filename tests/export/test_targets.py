"""Which target `--to` names, and which exports it may hold already."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.export.base import MARK, ExportError
from factory.export.folder import FolderTarget
from factory.export.hub import HubTarget
from factory.export.targets import RepoType, parse_target, read_mark
from factory.storage.manifest import StoreError


@pytest.mark.parametrize(
    ("to", "repo_type", "expected"),
    [
        ("hf://datasets/me/set", "dataset", "hf://datasets/me/set"),
        ("hf://me/policy", "model", "hf://me/policy"),
        ("hf://models/me/policy/", "model", "hf://me/policy"),
        ("hf://datasets/set", "dataset", "hf://datasets/set"),
    ],
)
def test_a_repository_is_named_by_owner_and_name(to: str, repo_type: RepoType, expected: str) -> None:
    target = parse_target(to, repo_type)
    assert isinstance(target, HubTarget) and str(target) == expected and target.repo_type == repo_type


def test_a_path_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    target = parse_target("set", "dataset")
    assert isinstance(target, FolderTarget) and str(target) == str(tmp_path / "set")


@pytest.mark.parametrize(
    ("to", "repo_type", "message"),
    [
        (
            "hf://me/set",
            "dataset",
            "is the address of a model, but a dataset is exported: give hf://datasets/OWNER/NAME",
        ),
        ("hf://datasets/me/set", "model", "is the address of a dataset, but a model is exported: give hf://OWNER/NAME"),
        ("hf://datasets/a/b/c", "dataset", "is not a repository: expected OWNER/NAME after hf://"),
        ("hf://datasets/", "dataset", "is not a repository"),
    ],
)
def test_a_wrong_repository_is_refused(to: str, repo_type: RepoType, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        parse_target(to, repo_type)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(StoreError, match="nowhere://bucket/set"):
        parse_target("nowhere://bucket/set", "dataset")


def test_the_mark_of_an_export_is_read_and_other_content_is_refused(tmp_path: Path) -> None:
    target = FolderTarget(tmp_path / "set")
    assert read_mark(target) is None
    (tmp_path / "set").mkdir()
    assert read_mark(target) is None
    (tmp_path / "set" / MARK).write_text('{"kind": "pairs", "recipe": "x"}')
    assert read_mark(target) == {"kind": "pairs", "recipe": "x"}
    (tmp_path / "set" / MARK).write_text("{")
    with pytest.raises(ExportError, match=r"roundtrip.json at .*/set is not valid JSON"):
        read_mark(target)
    (tmp_path / "set" / MARK).rename(tmp_path / "set/notes.txt")
    with pytest.raises(ExportError, match=r"holds other content \(notes.txt\): choose another name"):
        read_mark(target)
