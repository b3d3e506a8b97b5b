"""Copies of folders between an object store and the disk of this machine.

A download is complete or absent. An upload is complete when its last file is there.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from uuid import uuid4

import pyarrow.fs as pafs

from factory.storage.files import files_below, filesystem, look, retry
from factory.storage.manifest import StoreError
from schemas.fingerprint import json_digest

_CHUNK_BYTES = 8 << 20
_THREADS = 8


def fetch(uri: str, cache: Path) -> Path:
    """Return a copy of the file or folder at a URI, in the folder `cache`.

    A copy is used again as long as the names, sizes and times of the files in the store are the same; an outdated
    copy is removed. Raises StoreError when there is nothing at the URI, or the store refuses.
    """
    fs, path = filesystem(uri)
    files = _list_files(fs, path)
    if not files:
        raise StoreError(f"there is nothing at {uri}: expected a file or a folder with files")
    copies = cache / json_digest(uri)
    copy = copies / json_digest([(name, info.size, info.mtime_ns) for name, info in files.items()])
    target = copy / PurePosixPath(path).name
    if not target.exists():
        outdated = [other for other in copies.glob("*") if not other.name.startswith(".")]
        partial = copies / f".{copy.name}.{uuid4().hex[:8]}"
        download(uri, partial / target.name)
        _settle(partial, copy)
        for other in outdated:
            shutil.rmtree(other, ignore_errors=True)
    return target


def _settle(partial: Path, copy: Path) -> None:
    """Give a complete copy its name; remove it when another process was first, because the two are equal."""
    try:
        os.replace(partial, copy)
    except OSError as error:
        shutil.rmtree(partial)
        if not copy.exists():
            raise StoreError(f"{copy} could not be written: {error}; make its folder writable") from error


def download(uri: str, target: Path, without: str | None = None) -> None:
    """Copy the file or folder at a URI to a path; copy nothing when there is nothing.

    Args:
        uri: A file or folder.
        target: Path of the copy itself, not of its parent.
        without: Name of a subfolder that is left out.
    """
    fs, path = filesystem(uri)
    for_each = {name: info.path for name, info in _list_files(fs, path).items() if name.split("/")[0] != without}
    files = {target / name if name else target: source for name, source in for_each.items()}
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda item: retry(fs, item[1], "read", lambda: _pull(fs, item[1], item[0])), files.items()))


def upload(folder: Path, uri: str, last: str) -> None:
    """Copy a folder to a URI.

    Args:
        folder: A folder on this disk.
        uri: The folder to write.
        last: Name of the file by which readers recognise a complete copy. It is copied when all others have arrived
            in full size.

    Raises:
        StoreError: The store refuses, or a file did not arrive in full size.
    """
    fs, path = filesystem(uri)
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    others = {name: file for name, file in files.items() if name != last}
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda item: push(item[1], fs, f"{path}/{item[0]}"), others.items()))
    sizes = {name: info.size for name, info in _list_files(fs, path).items()}
    if incomplete := [name for name, file in others.items() if sizes.get(name) != file.stat().st_size]:
        raise StoreError(f"{uri} is incomplete ({', '.join(incomplete[:3])}): run the same command again")
    push(folder / last, fs, f"{path}/{last}")


def push(file: Path, fs: pafs.FileSystem, path: str) -> None:
    """Copy a file from this disk to a store, where it appears when complete; raise StoreError if the store refuses."""
    retry(fs, path, "written", lambda: _push(file, fs, path))


def remove(uri: str) -> None:
    """Remove the folder at a URI with all its files; it may not exist."""
    fs, path = filesystem(uri)
    if look(fs, path).type != pafs.FileType.NotFound:
        retry(fs, path, "removed", lambda: fs.delete_dir(path))


def _list_files(fs: pafs.FileSystem, path: str) -> dict[str, pafs.FileInfo]:
    """Return the files of a folder by their relative path, or the one file by an empty name."""
    return {info.path.removeprefix(path).lstrip("/"): info for info in files_below(fs, path)}


def _push(file: Path, fs: pafs.FileSystem, path: str) -> None:
    with file.open("rb") as source, fs.open_output_stream(path) as sink:
        while chunk := source.read(_CHUNK_BYTES):
            sink.write(chunk)


def _pull(fs: pafs.FileSystem, path: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with fs.open_input_stream(path) as source, file.open("wb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK_BYTES)
