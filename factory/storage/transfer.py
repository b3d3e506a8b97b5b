"""Folders between an object store and this machine's disk: what comes down is there whole or not at all, what goes up by its last file."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.fs as pafs

from factory.storage.files import files_below, filesystem, look, trying
from factory.storage.manifest import StoreError

_CHUNK = 8 << 20
_AT_ONCE = 8


def fetched(uri: str, kept: Path) -> Path:
    """Return a copy on this disk of the file or folder at a URI, below the folder `kept`; one that is as the store has it is used again,
    and one that is not goes.

    Raises StoreError when nothing is at the URI, or the store does not give it.
    """
    fs, path = filesystem(uri)
    files = _listed(fs, path)
    if not files:
        raise StoreError(f"nothing is at {uri}: expected a file or a folder of files")
    mine = kept / _digest(uri)
    state = mine / _digest([(name, info.size, info.mtime_ns) for name, info in files.items()])
    place = state / path.rstrip("/").rsplit("/", 1)[-1]
    if not place.exists():
        before = [other for other in mine.glob("*") if not other.name.startswith(".")]
        near = mine / f".{state.name}.{uuid4().hex[:8]}"
        download(uri, near / place.name)
        _settle(near, state)
        for other in before:
            shutil.rmtree(other, ignore_errors=True)
    return place


def _settle(near: Path, place: Path) -> None:
    """Put a complete copy in its place; where another process was first, theirs is as good."""
    try:
        os.replace(near, place)
    except OSError:
        shutil.rmtree(near)


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def download(uri: str, to: Path, without: str | None = None) -> None:
    """Copy the file or folder at a URI to the path `to`, but for its folder `without`; where nothing is there, nothing is written."""
    fs, path = filesystem(uri)
    listed = {
        name: info for name, info in _listed(fs, path).items() if without is None or name.split("/")[0] != without
    }
    files = {to / name if name else to: info.path for name, info in listed.items()}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda item: trying(fs, item[1], "read", lambda: _pull(fs, item[1], item[0])), files.items()))


def upload(folder: Path, uri: str, last: str) -> None:
    """Copy a folder to a URI; its file `last`, by which readers know that it is whole, goes when all others are there at their sizes.

    Raises StoreError when the store does not take it.
    """
    fs, path = filesystem(uri)
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    others = {name: file for name, file in files.items() if name != last}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda item: push(item[1], fs, f"{path}/{item[0]}"), others.items()))
    there = {name: info.size for name, info in _listed(fs, path).items()}
    if torn := [name for name, file in others.items() if there.get(name) != file.stat().st_size]:
        raise StoreError(f"{uri} did not arrive whole ({', '.join(torn[:3])}): run the same command again")
    push(folder / last, fs, f"{path}/{last}")


def push(file: Path, fs: pafs.FileSystem, path: str) -> None:
    """Copy a file from this disk into a store, where it appears when it is whole; raises StoreError when the store does not take it."""
    trying(fs, path, "written", lambda: _push(file, fs, path))


def remove(uri: str) -> None:
    """Remove the folder at a URI with all that is in it; there may be none."""
    fs, path = filesystem(uri)
    if look(fs, path).type != pafs.FileType.NotFound:
        trying(fs, path, "removed", lambda: fs.delete_dir(path))


def _listed(fs: pafs.FileSystem, path: str) -> dict[str, pafs.FileInfo]:
    """Return the files of a folder by their names in it, or the one file by an empty name."""
    return {info.path.removeprefix(path).lstrip("/"): info for info in files_below(fs, path)}


def _push(file: Path, fs: pafs.FileSystem, path: str) -> None:
    with file.open("rb") as source, fs.open_output_stream(path) as sink:
        while chunk := source.read(_CHUNK):
            sink.write(chunk)


def _pull(fs: pafs.FileSystem, path: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with fs.open_input_stream(path) as source, file.open("wb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK)
