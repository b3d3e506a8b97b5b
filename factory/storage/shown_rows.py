"""The rows of a dataset for a terminal (`roundtrip rows`): why rows are not ok, then some rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from factory.storage.dataset import DatasetDir
from factory.storage.manifest import StoreError
from factory.storage.names import on_one_line


def describe_rows(uri: str, status: str | None, limit: int) -> Iterator[str]:
    """Yield a line for each reason why rows are not ok, then the first rows as JSON, one per line.

    Args:
        uri: the folder of a dataset, or one Parquet file.
        status: only rows with this status; None: any.
        limit: number of rows.

    Raises:
        StoreError: the folder holds several datasets.
    """
    dataset = DatasetDir(uri)
    _check_one_dataset(dataset)
    rows = dataset.rows(status=status).slice(0, limit).to_pylist()
    for reason in dataset.failures().to_pylist():
        ids = ", ".join(map(on_one_line, reason["ids"]))
        yield f"{reason['status']:8} {reason['reason']:20} {reason['count']:8,}  {ids}"
    for row in rows:
        yield json.dumps(_shorten(row), ensure_ascii=False)


def _check_one_dataset(dataset: DatasetDir) -> None:
    """Raise StoreError for a folder above several datasets, as that of a run."""
    folders = sorted({part.removeprefix(f"{dataset.path}/").rpartition("/")[0] for part in dataset.parts()})
    inner = [name for name in folders if name and DatasetDir(f"{dataset.uri}/{name}").is_finished()]
    if len(inner) > 1:
        raise StoreError(f"{dataset.uri} holds several datasets: name one of {', '.join(inner)} in it")


def _shorten(value: Any) -> Any:
    """Shorten what nobody reads: long lists of numbers, and bytes."""
    if isinstance(value, dict):
        return {key: _shorten(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list) and len(value) > 8 and all(isinstance(inner, int) for inner in value):
        return f"{len(value)} numbers: {' '.join(map(str, value[:8]))} …"
    return [_shorten(inner) for inner in value] if isinstance(value, list) else value
