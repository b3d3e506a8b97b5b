"""Copies of folders: fetched once, fetched again when they change, and never used while they are incomplete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from factory.models.weights import WeightsError, resolve, weights_digest
from factory.storage import transfer
from factory.storage.files import exists, filesystem, put
from factory.storage.manifest import StoreError
from factory.storage.transfer import download, fetch, push, remove, upload
from tests.s3 import s3_server

DISK = pafs.LocalFileSystem()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An S3 server, and a cache folder of this test."""
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    with s3_server() as uri:
        yield uri


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A folder with files on two levels."""
    (tmp_path / "policy/adapter").mkdir(parents=True)
    for name, content in (("config.json", "{}"), ("model.safetensors", "w" * 100), ("adapter/a.json", "[]")):
        (tmp_path / "policy" / name).write_text(content)
    return tmp_path / "policy"


def contents(folder: Path) -> dict[str, str]:
    """Return relative path -> text of all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_folder_is_fetched_once(policy: Path, tmp_path: Path) -> None:
    copy = fetch(f"file://{policy}/", tmp_path / "cache")
    assert copy.name == "policy" and contents(copy) == contents(policy)
    (copy / "mark").touch()
    assert fetch(f"file://{policy}/", tmp_path / "cache") == copy and (copy / "mark").exists()


@pytest.mark.parametrize("change", ["size", "time", "name"])
def test_a_folder_that_changed_is_fetched_again_and_the_outdated_copy_is_removed(
    policy: Path, tmp_path: Path, change: str
) -> None:
    outdated = fetch(f"file://{policy}", tmp_path / "cache")
    hidden = outdated.parent.parent / ".being-written"
    hidden.mkdir()
    file = policy / "model.safetensors"
    stat = file.stat()
    if change == "size":
        file.write_text("others")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    else:
        file.rename(policy / "model2.safetensors")
    copy = fetch(f"file://{policy}", tmp_path / "cache")
    assert copy != outdated and contents(copy) == contents(policy)
    assert not outdated.exists() and hidden.exists()


def test_copies_of_two_uris_are_apart(policy: Path, tmp_path: Path) -> None:
    first, second = (fetch(f"file://{policy}/{name}", tmp_path / "cache") for name in ("config.json", "adapter/a.json"))
    assert first.read_text() == "{}" and second.read_text() == "[]"
    assert first.parent.parent != second.parent.parent


def test_a_copy_that_cannot_be_named_is_an_error(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: Path, target: Path) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(transfer.os, "replace", replace)
    with pytest.raises(StoreError, match=r"could not be written: not permitted; make its folder writable"):
        fetch(f"file://{policy}", tmp_path / "cache")


def test_of_two_processes_that_fetch_at_once_the_first_wins(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def replace(source: Path, target: Path) -> None:
        (target / "policy").mkdir(parents=True)
        (target / "policy/first").touch()
        rename(source, target)

    monkeypatch.setattr(transfer.os, "replace", replace)
    copy = fetch(f"file://{policy}", tmp_path / "cache")
    assert list(contents(copy)) == ["first"]
    assert [path.name for path in copy.parent.parent.iterdir()] == [copy.parent.name], "the second copy is removed"


def test_nothing_at_a_uri_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is nothing at file://.*/none: expected a file or a folder with files"):
        fetch(f"file://{tmp_path}/none", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    download(f"file://{tmp_path}/none", tmp_path / "copy")
    remove(f"file://{tmp_path}/none")
    assert not (tmp_path / "copy").exists()


def test_a_download_leaves_a_subfolder_out(policy: Path, tmp_path: Path) -> None:
    put(DISK, f"{policy}/deep/adapter/b.json", b"{}")
    download(f"file://{policy}", tmp_path / "copy", without="adapter")
    assert list(contents(tmp_path / "copy")) == ["config.json", "deep/adapter/b.json", "model.safetensors"]
    download(f"file://{policy}/config.json", tmp_path / "file.json", without="adapter")
    assert (tmp_path / "file.json").read_text() == "{}"


def test_an_upload_copies_all_files_and_remove_deletes_them(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    upload(policy, "memory://bucket/policy", "config.json")
    download("memory://bucket/policy", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(policy)
    remove("memory://bucket/policy")
    assert not exists("memory://bucket/policy/config.json")


def test_every_call_on_a_store_names_its_file_and_its_action(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str, str]] = []

    def record(fs: pafs.FileSystem, path: str, action: str, call: Callable[[], None]) -> None:
        calls.append((fs.type_name, path, action))
        call()

    monkeypatch.setattr(transfer, "retry", record)
    (tmp_path / "out").mkdir()
    push(policy / "config.json", DISK, f"{tmp_path}/out/config.json")
    download(f"file://{tmp_path}/out/config.json", tmp_path / "copy.json")
    remove(f"file://{tmp_path}/out")
    file = f"{tmp_path}/out/config.json"
    assert calls == [("local", file, "written"), ("local", file, "read"), ("local", f"{tmp_path}/out", "removed")]
    assert (tmp_path / "copy.json").read_text() == "{}" and not (tmp_path / "out").exists()


def test_a_large_file_is_copied_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 100_000)  # 25.6 MB
    push(tmp_path / "a.bin", DISK, f"{tmp_path}/b.bin")
    assert (tmp_path / "b.bin").read_bytes() == (tmp_path / "a.bin").read_bytes()


@pytest.mark.parametrize("fault", ["missing", "short"])
def test_the_last_file_is_not_copied_when_another_did_not_arrive(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def lose(file: Path, fs: pafs.FileSystem, path: str) -> None:
        if file.name != "model.safetensors":
            push(file, fs, path)
        elif fault == "short":
            put(fs, path, b"w" * 99)

    (tmp_path / "out/adapter").mkdir(parents=True)
    monkeypatch.setattr(transfer, "push", lose)
    with pytest.raises(StoreError, match=r"out is incomplete \(model.safetensors\): run the same command again"):
        upload(policy, f"file://{tmp_path}/out", "config.json")
    assert (tmp_path / "out/adapter/a.json").exists() and not (tmp_path / "out/config.json").exists()


def test_weights_in_a_store_are_fetched_once_and_again_when_they_change(store: str, policy: Path) -> None:
    uri = f"{store}/runs/policy"
    upload(policy, uri, "config.json")
    copy = resolve(uri)
    assert copy.name == "policy" and weights_digest(copy) == weights_digest(policy)
    (copy / "mark").touch()
    assert (resolve(uri) / "mark").exists()
    fs, path = filesystem(uri)
    put(fs, f"{path}/model.safetensors", b"others")
    assert (resolve(uri) / "model.safetensors").read_bytes() == b"others"
    assert resolve(f"{uri}/config.json").read_text() == "{}"
    assert resolve(f"{uri}/adapter/a.json#sha256={weights_digest(policy / 'adapter/a.json')}").read_text() == "[]"


def test_weights_that_a_store_does_not_have_are_an_error(store: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"s3://roundtrip/none .*there is nothing at s3://roundtrip/none"):
        resolve(f"{store}/none")
    assert not (tmp_path / "cache/fetched").exists()
    remove(f"{store}/none")
