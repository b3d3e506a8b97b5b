"""Reads the clips that tables name, in an archive or its folder, and writes speech as Parquet."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.corpora.base import CorpusError
from factory.corpora.columns import Options
from factory.corpora.files import list_files
from factory.corpora.listed import Tables
from factory.corpora.tar import TAR_SUFFIXES, TableTar
from schemas.datasets import UTTERANCE, Row

_FILE_ROWS = 1_000


class Clips:
    """The clips that tables list, in an archive (`.tar.gz`, `.tar`) or a folder."""

    def __init__(self, path: Path, tables: tuple[str, ...]) -> None:
        """Take the path and the file names of the tables. Raises CorpusError for another kind of file."""
        self.path, self.tables = path, tables
        if not os.path.exists(path):  # unlike Path.exists, False in a folder without permission
            raise CorpusError(f"there is no {path}: expected an archive (.tar.gz, .tar) or its unpacked folder")
        if path.is_file() and not path.name.endswith(TAR_SUFFIXES):
            raise CorpusError(f"{path} is neither an archive ({', '.join(TAR_SUFFIXES)}) nor a folder")

    def read_lines(self) -> list[Row]:
        """Return the rows of the tables without audio; broken lines are failed rows.

        Raises CorpusError if there is no such table.
        """
        rows = self._read_folder() if self.path.is_dir() else self._tar.read_lines()
        if not rows:
            raise CorpusError(f"{self.path} has no lines in {', '.join(self.tables)}; is it the right archive?")
        return rows

    def read_rows(self) -> Iterator[Row]:
        """Yield the rows with their clips as bytes; a row whose clip is missing has no audio."""
        if not self.path.is_dir():
            yield from (row for rows in self._tar.read_rows() for row in rows)
            return
        for row in self._read_folder():
            path = Path((row["audio"] or {}).get("path") or "")
            yield row | {"audio": {"bytes": _read_bytes(path), "path": path.name} if path.is_file() else None}

    @property
    def _tar(self) -> TableTar:
        return TableTar(str(self.path), str(self.path), Options(), self.tables)

    def _read_folder(self) -> list[Row]:
        fs, root = pafs.LocalFileSystem(), str(self.path.absolute())
        tables = [file for file in list_files(fs, root).found if Path(file.path).name in self.tables]
        return Tables(fs, root).read_rows(tables, Options())[0]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}): make it readable, or delete it") from error


def count_failed(rows: Iterable[Row]) -> Counter[str]:
    """Count the failed rows by the slug of their reason, and print the first reason of each slug."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.get("status"):
            slug = str(row["reason"]).partition(":")[0]
            if not counts[slug]:
                print(f"left out: {row['reason']}", flush=True)
            counts[slug] += 1
    return counts


def write_utterances(rows: Iterable[Row], out: Path) -> dict[str, int]:
    """Write rows of UTTERANCE as `out/SPLIT/SPLIT-LANG-NNNNN.parquet`; return how many rows each SPLIT-LANG has.

    The rows may come in any order; a thousand of each split and language are in memory at a time. Raises CorpusError if
    there is no row, and if `out` cannot be written.
    """
    waiting: dict[str, list[Row]] = {}
    counts: dict[str, int] = {}
    for row in rows:
        key = f"{row['split']}-{row['lang']}"
        waiting.setdefault(key, []).append(row)
        if len(waiting[key]) == _FILE_ROWS:
            _write(key, waiting.pop(key), counts, out)
    for key, rest in waiting.items():
        _write(key, rest, counts, out)
    if not counts:
        raise CorpusError("nothing was written: no line of the tables has its clip, or all are left out")
    return counts


def _write(key: str, rows: list[Row], counts: dict[str, int], out: Path) -> None:
    folder = out / rows[0]["split"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{key}-{counts.get(key, 0) // _FILE_ROWS:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), path)
    except OSError as error:
        raise CorpusError(f"{folder} cannot be written ({error}): choose another --out, or free space") from error
    counts[key] = counts.get(key, 0) + len(rows)
