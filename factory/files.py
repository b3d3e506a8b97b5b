"""Files by URI, on a disk and in an object store alike, written so that nobody ever sees half a file."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

log = logging.getLogger(__name__)


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URI (`s3://`, `gs://`, `file://`) or local path, and the path in it.

    `AWS_ENDPOINT_URL` and the other AWS variables point `s3://` at another server.
    """
    if "://" not in uri:
        return pafs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
    return pafs.FileSystem.from_uri(uri.rstrip("/"))


def exists(uri: str) -> bool:
    """Whether there is a file at a URI."""
    fs, path = filesystem(uri)
    return fs.get_file_info(path).is_file


def put(fs: pafs.FileSystem, path: str, blob: bytes | pa.Buffer) -> None:
    """Write a file all or nothing: a rename on a disk; in an object store an object appears when its upload ends."""
    target = path
    if isinstance(fs, pafs.LocalFileSystem):
        folder, name = Path(path).parent, Path(path).name
        folder.mkdir(parents=True, exist_ok=True)
        target = str(folder / f".{name}.{uuid4().hex[:8]}.tmp")
    with fs.open_output_stream(target) as stream:
        stream.write(blob)
    if target != path:
        fs.move(target, path)


def put_json(fs: pafs.FileSystem, path: str, value: Any) -> None:
    """Write a value as readable JSON, all or nothing."""
    put(fs, path, json.dumps(value, indent=2, ensure_ascii=False).encode())


def get_json(fs: pafs.FileSystem, path: str) -> Any:
    """Return the value in a JSON file, None where there is no such file."""
    if not fs.get_file_info(path).is_file:
        return None
    with fs.open_input_stream(path) as stream:
        return json.loads(stream.read())


def put_table(fs: pafs.FileSystem, path: str, table: pa.Table) -> None:
    """Write a table as Parquet, all or nothing; it is encoded in memory, so it must fit there (one block does)."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put(fs, path, sink.getvalue())


def parquet_files(fs: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    """List the Parquet files of a folder (or the one file), sorted; hidden names and those that begin with `_` are left out."""
    info = fs.get_file_info(path)
    if info.is_file:
        return [info]
    found = fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    named = [file for file in found if file.is_file and file.extension == "parquet" and file.base_name[0] not in "._"]
    return sorted(named, key=lambda file: file.path)


def set_aside_if_torn(fs: pafs.FileSystem, path: str) -> bool:
    """Rename a file that is no complete Parquet to `_torn-NAME` and say so; a file that cannot be fetched raises OSError."""
    with fs.open_input_stream(path) as stream:
        blob = stream.read()
    try:
        pq.ParquetFile(io.BytesIO(blob)).read()
    except (pa.ArrowException, OSError) as error:
        there = PurePosixPath(path)
        log.warning("%s is no complete Parquet file (%s): set aside as _torn-%s, its rows are made again", path, error, there.name)
        fs.move(path, str(there.with_name(f"_torn-{there.name}")))
        return True
    return False
