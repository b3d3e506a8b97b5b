"""Clips that tables name, in an archive or its folder; and speech written as Parquet in shards."""

from __future__ import annotations

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
from factory.corpora.tables import is_table
from factory.corpora.tar import TAR_SUFFIXES, TableTar
from schemas.datasets import UTTERANCE, Row

_SHARD = 1_000


class Clips:
    """The clips of an archive (`.tar.gz`, `.tar`) or a folder that its tables with these file names list."""

    def __init__(self, place: Path, tables: tuple[str, ...]) -> None:
        """Raises CorpusError where there is neither an archive nor a folder."""
        self.place, self.tables = place, tables
        if not place.exists():
            raise CorpusError(
                f"there is no {place}: expected an archive (.tar.gz, .tar) or the folder it was unpacked into"
            )
        if place.is_file() and not place.name.endswith(TAR_SUFFIXES):
            raise CorpusError(f"{place} is neither an archive ({', '.join(TAR_SUFFIXES)}) nor a folder")

    def lines(self) -> list[Row]:
        """Return the rows of the tables, without audio; broken lines are failed rows.

        Raises CorpusError where there is no such table.
        """
        rows = self._folder() if self.place.is_dir() else self._tar().lines()
        if not rows and not self._tables():
            raise CorpusError(
                f"{self.place} has none of {', '.join(self.tables)}; is it the archive that it should be?"
            )
        return rows

    def rows(self) -> Iterator[Row]:
        """Yield the rows with their clips as bytes, as they come; one whose clip is not there is failed."""
        if not self.place.is_dir():
            yield from (row for rows in self._tar().rows() for row in rows)
            return
        for row in self._folder():
            path = Path((row["audio"] or {}).get("path") or "")
            yield row | {"audio": {"bytes": path.read_bytes(), "path": path.name} if path.is_file() else None}

    def _tar(self) -> TableTar:
        return TableTar(str(self.place), str(self.place), Options(), self.tables)

    def _folder(self) -> list[Row]:
        fs, root = pafs.LocalFileSystem(), str(self.place.absolute())
        chosen = [file for file in list_files(fs, root).found if Path(file.path).name in self.tables]
        return Tables(fs, root).rows(chosen, Options())[0] if chosen else []

    def _tables(self) -> list[str]:
        found = list_files(pafs.LocalFileSystem(), str(self.place.absolute())).found if self.place.is_dir() else []
        return [Path(file.path).name for file in found if is_table(file.path) and Path(file.path).name in self.tables]


def count_faults(rows: Iterable[Row]) -> Counter[str]:
    """Count the failed rows by reason, and print the first of each reason."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.get("status"):
            slug = str(row["reason"]).partition(":")[0]
            if not counts[slug]:
                print(f"left out: {row['reason']}", flush=True)
            counts[slug] += 1
    return counts


def write_shards(rows: Iterable[Row], out: Path) -> dict[str, int]:
    """Write UTTERANCE rows as `out/<split>/<split>-<lang>-NNNNN.parquet`; return the rows of each split and language.

    Rows may come in any order; a thousand of one split and language are in memory at a time. Raises CorpusError where
    there is no row.
    """
    waiting: dict[str, list[Row]] = {}
    counts: dict[str, int] = {}
    for row in rows:
        key = f"{row['split']}-{row['lang']}"
        waiting.setdefault(key, []).append(row)
        if len(waiting[key]) == _SHARD:
            _write(key, waiting.pop(key), counts, out)
    for key, rest in waiting.items():
        _write(key, rest, counts, out)
    if not counts:
        raise CorpusError("nothing was written: no line of the tables has its clip, or all are left out")
    return counts


def _write(key: str, rows: list[Row], counts: dict[str, int], out: Path) -> None:
    folder = out / rows[0]["split"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}-{counts.get(key, 0) // _SHARD:05d}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), path)
    counts[key] = counts.get(key, 0) + len(rows)
