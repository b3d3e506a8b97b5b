"""A folder gets all files or none; into a folder with another round, and into a store, the mark comes last."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.export.base import MARK, ExportError
from factory.export.folder import FolderTarget, StoreTarget
from factory.storage.files import files_below, filesystem, put
from tests.s3 import s3_server


def make_stage(folder: Path, *names: str) -> Path:
    """Write files that hold their own names."""
    for name in (*names, MARK):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_holds_all_files(tmp_path: Path) -> None:
    target = FolderTarget(tmp_path / "above/set")
    assert target.list_files() == []
    stage = make_stage(tmp_path / "stage", "data/round-1/a.parquet")
    assert target.publish(stage, "data/round-1", True, "") == str(tmp_path / "above/set")
    assert names(tmp_path / "above") == {"set/data/round-1/a.parquet", f"set/{MARK}"}
    assert sorted(target.list_files()) == ["data/round-1/a.parquet", MARK]
    assert target.read("data/round-1/a.parquet") == "data/round-1/a.parquet"


def test_another_round_stays_and_old_files_of_the_same_round_are_removed(tmp_path: Path) -> None:
    target = FolderTarget(tmp_path / "set")
    target.publish(make_stage(tmp_path / "1", "data/round-1/a", "data/round-1/b"), "data/round-1", True, "")
    target.publish(make_stage(tmp_path / "2", "data/round-2/a"), "data/round-2", True, "")
    target.publish(make_stage(tmp_path / "3", "data/round-1/a"), "data/round-1", True, "")
    assert names(tmp_path / "set") == {"data/round-1/a", "data/round-2/a", MARK}


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="file is a file; --to takes a folder"):
        FolderTarget(tmp_path / "file").list_files()
    target, stage = FolderTarget(tmp_path / "file/set"), make_stage(tmp_path / "stage", "a")
    with pytest.raises(ExportError, match=r"file/set cannot be used \(.*\): choose another folder, or free space"):
        target.publish(stage, "a", True, "")
    with pytest.raises(ExportError, match="missing cannot be used|No such file"):
        FolderTarget(tmp_path / "missing").read(MARK)


def test_a_store_holds_what_a_folder_holds(tmp_path: Path) -> None:
    with s3_server() as bucket:
        target = StoreTarget(f"{bucket}/sets/one/")
        assert target.list_files() == [] and str(target) == f"{bucket}/sets/one"
        stage = make_stage(tmp_path / "stage", "data/round-1/a")
        fs, path = filesystem(target.name)
        put(fs, f"{path}/data/round-1/old", b"old")
        put(fs, f"{path}/data/round-2/a", b"other round")
        assert target.publish(stage, "data/round-1", True, "") == target.name
        assert {file.path.removeprefix(f"{path}/") for file in files_below(fs, path)} == {
            "data/round-1/a",
            "data/round-2/a",
            MARK,
        }
        assert target.read("data/round-1/a") == "data/round-1/a"
