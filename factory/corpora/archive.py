"""An archive or the folder it was unpacked into, read the same way; and speech written as Parquet in shards."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.corpus import CorpusError
from schemas.datasets import UTTERANCE

Row = dict[str, Any]
_SHARD = 1_000


def members(place: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files with these suffixes, in a `.tar.gz`, a `.tar` or a folder; a tar is read once, as it comes.

    Raises CorpusError when there is neither.
    """
    if place.is_dir():
        for file in sorted(place.rglob("*")):
            if file.is_file() and file.name.endswith(suffixes):
                yield file.relative_to(place).as_posix(), file.read_bytes()
        return
    if not place.is_file():
        raise CorpusError(f"there is no {place}: expected an archive (.tar.gz, .tar) or the folder it was unpacked into")
    try:
        with tarfile.open(place, "r|*") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(suffixes) and not Path(member.name).name.startswith("."):
                    yield member.name.removeprefix("./"), archive.extractfile(member).read()  # type: ignore[union-attr]  # it is a file
    except (tarfile.TarError, EOFError) as error:
        raise CorpusError(f"{place} is no complete archive: {error}") from error


def tables(place: Path) -> dict[str, list[list[str]]]:
    """Return the cells of every `.tsv` by its file name; quotes are letters like any other, as in both corpora."""
    return {
        Path(name).name: list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
        for name, content in members(place, (".tsv",))
    }


def named(cells: list[list[str]]) -> list[dict[str, str]]:
    """Return the rows of a table whose first line names its columns."""
    return [dict(zip(cells[0], row, strict=False)) for row in cells[1:]]


def write_shards(rows: Iterable[Row], out: Path) -> dict[str, int]:
    """Write UTTERANCE rows as `<split>-<lang>-NNNNN.parquet` below `out/<split>`; returns how many rows each split and language has.

    Rows may come in any order; a thousand of one split and language are in memory at a time.
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
    return counts


def _write(key: str, rows: list[Row], counts: dict[str, int], out: Path) -> None:
    folder = out / rows[0]["split"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}-{counts.get(key, 0) // _SHARD:05d}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), path)
    counts[key] = counts.get(key, 0) + len(rows)
