"""What all actors share: rows in, rows out, and one bad row never takes its batch mates with it."""

from __future__ import annotations

import logging
import traceback
from abc import ABC, abstractmethod
from typing import ClassVar

import pyarrow as pa

from factory.runtime.redact import redact
from schemas.datasets import FAILED, OK, Row

log = logging.getLogger(__name__)


class RowActor(ABC):
    """A model that maps over Arrow tables of rows; a pass runs it behind `factory.actors.guard`, which outlives it.

    A subclass loads its model in `__init__` and does its work in `process`. Rows whose status is not `ok` travel through untouched.
    When `process` raises, the batch is halved until the row that raises stands alone; that row becomes `failed` with the error as its
    reason and all others are kept.
    """

    schema: ClassVar[pa.Schema]
    """Columns of the tables that this actor returns."""

    @abstractmethod
    def process(self, rows: list[Row]) -> list[Row]:
        """Return one row for each given row, in the same order. May raise: the row at fault is then isolated."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Process the table's `ok` rows and return all rows in their order, with this actor's schema."""
        rows = table.to_pylist()
        todo = [i for i, row in enumerate(rows) if row.get("status", OK) == OK]
        for i, done in zip(todo, self._isolate([rows[i] for i in todo]), strict=True):
            rows[i] = done
        return written(rows, self.schema)

    def _isolate(self, rows: list[Row]) -> list[Row]:
        if not rows:
            return []
        try:
            return self.process(rows)
        except Exception as error:  # any error of a model on one row must not lose its batch mates
            if len(rows) == 1:
                log.error(
                    "row %s failed in %s\n%s",
                    rows[0].get("utt_id"),
                    type(self).__name__,
                    redact(traceback.format_exc()),
                )
                return [failed(rows[0], f"error: {type(error).__name__}: {error}")]
            half = len(rows) // 2
            return self._isolate(rows[:half]) + self._isolate(rows[half:])


def failed(row: Row, reason: str) -> Row:
    """Return the row as `failed`; the reason is cut at 500 characters and holds no credentials."""
    return {**row, "status": FAILED, "reason": redact(reason)[:500]}


def written(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table of `schema`; a row that never reached the actor that names its `src_lang` has its `lang` there.

    A null where the schema takes none becomes an empty text: a bad row is told by its status, and must not keep the others from disk.
    """
    complete = [{"status": OK, "src_lang": row.get("lang"), **row} for row in rows]
    for name in (field.name for field in schema if not field.nullable):
        for row in complete:
            row[name] = "" if row.get(name) is None else row[name]
    return pa.Table.from_pylist(complete, schema=schema)
