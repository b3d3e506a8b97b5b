"""The ids of a dataset: which are written, twice, missing or unexpected.

Ids stay in Arrow's memory: a million of them as Python strings would take some hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.storage.files import delete, set_aside_if_torn
from factory.storage.manifest import StoreError
from factory.storage.names import on_one_line

SHOWN_IDS = 5
"""Ids that an error names."""
_THREADS = 16


@dataclass(frozen=True)
class PartIds:
    """The path of a part file and the ids of its rows."""

    path: str
    ids: pa.ChunkedArray


def join_ids(table: pa.Table, key: Sequence[str]) -> pa.ChunkedArray:
    """Return the ids of rows: the column `key`, or the values of several columns, such as `UTT_ID-TGT_LANG`."""
    columns = [table.column(name).cast(pa.string()) for name in key]
    return columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, "-")


def read_ids(fs: pafs.FileSystem, parts: Iterable[str], key: Sequence[str]) -> list[PartIds]:
    """Read the ids of part files. A torn part file is set aside, and has no ids.

    Args:
        fs: The file system of the part files.
        parts: Their paths.
        key: Columns with the ids.
    """
    with ThreadPoolExecutor(_THREADS) as threads:  # an object store answers slowly, but many requests at once
        return [part for part in threads.map(partial(_read_part, fs, key=key), parts) if part is not None]


def _read_part(fs: pafs.FileSystem, path: str, key: Sequence[str]) -> PartIds | None:
    try:
        return PartIds(path, join_ids(pq.read_table(path, columns=list(key), filesystem=fs), key))
    except (pa.ArrowException, OSError):
        if set_aside_if_torn(fs, path):
            return None
        raise


def unique_ids(parts: Iterable[PartIds]) -> pa.Array:
    """Return the different ids of part files, as strings."""
    return pc.unique(pa.chunked_array([chunk for part in parts for chunk in part.ids.chunks], pa.string()))


def drop_repeats(fs: pafs.FileSystem, parts: Iterable[PartIds], write: Callable[[pa.Table, str], object]) -> None:
    """Rewrite the part files that repeat ids of earlier rows, so that the first row of every id is kept.

    A new file is written before the old one is deleted: a kill loses no row. The new file has a suffix, because a
    later part file may have exactly the ids that are left, and so the same name.

    Args:
        fs: The file system of the part files.
        parts: The part files in their order.
        write: Function that writes a table as a part file with a suffix.
    """
    seen: set[str] = set()
    for part in parts:
        is_first: list[bool] = []
        for identifier in part.ids.to_pylist():
            is_first.append(identifier not in seen)
            seen.add(identifier)
        if not all(is_first):
            kept = pq.read_table(part.path, filesystem=fs).filter(pa.array(is_first))
            if kept.num_rows:
                write(kept, "-first")
            delete(fs, part.path)


def check_complete(uri: str, written: pa.Array, expected: pa.Array) -> None:
    """Raise StoreError when expected ids are not written, or when other ids are written.

    Args:
        uri: The dataset, for messages.
        written: The different ids of its rows.
        expected: The different ids that it should have.
    """
    missing, extra = _subtract(expected, written), _subtract(written, expected)
    if missing:
        hint = "run the stage again to make them"
        raise StoreError(f"{uri} lacks {len(missing)} of {len(expected)} rows: {_list_some(missing)}; {hint}")
    if extra:
        hint = "delete the folder and run the stage again"
        raise StoreError(f"{uri} has {len(extra)} rows that are not in its source: {_list_some(extra)}; {hint}")


def exclude_ids(table: pa.Table, key: Sequence[str], ids: frozenset[str]) -> pa.Table:
    """Return the rows of a table whose id, in the columns `key`, is not one of `ids`."""
    return table.filter(pa.array([name not in ids for name in join_ids(table, key).to_pylist()], pa.bool_()))


def _subtract(ids: pa.Array, others: pa.Array) -> list[str]:
    """Return the ids that are not among the others, sorted."""
    return sorted(ids.filter(pc.invert(pc.is_in(ids, value_set=others))).to_pylist())


def _list_some(ids: list[str]) -> str:
    return ", ".join(map(on_one_line, ids[:SHOWN_IDS])) + (", …" if len(ids) > SHOWN_IDS else "")
