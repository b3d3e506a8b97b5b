"""Files by URI, on a disk and in an object store alike, written so that nobody ever sees half a file."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.storage.manifest import StoreError

T = TypeVar("T")
log = logging.getLogger(__name__)

PAUSES_S = (1.0, 4.0)
"""Seconds before an object store is asked again; each try has Arrow's own three attempts inside."""
_RIGHTS = "they need s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on what is in it"
_FINAL = {
    "ACCESS_DENIED": f"these credentials may not do that: {_RIGHTS}",
    "Permission": "these credentials may not do that: give them the right to list, read, write and delete there",
    "NO_SUCH_BUCKET": "there is no such bucket: make it, or mend its name",
    "Bucket '": "there is no such bucket: make it, or mend its name",
    "INVALID_ACCESS_KEY": "the store does not know this key: mend AWS_ACCESS_KEY_ID, or AWS_PROFILE",
    "SIGNATURE_DOES_NOT_MATCH": "the key's secret is another one: mend AWS_SECRET_ACCESS_KEY",
    "TIME_TOO_SKEWED": "the clock of this machine is off by more than the store allows (15 minutes): set it",
    "NO_SUCH_KEY": "",
}
"""What asking again does not mend, by a word of the error, and what does."""
_AGAIN = "make room or mend the store, then run the same command again: what is written is kept"


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URI or local path, and the path in it.

    `s3://`, `gs://` and `file://` are Arrow's own, any other scheme is looked up in fsspec, where its package is installed.
    `AWS_ENDPOINT_URL` and the other AWS variables point `s3://` at another server. Raises StoreError where nobody knows the scheme, and
    where the store refuses.
    """
    if "://" not in uri:
        return pafs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
    uri = uri.rstrip("/")
    if uri.startswith("s3://"):  # a small file is then one request and not three
        uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    try:
        return pafs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid:
        return _of_fsspec(uri)
    except OSError as error:
        raise StoreError(f"{uri} could not be opened: {error}; {_hint(error) or _AGAIN}") from error


def _of_fsspec(uri: str) -> tuple[pafs.FileSystem, str]:
    import fsspec

    try:
        fs, path = fsspec.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        known = "give a path, s3://, gs://, or what an installed fsspec package knows"
        raise StoreError(f"{uri} leads to no storage that is known here ({error}): {known}") from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), path


def look(fs: pafs.FileSystem, path: str) -> pafs.FileInfo:
    """Return what is at a path; raises StoreError where the store does not say."""
    return trying(fs, path, "looked up", lambda: fs.get_file_info(path))


def exists(uri: str) -> bool:
    """Whether there is a file at a URI."""
    return look(*filesystem(uri)).is_file


def put(fs: pafs.FileSystem, path: str, blob: bytes | pa.Buffer) -> None:
    """Write a file all or nothing: a synced file and a rename on a disk; in an object store an object appears when its upload ends.

    Raises StoreError with the path when the disk is full or the store keeps failing; nothing is then left behind.
    """
    if isinstance(fs, pafs.LocalFileSystem):
        trying(fs, path, "written", lambda: _put_on_disk(Path(path), blob))
    else:
        trying(fs, path, "written", lambda: _put_in_store(fs, path, blob))


def trying(fs: pafs.FileSystem, path: str, done: str, act: Callable[[], T]) -> T:
    """Call `act` and return its value. In an object store it is tried again when it fails, after `PAUSES_S`.

    Raises StoreError naming `path` and what could not be `done` with it; FileNotFoundError goes through.
    """
    for pause in (*(() if isinstance(fs, pafs.LocalFileSystem) else PAUSES_S), None):
        try:
            return act()
        except FileNotFoundError:
            raise
        except OSError as error:
            hint = _hint(error)
            if pause is None or hint is not None:
                raise StoreError(f"{path} could not be {done}: {error}; {hint or _AGAIN}") from error
            log.warning("%s could not be %s (%s); tried again in %g s", path, done, type(error).__name__, pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


def _hint(error: Exception) -> str | None:
    """Return what mends an error that asking again does not mend, None where it may pass by itself."""
    return next((hint for word, hint in _FINAL.items() if word in str(error)), None)


def _put_in_store(fs: pafs.FileSystem, path: str, blob: bytes | pa.Buffer) -> None:
    with fs.open_output_stream(path) as stream:
        stream.write(blob)


def _put_on_disk(path: Path, blob: bytes | pa.Buffer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with part.open("wb") as stream:
            stream.write(blob)
            stream.flush()
            os.fsync(stream.fileno())  # or a machine that loses power could keep the name and lose the bytes
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sweep(fs: pafs.FileSystem, folder: str) -> None:
    """Remove what killed writers left half-written in a folder on a disk; only the folder's one writer may call it."""
    if isinstance(fs, pafs.LocalFileSystem):
        for part in Path(folder).glob(".*.tmp"):
            part.unlink(missing_ok=True)


def put_json(fs: pafs.FileSystem, path: str, value: Any) -> None:
    """Write a value as readable JSON, all or nothing."""
    put(fs, path, json.dumps(value, indent=2, ensure_ascii=False).encode())


def get_json(fs: pafs.FileSystem, path: str) -> Any:
    """Return the value in a JSON file, None where there is no such file; raises StoreError with the path of a broken one."""
    try:
        return json.loads(get(fs, path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(
            f"{path} is no complete JSON ({error}): delete it, or the folder that it is in, and run again"
        ) from error


def get(fs: pafs.FileSystem, path: str) -> bytes:
    """Return what a file holds; raises FileNotFoundError where there is none, StoreError where the store does not give it."""
    return trying(fs, path, "read", lambda: _get(fs, path))


def _get(fs: pafs.FileSystem, path: str) -> bytes:
    with fs.open_input_stream(path) as stream:
        return stream.read()


def get_head(fs: pafs.FileSystem, path: str, size: int) -> bytes:
    """Return the first bytes of a file, at most `size`; raises as `get` does."""

    def head() -> bytes:
        with fs.open_input_stream(path, compression=None) as stream:
            return stream.read(size)

    return trying(fs, path, "read", head)


def put_table(fs: pafs.FileSystem, path: str, table: pa.Table) -> None:
    """Write a table as Parquet, all or nothing; it is encoded in memory, so it must fit there (one block does)."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put(fs, path, sink.getvalue())


def parquet_files(fs: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    """List the Parquet files of a folder (or the one file), sorted; hidden names and those that begin with `_` are left out."""
    if (info := look(fs, path)).is_file:
        return [info]
    return [file for file in files_below(fs, path) if file.extension == "parquet" and file.base_name[0] not in "._"]


def files_below(fs: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    """List all files of a folder (or the one file), sorted; there may be none."""
    info = look(fs, path)
    if info.is_file:
        return [info]
    selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
    found = trying(fs, path, "listed", lambda: fs.get_file_info(selector))
    return sorted((file for file in found if file.is_file), key=lambda file: file.path)


def set_aside_if_torn(fs: pafs.FileSystem, path: str) -> bool:
    """Rename a file that is no complete Parquet to `_torn-NAME` and say so; a file that cannot be fetched raises StoreError."""
    blob = get(fs, path)
    try:
        pq.ParquetFile(io.BytesIO(blob)).read()
    except (pa.ArrowException, OSError) as error:
        there = PurePosixPath(path)
        log.warning(
            "%s is no complete Parquet file (%s): set aside as _torn-%s, its rows are made again",
            path,
            error,
            there.name,
        )
        fs.move(path, str(there.with_name(f"_torn-{there.name}")))
        return True
    return False
