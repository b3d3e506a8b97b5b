"""Several datasets that one plan writes: a column of the rows names the dataset of each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from factory.storage.dataset import DatasetDir
from factory.storage.ids import join_ids
from factory.storage.parts import PartWriter, WriteReport, write_block, write_blocks

if TYPE_CHECKING:
    import ray.data


class DatasetGroup:
    """Datasets with the same schema and the same ids, by the value that the rows of each have in `column`."""

    def __init__(self, datasets: Mapping[str, DatasetDir], column: str) -> None:
        """Name the datasets, which are being written (`DatasetDir.start`)."""
        self.datasets, self.column = dict(datasets), column
        self.num_done = 0
        """Rows that `unfinished` left out."""

    def __len__(self) -> int:
        return len(self.datasets)

    def unfinished(self, table: pa.Table) -> pa.Table:
        """Return, for each dataset in order, the rows that it lacks, with the column that names it."""
        parts = []
        for name, dataset in self.datasets.items():
            done = pa.array(sorted(dataset.done_ids()), pa.string())
            self.num_done += len(done)
            rows = table.filter(pc.invert(pc.is_in(join_ids(table, dataset.id_columns), value_set=done)))
            parts.append(rows.append_column(self.column, pa.array([name] * rows.num_rows, pa.string())))
        return pa.concat_tables(parts)

    def write(self, rows: ray.data.Dataset) -> Iterator[WriteReport]:
        """Write every block of a stream, one part file per dataset in it; yield the reports."""
        writers = {name: dataset.writer() for name, dataset in self.datasets.items()}
        yield from write_blocks(rows, partial(write_parts, writers=writers, column=self.column))

    def publish(self, expected: Iterable[str], made_with: Mapping[str, str] | None = None) -> None:
        """Publish every dataset; each must hold the expected ids (`DatasetDir.publish`)."""
        ids = list(expected)
        for dataset in self.datasets.values():
            dataset.publish(ids, made_with)

    def release(self) -> None:
        """Let another run write the unfinished rows."""
        for dataset in self.datasets.values():
            dataset.release()


def write_parts(table: pa.Table, writers: Mapping[str, PartWriter], column: str) -> pa.Table:
    """Write the rows of each dataset as one part file, and return the reports as rows.

    Args:
        table: The rows of a block.
        writers: The writer of each dataset, by its name.
        column: Column that names the dataset of each row.
    """
    parts = [
        write_block(table.filter(pc.equal(table[column], name)), writer=writer) for name, writer in writers.items()
    ]
    return pa.concat_tables(parts)
