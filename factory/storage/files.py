"""Files by URI, on a disk or in an object store. A file appears whole or not at all."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.storage.manifest import StoreError

T = TypeVar("T")
log = logging.getLogger(__name__)

PAUSES_S = (1.0, 4.0)
"""Seconds before each repeated call of an object store; within a call Arrow repeats a request for about 7 s."""
_RIGHTS = "give them s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"
_HINTS = {
    "ACCESS_DENIED": f"these credentials lack a permission: {_RIGHTS}",
    "Permission": "these credentials lack a permission: give them the right to list, read, write and delete there",
    "NO_SUCH_BUCKET": "the bucket does not exist: create it, or correct its name",
    "Bucket '": "the bucket does not exist: create it, or correct its name",
    "INVALID_ACCESS_KEY": "the store does not know this key: correct AWS_ACCESS_KEY_ID, or AWS_PROFILE",
    "SIGNATURE_DOES_NOT_MATCH": "the secret does not belong to the key: correct AWS_SECRET_ACCESS_KEY",
    "TIME_TOO_SKEWED": "the clock of this machine differs by more than the store allows (15 minutes): set it",
    "NO_SUCH_KEY": "",
}
"""Part of an error message -> what fixes the error, for errors that a repeated call does not fix."""
_REPEAT = "free some space or repair the store, then run the same command again: files that are written are kept"


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URI or of a local path, and the path in that file system.

    Arrow serves `s3://`, `gs://` and `file://`; fsspec serves every other scheme whose package is installed.
    `AWS_ENDPOINT_URL` and the other AWS variables point `s3://` to another server. Raises StoreError for an unknown
    scheme, and when the store refuses.
    """
    if "://" not in uri:
        return pafs.LocalFileSystem(), _absolute(uri)
    uri = uri.rstrip("/")
    if uri.startswith("s3://"):  # a small file then takes one request instead of three
        uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    try:
        return cast("tuple[pafs.FileSystem, str]", pafs.FileSystem.from_uri(uri))
    except pa.ArrowInvalid:
        return _from_fsspec(uri)
    except OSError as error:
        raise StoreError(f"{uri} could not be opened: {error}; {_final_hint(error) or _REPEAT}") from error


def _absolute(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:  # ~NAME of an unknown user
        raise StoreError(f"{path} is no path: {error}; give the path of the folder") from error


def _from_fsspec(uri: str) -> tuple[pafs.FileSystem, str]:
    import fsspec

    try:
        fs, path = fsspec.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        hint = "give a path, s3://, gs://, or a URI of an installed fsspec package"
        raise StoreError(f"{uri} is no known kind of storage ({error}): {hint}") from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), path


def look(fs: pafs.FileSystem, path: str) -> pafs.FileInfo:
    """Return the type, size and time of a path, which may not exist; raise StoreError if the store does not answer."""
    return retry(fs, path, "looked up", lambda: fs.get_file_info(path))


def exists(uri: str) -> bool:
    """Return whether a URI names a file."""
    return bool(look(*filesystem(uri)).is_file)


