"""The files of a corpus: lists them, counts the ones that are left out, and identifies their content."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow.fs as pafs

from factory.storage.files import files_below

MAX_HASHED_BYTES = 2**30
"""A corpus on a disk is identified by the content of its files up to this size, a larger one by sizes and times."""
THREADS = 16
"""Files that are read at the same time: an object store answers slowly, but takes many requests at once."""


class File(NamedTuple):
    """A file of a corpus: its path in its file system, its size in bytes and its last change in nanoseconds."""

    path: str
    size: int
    mtime_ns: int


class Files(NamedTuple):
    """The files of a corpus, sorted by path, and how many files are left out by reason.

    `recordings` belong to the corpus if its rows name them.
    """

    found: list[File]
    left_out: Counter[str]
    recordings: Sequence[File] = ()


def list_files(fs: pafs.FileSystem, root: str) -> Files:
    """List the files of a folder, or the one file.

    Hidden files, `__MACOSX`, broken links and names that are not UTF-8 are left out.
    """
    left_out: Counter[str] = Counter()
    found = []
    for file in _walk(Path(root), left_out) if isinstance(fs, pafs.LocalFileSystem) else _list_store(fs, root):
        parts = PurePosixPath(file.path.removeprefix(root)).parts if file.path != root else ()
        if "__MACOSX" in parts:
            left_out["in __MACOSX"] += 1
        elif any(part.startswith(".") for part in parts):
            left_out["hidden"] += 1
        else:
            found.append(file)
    return Files(sorted(found), left_out)


def _list_store(fs: pafs.FileSystem, root: str) -> Iterator[File]:
    for info in files_below(fs, root):
        yield File(info.path, info.size or 0, info.mtime_ns or 0)


def _walk(root: Path, left_out: Counter[str]) -> Iterator[File]:
    """Yield the files below a folder on a disk, linked folders too; a folder that links to its parent is read once."""
    if file := _stat(str(root)):
        yield file
        return

    def count_unreadable(_: OSError) -> None:
        left_out["folder that cannot be opened"] += 1

    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=count_unreadable):
        info = os.stat(folder)
        if (info.st_dev, info.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((info.st_dev, info.st_ino))
        for name in names:
            path = os.path.join(folder, name)
            if not _is_utf8(path):
                left_out["name that is not UTF-8"] += 1
            elif file := _stat(path):
                yield file
            else:
                left_out["broken link" if os.path.islink(path) else "not a regular file"] += 1


def _stat(path: str) -> File | None:
    """Return the file at a path of this machine; None for a folder, a pipe, a missing file or an impossible name."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null byte, a lone surrogate
        return None
    return File(path, info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else None


def _is_utf8(path: str) -> bool:
    """Return whether a path is UTF-8: neither Arrow nor JSON can hold the name of another file."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_files(fs: pafs.FileSystem, paths: Sequence[str]) -> dict[str, File]:
    """Return the files among these paths, by path."""
    if isinstance(fs, pafs.LocalFileSystem):
        return {path: file for path in paths if (file := _stat(path))}
    infos = fs.get_file_info([path for path in paths if "\0" not in path])
    return {info.path: File(info.path, info.size, info.mtime_ns or 0) for info in infos if info.is_file}


def make_uri(path: str, like: str) -> str:
    """Return the URI of a path in the file system of the URI `like`, with the same options; workers need no more."""
    scheme, separator, rest = like.partition("://")
    if not separator or scheme == "file":
        return path
    _, mark, options = rest.partition("?")
    return f"{scheme}://{path}{mark}{options}"


def resolve_inside(root: str, folder: str, path: str) -> str | None:
    """Resolve `path`, which a file in `folder` names; return None if it leads out of `root`."""
    inside = os.path.relpath(PurePosixPath(folder) / path, root)
    return None if PurePosixPath(inside).parts[:1] == ("..",) else f"{root}/{inside}"


def identify_files(fs: pafs.FileSystem, files: Sequence[File]) -> list[list[str | int]]:
    """Return for each file the digest of its content, or its size and time if they are large (`MAX_HASHED_BYTES`)."""
    if isinstance(fs, pafs.LocalFileSystem) and sum(file.size for file in files) <= MAX_HASHED_BYTES:
        with ThreadPoolExecutor(THREADS) as threads:
            return [[digest] for digest in threads.map(_hash, files)]
    return [[file.size, file.mtime_ns] for file in files]


def _hash(file: File) -> str:
    try:
        with open(file.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:  # the row of this recording fails later, with its reason
        return type(error).__name__


def summarise_left_out(left_out: Counter[str]) -> str:
    """Return the counts as text, the most frequent reason first: `.txt without a recording 3, hidden 1`."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered)
