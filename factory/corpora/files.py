"""The files of a corpus: which there are, which are passed over, and what tells a changed one from the old."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow.fs as pafs

from factory.storage.files import files_below

READ_WHOLE = 2**30
"""Bytes up to which a corpus on a disk counts by what its files hold; a larger one by their sizes and times."""
IN_PARALLEL = 16
"""Files that are read at the same time: an object store answers slowly, but many requests at once."""


class File(NamedTuple):
    """A file of a corpus: its path in its file system, size in bytes and time of the last change in ns."""

    path: str
    size: int
    mtime_ns: int


class Files(NamedTuple):
    """The files of a corpus, sorted by path, and by reason how many are passed over.

    `beside` are recordings that are part of it where its rows name them.
    """

    found: list[File]
    left_out: Counter[str]
    beside: Sequence[File] = ()


def list_files(fs: pafs.FileSystem, root: str) -> Files:
    """List the files of a folder, or the one file.

    Hidden ones, `__MACOSX`, broken links and names that are no UTF-8 are passed over.
    """
    left_out: Counter[str] = Counter()
    found = []
    for file in _walk(Path(root), left_out) if isinstance(fs, pafs.LocalFileSystem) else _listed(fs, root):
        inside = PurePosixPath(file.path.removeprefix(root)).parts if file.path != root else ()
        if "__MACOSX" in inside:
            left_out["in __MACOSX"] += 1
        elif any(part.startswith(".") for part in inside):
            left_out["hidden"] += 1
        else:
            found.append(file)
    return Files(sorted(found), left_out)


def _listed(fs: pafs.FileSystem, root: str) -> Iterator[File]:
    for info in files_below(fs, root):
        yield File(info.path, info.size or 0, info.mtime_ns or 0)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[File]:
    """Walk a folder on a disk, linked folders too; a folder that links to one above it is entered once."""
    if file := _file_at(str(root)):
        yield file
        return
    seen = set()
    unopened = partial(_count, left_out, "folder that cannot be opened")
    for folder, folders, names in os.walk(root, followlinks=True, onerror=unopened):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        for name in names:
            path = os.path.join(folder, name)
            if _is_undecodable(path):
                left_out["name that is no UTF-8"] += 1
            elif file := _file_at(path):
                yield file
            else:
                left_out["broken link" if os.path.islink(path) else "no file that can be opened"] += 1


def _count(left_out: Counter[str], reason: str, _: OSError) -> None:
    left_out[reason] += 1


def _file_at(path: str) -> File | None:
    """Return the file at a path of this machine, None where none is: also for a name that is too long, or a pipe."""
    try:
        told = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null byte, a lone surrogate
        return None
    return File(path, told.st_size, told.st_mtime_ns) if stat.S_ISREG(told.st_mode) else None


def _is_undecodable(path: str) -> bool:
    """Whether a path holds bytes that are no UTF-8: neither Arrow nor JSON can name such a file."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def files_at(fs: pafs.FileSystem, paths: Sequence[str]) -> dict[str, File]:
    """Return those of the paths that are files; one that no file can have is none."""
    if isinstance(fs, pafs.LocalFileSystem):
        return {path: file for path in paths if (file := _file_at(path))}
    possible = [path for path in paths if "\0" not in path]
    infos = fs.get_file_info(possible)
    return {info.path: File(info.path, info.size, info.mtime_ns or 0) for info in infos if info.is_file}


def uri_of(path: str, like: str) -> str:
    """Return the URI of a path in the file system of the URI `like`, with its options: a worker finds it by that alone."""
    scheme, found, rest = like.partition("://")
    if not found or scheme == "file":
        return path
    _, mark, options = rest.partition("?")
    return f"{scheme}://{path}{mark}{options}"


def path_inside(root: str, folder: str, path: str) -> str | None:
    """Return the path that `path` in a file of `folder` leads to, None where it leads out of `root`."""
    inside = os.path.relpath(PurePosixPath(folder) / path, root)
    return None if PurePosixPath(inside).parts[:1] == ("..",) else f"{root}/{inside}"


def stamps(fs: pafs.FileSystem, files: Sequence[File]) -> list[list[str | int]]:
    """Return for each file what tells it from a changed one: its digest, or its size and time (see READ_WHOLE)."""
    if isinstance(fs, pafs.LocalFileSystem) and sum(file.size for file in files) <= READ_WHOLE:
        with ThreadPoolExecutor(IN_PARALLEL) as threads:
            return [[digest] for digest in threads.map(_digest, files)]
    return [[file.size, file.mtime_ns] for file in files]


def _digest(file: File) -> str:
    try:
        with open(file.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:  # a recording that cannot be read becomes a row with that reason
        return type(error).__name__


def summarise_left_out(left_out: Counter[str]) -> str:
    """Return what is left out as text, the most frequent reason first: `.txt without a recording 3, hidden 1`."""
    return ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    )
