"""Datasets: folders of Parquet whose part files show which rows are done, and whose manifest shows that all are.

    out = DatasetDir("runs/r1/scored", SCORED)
    out.start(recipe.content("produce", inputs))        # refused when the folder has rows of another recipe
    rows = out.unfinished(units)                        # rows of an earlier attempt are skipped
    for report in out.write(rows.map_batches(...)):     # one part file per block
        print(report.rows, report.by_status)
    manifest = out.publish(expected=units)              # every id once, or an error; the manifest is written last

A part file appears whole or not at all (`factory.storage.files.put`), so every row in a part file is done, and no
other record is needed. A part file is named after its ids: a block that Ray runs twice writes the same file again.
One run at a time may write (`factory.storage.lease`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from factory.runtime.light_tasks import light_task
from factory.runtime.redact import redact
from factory.storage import lease
from factory.storage.files import delete, filesystem, get_json, look, parquet_files, put_json, sweep
from factory.storage.ids import check_complete, drop_repeats, exclude_ids, join_ids, read_ids, unique_ids
from factory.storage.manifest import (
    Content,
    FingerprintMismatch,
    Manifest,
    Progress,
    StoreError,
    find_differences,
    now,
    versions,
    working_seconds,
)
from factory.storage.parts import PartWriter, WriteReport, read_part, write_block, write_blocks
from factory.storage.reasons import count_reasons, count_statuses, list_failures
from schemas.fingerprint import json_digest

if TYPE_CHECKING:
    import ray.data

MANIFEST, PROGRESS = "_manifest.json", "_progress.json"
BLOCK = 64
"""Rows per block. A block is written as one part file, and a kill loses at most the blocks that are being made."""


class DatasetDir:
    """A folder of Parquet at a URI, written by one pass at a time. The constructor reads and writes nothing."""

    def __init__(
        self, uri: str, schema: pa.Schema | None = None, key: str = "utt_id", more: Sequence[str] = ()
    ) -> None:
        """Name a dataset.

        Args:
            uri: The folder; for reading also one Parquet file.
            schema: Columns of the part files; None: the columns of the rows.
            key: Column with the ids.
            more: Columns that are a part of the ids too, where several rows have the same `key`.
        """
        self.uri, self.schema, self.key, self.id_columns = str(uri), schema, key, (key, *more)
        self.fs, self.path = filesystem(self.uri)
        self.num_done = 0
        """Rows that `unfinished` skipped."""

    def __repr__(self) -> str:
        return f"DatasetDir({redact(self.uri)!r})"

    # ---- state

    def is_finished(self) -> bool:
        """Return whether the dataset is published."""
        return bool(look(self.fs, f"{self.path}/{MANIFEST}").is_file)

    def manifest(self) -> Manifest:
        """Return the manifest; raise StoreError when the dataset is not finished."""
        manifest = get_json(self.fs, f"{self.path}/{MANIFEST}")
        if manifest is None:
            raise StoreError(f"{self.uri} is not finished: it has no {MANIFEST}; run the stage that writes it first")
        return Manifest(**manifest)

    def start(self, content: Mapping[str, object], replace_empty: bool = False) -> bool:
        """Start or resume writing; return False when the dataset is already finished.

        Args:
            content: Everything that decides what the dataset holds; its digest is the fingerprint.
            replace_empty: Begin anew if another content was started and no row of it is written.

        Raises:
            FingerprintMismatch: The folder has rows of another content.
            StoreError: The folder has Parquet of another origin, or another run that is alive writes it.
        """
        current: Content = json.loads(json.dumps(content))  # as it will be read back
        manifest: Progress | None = get_json(self.fs, f"{self.path}/{MANIFEST}")
        earlier = manifest or self._progress()
        if earlier is None and self.parts():
            raise StoreError(f"{self.uri} has Parquet that no run wrote; choose an empty folder")
        if earlier is not None and earlier["content"] != current:
            if manifest is not None or not replace_empty or self.parts():
                raise FingerprintMismatch(self.uri, find_differences(earlier["content"], current))
            earlier = None
        if manifest is not None:
            return False
        lease.take(self.fs, self.path)
        sweep(self.fs, self.path)
        attempts = [*(earlier["attempts"] if earlier else []), now()]
        progress = Progress(fingerprint=json_digest(current), content=current, attempts=attempts)
        put_json(self.fs, f"{self.path}/{PROGRESS}", progress)
        return True

    def release(self) -> None:
        """Let another run write the unfinished rows."""
        if (mine := lease.current(self.path)) is not None:
            mine.release()

    def parts(self) -> list[str]:
        """List the paths of the part files, sorted."""
        return [file.path for file in parquet_files(self.fs, self.path)]

    # ---- reading

    def rows(
        self, columns: list[str] | None = None, status: str | None = None, ids: Sequence[str] | None = None
    ) -> pa.Table:
        """Read the rows that are written so far into memory.

        Args:
            columns: Columns to read; None: all.
            status: Status of the rows; None: any.
            ids: Values of `key`; None: all rows.

        Raises:
            StoreError: There is no Parquet, it cannot be read, or a finished dataset has lost rows (which a selection
                by `ids` does not notice).
        """
        conditions = [] if status is None else [pads.field("status") == status]
        if ids is not None:
            conditions.append(pads.field(self.key).isin(pa.array(ids, pa.string())))
        condition = conditions[0] if len(conditions) == 1 else conditions[0] & conditions[1] if conditions else None
        try:  # with cached metadata a part would keep 50 kB
            table = self._parquet().to_table(columns=columns, filter=condition, cache_metadata=False)
        except (pa.ArrowException, OSError) as error:
            hint = "expected Parquet with the columns of the stage; write it again, or repair the store"
            raise StoreError(f"{self.uri} could not be read: {error}; {hint}") from error
        if ids is None and self.is_finished():
            self.manifest().check_rows(self.uri, table.num_rows, status)
        return table

    def column_names(self) -> list[str]:
        """Return the columns of the rows that are written so far; older rows can have fewer than the schema."""
        return list(self._parquet().schema.names)

    def dataset(self, columns: list[str] | None = None) -> ray.data.Dataset:
        """Stream a finished dataset, or other Parquet; raise StoreError for an unfinished dataset."""
        import ray.data

        if not self.is_finished() and look(self.fs, f"{self.path}/{PROGRESS}").is_file:
            self.manifest()
        parts = self.parts()
        if not parts:
            return ray.data.from_arrow(self.rows(columns))
        read = partial(
            read_part, fs=self.fs, columns=columns
        )  # Ray's read_parquet looks at each file first, for 0.15 s
        return ray.data.from_items([{"path": part} for part in parts]).map_batches(read, batch_size=1, **light_task())

    def failures(self) -> pa.Table:
        """Count the rows that are not ok by status and reason: see `factory.storage.reasons.list_failures`."""
        return list_failures(self.rows([self.key, "status", "reason"]), self.key)

    def done_ids(self) -> set[str]:
        """Return the ids of all complete part files; a torn part file is set aside, and its rows are made again."""
        return {name for part in read_ids(self.fs, self.parts(), self.id_columns) for name in part.ids.to_pylist()}

    def list_ids(self, rows: pa.Table) -> list[str]:
        """Return the ids that rows have in this dataset (`factory.storage.ids.join_ids`)."""
        return cast(list[str], join_ids(rows, self.id_columns).to_pylist())

    def unfinished(self, source: DatasetDir | ray.data.Dataset, rows_per_block: int = BLOCK) -> ray.data.Dataset:
        """Stream the rows of a source that are not written yet.

        Args:
            source: The rows, with the key of this dataset.
            rows_per_block: Rows of a block, which a kill can lose.
        """
        rows = source.dataset() if isinstance(source, DatasetDir) else source
        done = self.done_ids()
        self.num_done = len(done)
        if done:
            exclude = partial(exclude_ids, key=self.id_columns, ids=frozenset(done))
            rows = rows.map_batches(exclude, batch_size=None, batch_format="pyarrow", **light_task())
        return rows.repartition(target_num_rows_per_block=rows_per_block, strict=True)

    # ---- writing

    def write(self, rows: ray.data.Dataset) -> Iterator[WriteReport]:
        """Write every block of a stream as a part file, and yield its report. Nothing runs before the iteration."""
        yield from write_blocks(rows, partial(write_block, writer=self.writer()))

    def writer(self) -> PartWriter:
        """Return what writes part files in Ray's workers; raise StoreError if this run does not write the dataset."""
        progress, mine = self._progress(), lease.current(self.path)
        if progress is None or mine is None or self.is_finished():
            raise StoreError(f"{self.uri} is not being written: call start() first (a finished dataset takes no rows)")
        origin = {
            "roundtrip.fingerprint": progress["fingerprint"],
            "roundtrip.inputs": json.dumps(progress["content"].get("inputs", {})),
        }
        return PartWriter(self.uri, self.schema, self.id_columns, origin, mine.token)

    def append(self, table: pa.Table) -> WriteReport:
        """Write a table in memory as one part file."""
        return self.writer()(table)

    def publish(
        self,
        expected: DatasetDir | ray.data.Dataset | Iterable[str] | None = None,
        made_with: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Check that every expected id is written exactly once, then write the manifest, and return it.

        An id that is written twice keeps its first row, in the order of the part files' names. A finished dataset is
        not checked again.

        Args:
            expected: The ids, or rows with them; None: any ids.
            made_with: Entries that the manifest's `versions` get in addition.

        Raises:
            StoreError: Expected ids are missing, other ids are written, or this run does not write the dataset.
        """
        if self.is_finished():
            return self.manifest()
        writer = self.writer()
        parts = read_ids(self.fs, self.parts(), self.id_columns)
        written = unique_ids(parts)
        if len(written) < sum(len(part.ids) for part in parts):
            drop_repeats(self.fs, parts, writer)
        if expected is not None:
            check_complete(self.uri, written, _collect_ids(expected, self.id_columns))
        manifest = self._describe(made_with or {})
        lease.check(self.fs, self.path, writer.token)
        put_json(self.fs, f"{self.path}/{MANIFEST}", asdict(manifest))
        delete(self.fs, f"{self.path}/{PROGRESS}")
        self.release()
        return manifest

    def _progress(self) -> Progress | None:
        progress: Progress | None = get_json(self.fs, f"{self.path}/{PROGRESS}")
        return progress

    def _parquet(self) -> pads.Dataset:
        if parts := self.parts():
            return pads.dataset(parts, filesystem=self.fs, format="parquet")
        if self.schema is None:
            raise StoreError(f"{self.uri} has no Parquet; expected a folder of Parquet files, or one file")
        return pads.dataset(self.schema.empty_table())

    def _describe(self, made_with: Mapping[str, str]) -> Manifest:
        progress = self._progress()
        if progress is None:
            raise StoreError(f"{self.path}/{PROGRESS} is missing; run the stage again")
        names = self.column_names()
        table = self.rows([name for name in ("status", "reason") if name in names] or [self.key])
        ends = [file.mtime for file in parquet_files(self.fs, self.path) if file.mtime]
        return Manifest(
            fingerprint=progress["fingerprint"],
            content=progress["content"],
            inputs=progress["content"].get("inputs", {}),
            rows=table.num_rows,
            by_status=count_statuses(table),
            by_reason=count_reasons(table),
            versions=versions() | dict(made_with),
            started=progress["attempts"][0],
            finished=now(),
            attempts=len(progress["attempts"]),
            seconds=working_seconds(progress["attempts"], ends),
        )


def _collect_ids(rows: DatasetDir | ray.data.Dataset | Iterable[str], key: Sequence[str]) -> pa.Array:
    """Return the different ids of rows, or of ids, in Arrow's memory."""
    if isinstance(rows, DatasetDir):
        return pc.unique(join_ids(rows.rows(list(key)), key))
    ids: Any = rows
    if hasattr(rows, "select_columns"):
        ids = ("-".join(row[name] for name in key) for row in rows.select_columns(list(key)).iter_rows())
    return pc.unique(pa.array(ids, pa.string()))