def retry(fs: pafs.FileSystem, path: str, action: str, call: Callable[[], T]) -> T:
    """Return the result of a call on a file; repeat a failed call of an object store after each of `PAUSES_S`.

    Args:
        fs: The file system; calls of a local disk are not repeated.
        path: The path in it, for messages.
        action: A past participle for messages: PATH could not be `written`.
        call: The call.

    Raises:
        StoreError: The last call failed, or one failed for a reason that a repeated call does not fix.
        FileNotFoundError: There is no such file.
    """
    for pause in (*(() if isinstance(fs, pafs.LocalFileSystem) else PAUSES_S), None):
        try:
            return call()
        except FileNotFoundError:
            raise
        except OSError as error:
            hint = _final_hint(error)
            if pause is None or hint is not None:
                raise StoreError(f"{path} could not be {action}: {error}; {hint or _REPEAT}") from error
            log.warning("%s could not be %s (%s); next attempt in %g s", path, action, type(error).__name__, pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


def _final_hint(error: Exception) -> str | None:
    """Return what fixes an error that a repeated call does not fix, None for an error that may pass by itself."""
    return next((hint for part, hint in _HINTS.items() if part in str(error)), None)


def put(fs: pafs.FileSystem, path: str, blob: bytes | pa.Buffer) -> None:
    """Write a file that appears whole or not at all.

    On a disk it is synced and renamed; in an object store an object appears when its upload ends. Raises StoreError
    with the path when the disk is full or the store keeps failing; nothing is left behind then.
    """
    if isinstance(fs, pafs.LocalFileSystem):
        retry(fs, path, "written", lambda: _put_on_disk(Path(path), blob))
    else:
        retry(fs, path, "written", lambda: _put_in_store(fs, path, blob))


def _put_in_store(fs: pafs.FileSystem, path: str, blob: bytes | pa.Buffer) -> None:
    with fs.open_output_stream(path) as stream:
        stream.write(blob)


def _put_on_disk(path: Path, blob: bytes | pa.Buffer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(blob)
            stream.flush()
            os.fsync(stream.fileno())  # else a power failure could keep the name and lose the bytes
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(fs: pafs.FileSystem, folder: str) -> None:
    """Remove the temporary files of killed writers from a folder on a disk; only the folder's writer may call it."""
    if isinstance(fs, pafs.LocalFileSystem):
        for temporary in Path(folder).glob(".*.tmp"):
            temporary.unlink(missing_ok=True)


def delete(fs: pafs.FileSystem, path: str) -> None:
    """Delete a file, which may not exist; raise StoreError when the store refuses."""
    with suppress(FileNotFoundError):
        retry(fs, path, "deleted", lambda: fs.delete_file(path))


def put_json(fs: pafs.FileSystem, path: str, value: object) -> None:
    """Write a value as indented JSON; the file appears whole or not at all."""
    put(fs, path, json.dumps(value, indent=2, ensure_ascii=False).encode())


def get_json(fs: pafs.FileSystem, path: str) -> Any:
    """Return the value of a JSON file, None where there is no such file; raise StoreError for a broken file."""
    try:
        return json.loads(get(fs, path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        hint = "delete it, or its folder, and run the same command again"
        raise StoreError(f"{path} is not complete JSON ({error}): {hint}") from error


def get(fs: pafs.FileSystem, path: str) -> bytes:
    """Return the content of a file; raise FileNotFoundError where there is none, StoreError when it cannot be read."""
    return retry(fs, path, "read", lambda: _get(fs, path, None, "detect"))


def get_head(fs: pafs.FileSystem, path: str, size: int) -> bytes:
    """Return the first bytes of a file, at most `size`, without decompression; raise as `get` does."""
    return retry(fs, path, "read", lambda: _get(fs, path, size, None))


def _get(fs: pafs.FileSystem, path: str, size: int | None, compression: str | None) -> bytes:
    with fs.open_input_stream(path, compression=compression) as stream:
        return bytes(stream.read(size))


def put_table(fs: pafs.FileSystem, path: str, table: pa.Table) -> None:
    """Write a table as a Parquet file that appears whole or not at all. It is encoded in memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put(fs, path, sink.getvalue())


def parquet_files(fs: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    """List the Parquet files of a folder, sorted by path, or the one file at the path.

    Names in a folder that begin with `.` or `_` are left out: these are temporary, torn or no data.
    """
    if (info := look(fs, path)).is_file:
        return [info]
    return [file for file in files_below(fs, path) if file.extension == "parquet" and file.base_name[0] not in "._"]


def files_below(fs: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    """List all files of a folder and its subfolders, sorted by path, or the one file at the path; there may be none."""
    info = look(fs, path)
    if info.is_file:
        return [info]
    selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
    infos = retry(fs, path, "listed", lambda: fs.get_file_info(selector))
    return sorted((file for file in infos if file.is_file), key=lambda file: file.path)


def set_aside_if_torn(fs: pafs.FileSystem, path: str) -> bool:
    """Rename a file that is not complete Parquet to `_torn-NAME`, and return whether it was renamed.

    Raises StoreError when the file cannot be read at all.
    """
    blob = get(fs, path)
    try:
        pq.ParquetFile(io.BytesIO(blob)).read()
    except (pa.ArrowException, OSError) as error:
        name = f"_torn-{PurePosixPath(path).name}"
        log.warning("%s is not complete Parquet (%s): renamed to %s, its rows are made again", path, error, name)
        retry(fs, path, "renamed", lambda: fs.move(path, str(PurePosixPath(path).with_name(name))))
        return True
    return False
