"""The part files of a dataset: how one is written and read by Ray's workers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.runtime.counters import measured
from factory.storage import lease
from factory.storage.files import filesystem, put_table
from schemas.datasets import OK

AT_ONCE = 1_024
"""Rows of a part that are read together."""


@dataclass(frozen=True)
class WriteReport:
    """One part file that was written: its path, its rows, how many of them have which status, and what else they count for."""

    path: str
    rows: int
    by_status: dict[str, int]
    measured: dict[str, float]


@dataclass(frozen=True)
class PartWriter:
    """Writes a table as one part file; travels to Ray's workers, so it holds only plain things.

    `token` is that of the lease without which nothing is written; `origin` goes into the file's metadata.
    """

    uri: str
    schema: pa.Schema | None
    key: str
    origin: dict[str, str]
    token: str

    def __call__(self, table: pa.Table, suffix: str = "") -> WriteReport:
        """Write the rows under a name that their ids give, and `suffix`."""
        fs, folder = filesystem(self.uri)
        lease.check(fs, folder, self.token)
        if self.schema is not None:
            table = table.select(self.schema.names).cast(self.schema)
        ids = table.column(self.key).to_pylist()
        path = f"{folder}/part-{hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:20]}{suffix}.parquet"
        put_table(fs, path, table.replace_schema_metadata({**(table.schema.metadata or {}), **self.origin}))
        statuses = table.column("status").to_pylist() if "status" in table.column_names else [OK] * len(ids)
        return WriteReport(path, len(ids), dict(Counter(statuses)), measured(table))


def read_part(batch: dict[str, Any], fs: pafs.FileSystem, columns: list[str] | None) -> Iterator[pa.Table]:
    """Yield the rows of the part files that a batch names, `AT_ONCE` at a time."""
    for path in batch["path"]:
        with fs.open_input_file(path) as file:
            for records in pq.ParquetFile(file).iter_batches(AT_ONCE, columns=columns):
                yield pa.Table.from_batches([records])


def write_block(table: pa.Table, out: PartWriter) -> pa.Table:
    """Write a block and return a row with its report."""
    reports = [out(table)] if table.num_rows else []
    return pa.table({"report": pa.array([json.dumps(asdict(report)) for report in reports], pa.string())})
