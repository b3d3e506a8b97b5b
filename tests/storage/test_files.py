"""Files appear whole or not at all, on full disks and in failing stores; errors name the path and the fix."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from factory.storage import files
from factory.storage.files import (
    delete,
    exists,
    files_below,
    filesystem,
    get,
    get_head,
    get_json,
    look,
    parquet_files,
    put,
    put_json,
    put_table,
    retry,
    set_aside_if_torn,
    sweep,
)
from factory.storage.manifest import StoreError
from tests.s3 import Faults, failing_s3_server

DISK = pafs.LocalFileSystem()
STORE = pafs.SubTreeFileSystem("/", DISK)
"""A file system that counts as a store: calls are repeated."""


def open_torn(self: object, path: str) -> pa.NativeFile:
    return pa.PythonFile(io.BytesIO(b"torn"), mode="r")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let nobody wait, and return the seconds that were waited."""
    waited: list[float] = []
    monkeypatch.setattr(files.time, "sleep", waited.append)
    return waited


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Limit every file to `size` bytes: a write fails in the middle of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(*errors: OSError) -> tuple[Callable[[], str], list[OSError]]:
    """Return a call that raises these errors in turn and then succeeds, and the errors that are left."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call, left


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for uri in ("runs/X", "~/runs/X", f"{tmp_path}/runs/X", f"file://{tmp_path}/runs/X/"):
        fs, path = filesystem(uri)
        assert isinstance(fs, pafs.LocalFileSystem) and path == f"{tmp_path}/runs/X"


@pytest.mark.service  # the client of S3 hangs in a forked process
def test_a_uri_may_have_options() -> None:
    for uri in ("s3://bucket/a?region=x", "s3://bucket/a?endpoint_override=127.0.0.1:1&region=x"):
        fs, path = filesystem(uri)
        options = fs.__reduce__()[1][0]
        assert fs.type_name == "s3" and path == "bucket/a"
        assert options["region"] == "x" and options["allow_delayed_open"], "a small file then takes one request"


def test_storage_of_fsspec_is_read_and_written() -> None:
    fs, path = filesystem("memory://bucket/a.json")
    put_json(fs, path, {"rows": 1})
    assert get_json(fs, path) == {"rows": 1} and exists("memory://bucket/a.json")
    delete(fs, path)
    assert not exists("memory://bucket/a.json")


def test_an_unknown_kind_of_storage_is_refused() -> None:
    message = r"^nowhere://x is no known kind of storage \(Protocol not known: nowhere\): give a path, s3://, gs://"
    with pytest.raises(StoreError, match=message):
        filesystem("nowhere://x")


def test_storage_that_cannot_be_opened_is_refused() -> None:
    refused = r"(?s)^hdfs://x/y could not be opened: .*(libjvm|libhdfs).*; free some space or repair"
    with pytest.raises(StoreError, match=refused):
        filesystem("hdfs://x/y")


def test_the_home_of_an_unknown_user_is_refused() -> None:
    message = r"^~no-such-user/runs is no path: Could not determine home directory.; give the path of the folder$"
    with pytest.raises(StoreError, match=message):
        filesystem("~no-such-user/runs")


def test_a_file_is_written_read_and_deleted(tmp_path: Path) -> None:
    path = f"{tmp_path}/deep/folder/a.bin"
    assert not exists(path) and look(DISK, path).type == pafs.FileType.NotFound
    with pytest.raises(FileNotFoundError):
        get(DISK, path)
    put(DISK, path, b"first")
    put(DISK, path, pa.py_buffer(b"second"))
    assert exists(path) and not exists(f"{tmp_path}/deep")
    assert get(DISK, path) == b"second" and get_head(DISK, path, 3) == b"sec" and get_head(DISK, path, 99) == b"second"
    assert os.listdir(tmp_path / "deep/folder") == ["a.bin"]
    delete(DISK, path)
    delete(DISK, path)
    assert not exists(path)


def test_a_compressed_file_is_decompressed_but_not_its_head(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.json.gz"
    put(DISK, path, gzip.compress(b'{"a": 1}'))
    assert get_json(DISK, path) == {"a": 1} and get_head(DISK, path, 2) == b"\x1f\x8b"


def test_json_is_readable_text(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.json"
    put_json(DISK, path, {"name": "Élan", "rows": [1]})
    assert Path(path).read_text("utf-8") == '{\n  "name": "Élan",\n  "rows": [\n    1\n  ]\n}'
    assert get_json(DISK, path) == {"name": "Élan", "rows": [1]}
    assert get_json(DISK, f"{tmp_path}/none.json") is None


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"rows": 1')
    with pytest.raises(StoreError, match=r"a.json is not complete JSON \(.*\): delete it, or its folder, and run"):
        get_json(DISK, f"{tmp_path}/a.json")


def test_a_table_is_written_with_zstandard(tmp_path: Path) -> None:
    put_table(DISK, f"{tmp_path}/a.parquet", pa.table({"n": [1, 2]}))
    parquet = pq.ParquetFile(tmp_path / "a.parquet")
    assert parquet.read().to_pydict() == {"n": [1, 2]}
    assert parquet.metadata.row_group(0).column(0).compression == "ZSTD"


def test_files_are_listed_in_order_and_hidden_ones_are_no_parquet(tmp_path: Path) -> None:
    names = [
        "b.parquet",
        "a/c.parquet",
        "X.parquet",
        "a/.d.parquet",
        "_torn-e.parquet",
        "f.json",
        "_manifest.json",
        ".g.tmp",
    ]
    for name in names:
        put(DISK, f"{tmp_path}/{name}", b"")
    (tmp_path / "empty.parquet").mkdir()
    below = [os.path.relpath(file.path, tmp_path) for file in files_below(DISK, str(tmp_path))]
    assert below == sorted(names)
    assert [os.path.relpath(file.path, tmp_path) for file in parquet_files(DISK, str(tmp_path))] == [
        "X.parquet",
        "a/c.parquet",
        "b.parquet",
    ]


def test_a_file_is_listed_by_itself_and_a_missing_folder_is_empty(tmp_path: Path) -> None:
    put(DISK, f"{tmp_path}/_a.bin", b"")
    for listed in (files_below, parquet_files):
        assert [file.path for file in listed(DISK, f"{tmp_path}/_a.bin")] == [f"{tmp_path}/_a.bin"]
        assert listed(DISK, f"{tmp_path}/none") == []


def test_a_sweep_removes_temporary_files_of_the_folder_alone(tmp_path: Path) -> None:
    names = [".part-1.parquet.abcd.tmp", "kept.tmp", ".kept", "sub/.kept.tmp"]
    for name in names:
        put(DISK, f"{tmp_path}/{name}", b"")
    sweep(STORE, str(tmp_path))
    assert len(files_below(DISK, str(tmp_path))) == 4
    sweep(DISK, str(tmp_path))
    assert [os.path.relpath(file.path, tmp_path) for file in files_below(DISK, str(tmp_path))] == sorted(names[1:])


def test_a_torn_parquet_file_is_renamed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = f"{tmp_path}/a.parquet"
    put_table(DISK, path, pa.table({"n": [1, 2]}))
    assert set_aside_if_torn(DISK, path) is False and exists(path)
    content = get(DISK, path)
    put(DISK, path, content[:-1])
    assert set_aside_if_torn(DISK, path)
    assert os.listdir(tmp_path) == ["_torn-a.parquet"] and get(DISK, f"{tmp_path}/_torn-a.parquet") == content[:-1]
    assert "a.parquet is not complete Parquet" in caplog.text and "renamed to _torn-a.parquet, its rows" in caplog.text


def test_a_parquet_file_with_a_broken_page_is_torn(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.parquet"
    pq.write_table(pa.table({"n": list(range(1000))}), path, compression="zstd")
    content = bytearray(get(DISK, path))
    content[40:80] = b"\0" * 40  # the footer is complete
    put(DISK, path, bytes(content))
    assert set_aside_if_torn(DISK, path)


def test_every_call_on_a_store_names_its_file_and_its_action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str, str]] = []

    def record(fs: pafs.FileSystem, path: str, action: str, call: Callable[[], object]) -> object:
        calls.append((fs.type_name, path.removeprefix(f"{tmp_path}"), action))
        return call()

    monkeypatch.setattr(files, "retry", record)
    path = f"{tmp_path}/a.parquet"
    put(DISK, path, b"torn")
    put(STORE, path, b"torn")
    assert get(DISK, path) == get_head(STORE, path, 9) == b"torn"
    assert look(DISK, path).is_file and len(files_below(DISK, str(tmp_path))) == 1
    assert set_aside_if_torn(DISK, path)
    delete(DISK, f"{tmp_path}/none")
    expected = {("local", "/a.parquet", "written"), ("subtree", "/a.parquet", "written")}
    expected |= {("local", "/a.parquet", "read"), ("subtree", "/a.parquet", "read")}
    expected |= {("local", "/a.parquet", "looked up"), ("local", "/a.parquet", "renamed")}
    expected |= {("local", "", "listed"), ("local", "/none", "deleted")}
    assert set(calls) >= expected
    assert {action for _, _, action in calls} == {"written", "read", "looked up", "listed", "renamed", "deleted"}


def test_a_failed_call_of_a_store_is_repeated_twice(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    call, left = failing(OSError("slow down"), TimeoutError("late"))
    assert retry(STORE, "bucket/a", "read", call) == "done"
    assert left == [] and pauses == [1.0, 4.0]
    assert "bucket/a could not be read (OSError); next attempt in 1 s" in caplog.text
    assert "bucket/a could not be read (TimeoutError); next attempt in 4 s" in caplog.text


def test_the_third_failure_is_an_error(pauses: list[float]) -> None:
    call, left = failing(*[OSError("slow down")] * 4)
    with pytest.raises(
        StoreError, match=r"^bucket/a could not be written: slow down; free some space or repair the st"
    ):
        retry(STORE, "bucket/a", "written", call)
    assert len(left) == 1


def test_a_failed_call_of_a_disk_is_not_repeated(pauses: list[float]) -> None:
    call, left = failing(OSError("no space"), OSError("no space"))
    with pytest.raises(StoreError, match=r"^/a could not be written: no space; .*run the same command again"):
        retry(DISK, "/a", "written", call)
    assert len(left) == 1 and pauses == []


def test_a_missing_file_is_no_failure(pauses: list[float]) -> None:
    call, left = failing(FileNotFoundError("a"), OSError("b"))
    with pytest.raises(FileNotFoundError):
        retry(STORE, "bucket/a", "read", call)
    assert len(left) == 1 and pauses == []


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("AWS Error ACCESS_DENIED during PutObject", "these credentials lack a permission: give them s3:ListBucket"),
        ("Permission denied", "these credentials lack a permission: give them the right to list, read, write"),
        ("AWS Error NO_SUCH_BUCKET", "the bucket does not exist: create it, or correct its name"),
        ("Bucket 'x' not found", "the bucket does not exist: create it, or correct its name"),
        ("INVALID_ACCESS_KEY_ID", "the store does not know this key: correct AWS_ACCESS_KEY_ID"),
        ("SIGNATURE_DOES_NOT_MATCH", "the secret does not belong to the key: correct AWS_SECRET_ACCESS_KEY"),
        ("REQUEST_TIME_TOO_SKEWED", "the clock of this machine differs"),
        ("NO_SUCH_KEY", "free some space or repair the store"),
    ],
)
def test_an_error_that_does_not_pass_is_not_repeated(pauses: list[float], message: str, hint: str) -> None:
    call, left = failing(OSError(message), OSError(message))
    with pytest.raises(StoreError, match=f"; {hint}"):
        retry(STORE, "bucket/a", "read", call)
    assert len(left) == 1 and pauses == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.bin"
    put(DISK, path, b"before")
    with small_disk(10), pytest.raises(StoreError, match=r"a.bin could not be written: .*File too large.*free some"):
        put(DISK, path, b"x" * 100)
    assert os.listdir(tmp_path) == ["a.bin"] and get(DISK, path) == b"before"


def test_a_file_is_synced_under_a_temporary_name_before_it_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, renamed = [], []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), sync(file)))
    monkeypatch.setattr(files.os, "replace", lambda old, new: (renamed.append(old.name), rename(old, new)))
    put(DISK, f"{tmp_path}/a.bin", b"x" * 100)
    assert synced == [100], "all bytes are on their way before the sync"
    assert len(renamed) == 1 and re.fullmatch(r"\.a\.bin\.[0-9a-f]{8}\.tmp", renamed[0])


def refusing(**working: object) -> pafs.FileSystem:
    """Return a file system whose calls are refused, except for those that are given."""

    def refuse(self: object, *arguments: object, **options: object) -> None:
        raise OSError("ACCESS_DENIED")

    methods = dict.fromkeys(pafs.FileSystemHandler.__abstractmethods__, refuse)
    methods |= {"get_type_name": lambda self: "toy", "normalize_path": lambda self, path: path} | working
    return pafs.PyFileSystem(type("Refusing", (pafs.FileSystemHandler,), methods)())


def infos(self: object, paths: list[str]) -> list[pafs.FileInfo]:
    return [pafs.FileInfo(path, pafs.FileType.Directory) for path in paths]


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (lambda: look(refusing(), "b/a"), "looked up"),
        (lambda: get(refusing(), "b/a"), "read"),
        (lambda: get_head(refusing(), "b/a", 3), "read"),
        (lambda: put(refusing(), "b/a", b"x"), "written"),
        (lambda: delete(refusing(), "b/a"), "deleted"),
        (lambda: files_below(refusing(get_file_info=infos), "b/a"), "listed"),
        (lambda: set_aside_if_torn(refusing(open_input_stream=open_torn), "b/a"), "renamed"),
    ],
)
def test_an_error_names_the_path_and_the_action(call: Callable[[], object], action: str) -> None:
    with pytest.raises(StoreError, match=f"^b/a could not be {action}: ACCESS_DENIED"):
        call()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[pafs.FileSystem, str, Faults]]:
    """A bucket of a real S3 server that can fail."""
    monkeypatch.setattr(files, "PAUSES_S", (0.1,))
    with failing_s3_server() as (uri, faults):
        yield *filesystem(uri), faults


def test_a_store_that_fails_for_a_while_gets_the_file(store: tuple[pafs.FileSystem, str, Faults]) -> None:
    fs, bucket, faults = store
    assert filesystem(f"s3://{bucket}/runs/")[1] == f"{bucket}/runs"
    faults.failures = 35  # Arrow itself makes 31 attempts per call
    put(fs, f"{bucket}/a.json", b"{}")
    assert faults.failures == 0 and get_json(fs, f"{bucket}/a.json") == {}


def test_a_store_that_keeps_failing_is_an_error(
    store: tuple[pafs.FileSystem, str, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, bucket, faults = store
    monkeypatch.setattr(files, "PAUSES_S", ())
    faults.failures = 1000
    with pytest.raises(StoreError, match=r"/a.json could not be written: .*run the same command again"):
        put(fs, f"{bucket}/a.json", b"{}")
    assert files_below(fs, bucket) == []


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("AccessDenied", r"these credentials lack a permission: give them s3:ListBucket"),
        ("SignatureDoesNotMatch", "correct AWS_SECRET_ACCESS_KEY"),
        ("InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_a_store_refuses_is_reported_at_once(
    store: tuple[pafs.FileSystem, str, Faults], code: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    fs, bucket, faults = store
    faults.status, faults.code, faults.failures = "403 Forbidden", code, 1000
    with pytest.raises(StoreError, match=rf"/a.json could not be written: .*{hint}"):
        put(fs, f"{bucket}/a.json", b"{}")
    assert "next attempt" not in caplog.text
    faults.method = "HEAD"
    with pytest.raises(StoreError, match=r"could not be looked up: .*lack a permission"):
        look(fs, f"{bucket}/a.json")


def test_a_bucket_that_does_not_exist_is_named(store: tuple[pafs.FileSystem, str, Faults]) -> None:
    fs, _, _ = store
    with pytest.raises(StoreError, match="the bucket does not exist: create it, or correct its name"):
        put(fs, "no-such-bucket-here/a.json", json.dumps({}).encode())
