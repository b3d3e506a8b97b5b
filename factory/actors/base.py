"""The base of all actors: rows in, rows out, and one bad row never costs the other rows of its batch."""

from __future__ import annotations

import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from factory.runtime.redact import redact
from schemas.datasets import FAILED, OK, Row

log = logging.getLogger(__name__)
ActorFactory = partial[Any]
"""An actor's class with its arguments, as `partial(Vocoder, checkpoints, threads)`; the actor's process calls it.

The type argument is Any because `partial` is invariant; mypy checks the arguments where the partial is written.
"""
MAX_REASON = 500
"""Longest reason that is kept, in characters."""


class RowActor(ABC):
    """A model that maps over Arrow tables of rows; a pass runs it in a process of its own (`factory.actors.guard`).

    A subclass loads its model in `__init__` and does its work in `process`. Rows whose status is not `ok` pass through
    unchanged. If `process` raises, the batch is halved until the row that raises is alone; that row becomes `failed`
    with the error as its reason, and all others are kept.

    A `process` that takes long may call `on_finished` with each row that it was given, when it has finished the row.
    """

    schema: ClassVar[pa.Schema]
    """Columns of the tables that this actor returns."""
    on_finished: Callable[[Row], None] = staticmethod(lambda _: None)
    """Is called with a row of the running batch that is finished, once or more; the actor's process counts it."""

    @abstractmethod
    def process(self, rows: list[Row]) -> list[Row]:
        """Return one row for each row, in the same order. May raise: the row that causes it is then isolated."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Process the table's `ok` rows and return all rows in their order, with this actor's schema."""
        rows = table.to_pylist()
        indices = [index for index, row in enumerate(rows) if row.get("status", OK) == OK]
        for index, done in zip(indices, self._isolate([rows[index] for index in indices]), strict=True):
            rows[index] = done
        return to_table(rows, self.schema)

    def _isolate(self, rows: list[Row]) -> list[Row]:
        if not rows:
            return []
        try:
            return self.process(rows)
        except Exception as error:  # any error of a model on one row must not lose the other rows
            if len(rows) > 1:
                half = len(rows) // 2
                return self._isolate(rows[:half]) + self._isolate(rows[half:])
            trace = redact(traceback.format_exc())
            log.error("row %s failed in %s\n%s", rows[0].get("utt_id"), type(self).__name__, trace)
            return [mark_failed(rows[0], f"error: {type(error).__name__}: {error}")]


def mark_failed(row: Row, reason: str) -> Row:
    """Return the row as `failed`; the reason is cut at `MAX_REASON` characters and holds no credentials."""
    return {**row, "status": FAILED, "reason": redact(reason)[:MAX_REASON]}


def to_table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table of `schema`.

    A row that never reached the actor that sets `src_lang` gets its `lang` as `src_lang`. A null in a column that takes
    none becomes an empty text: the status marks a bad row, which must not keep the others from the disk.
    """
    complete = [{"status": OK, "src_lang": row.get("lang"), **row} for row in rows]
    for name in (field.name for field in schema if not field.nullable):
        for row in complete:
            row[name] = "" if row.get(name) is None else row[name]
    return pa.Table.from_pylist(complete, schema=schema)
