"""The part files of a dataset, written and read by Ray's workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.runtime.counters import measure
from factory.runtime.light_tasks import light_task
from factory.storage import lease
from factory.storage.files import filesystem, put_table
from factory.storage.ids import join_ids
from factory.storage.reasons import count_statuses

if TYPE_CHECKING:
    import ray.data

ROWS_AT_ONCE = 1_024
"""Rows of a part file that are read together."""


@dataclass(frozen=True)
class WriteReport:
    """A part file that was written.

    Attributes:
        path: Its path in the file system.
        rows: Number of its rows.
        by_status: Status -> number of rows.
        counters: Counter of `factory.runtime.counters` -> what the rows add to it.
    """

    path: str
    rows: int
    by_status: dict[str, int]
    counters: dict[str, float]


@dataclass(frozen=True)
class PartWriter:
    """Writes tables as part files. Ray copies it to its workers, so its fields are plain values.

    Attributes:
        uri: The folder of the dataset.
        schema: Columns of the part files; None: the columns of the table.
        key: Columns with the ids.
        origin: Metadata of the part files.
        token: Token of the lease that permits writing.
    """

    uri: str
    schema: pa.Schema | None
    key: tuple[str, ...]
    origin: dict[str, str]
    token: str

    def __call__(self, table: pa.Table, suffix: str = "") -> WriteReport:
        """Write the rows under a name that depends on their ids and on `suffix`; raise StoreError without the lease."""
        fs, folder = filesystem(self.uri)
        lease.check(fs, folder, self.token)
        if self.schema is not None:
            table = table.select(self.schema.names).cast(self.schema)
        ids = join_ids(table, self.key).to_pylist()
        path = f"{folder}/part-{hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:20]}{suffix}.parquet"
        put_table(fs, path, table.replace_schema_metadata({**(table.schema.metadata or {}), **self.origin}))
        return WriteReport(path, len(ids), count_statuses(table), measure(table))


def read_part(batch: Mapping[str, Iterable[str]], fs: pafs.FileSystem, columns: list[str] | None) -> Iterator[pa.Table]:
    """Yield the rows of part files in tables of at most `ROWS_AT_ONCE`.

    Args:
        batch: The paths of the part files, as the column `path`.
        fs: The file system of the paths.
        columns: Columns to read; None: all.
    """
    for path in batch["path"]:
        with fs.open_input_file(path) as file:
            for records in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=columns):
                yield pa.Table.from_batches([records])


def write_block(table: pa.Table, writer: PartWriter) -> pa.Table:
    """Write a block as one part file and return its report as one row, or no row for an empty block."""
    reports = [writer(table)] if table.num_rows else []
    return pa.table({"report": pa.array([json.dumps(asdict(report)) for report in reports], pa.string())})


def write_blocks(rows: ray.data.Dataset, write: Callable[[pa.Table], pa.Table]) -> Iterator[WriteReport]:
    """Write every block of a stream and yield the reports. Nothing runs before the iteration.

    Args:
        rows: The stream.
        write: Function that writes a block and returns the reports, as `write_block` does.
    """
    reports = rows.map_batches(write, batch_size=None, batch_format="pyarrow", **light_task())
    for row in reports.iter_rows():
        yield WriteReport(**json.loads(row["report"]))
