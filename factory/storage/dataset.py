"""A dataset is a folder of Parquet whose files say what is done, and a manifest that says that all of it is.

    out = DatasetDir("runs/r1/scored", SCORED)
    out.start(recipe.content("produce", inputs))        # refused when the folder holds rows of another recipe
    rows = out.unfinished(units)                        # what an earlier attempt wrote is skipped
    for report in out.write(rows.map_batches(...)):     # one part file a block, as blocks come
        print(report.rows, report.by_status)
    manifest = out.publish(asked=units)                 # every id once, or an error; the manifest is written last

A part appears whole or not at all (`factory.storage.files.put`), so whatever is in a part file is done and nothing else has to be remembered.
Parts are named after their ids: a block that Ray runs twice writes the same file again. One run at a time may write (`factory.storage.lease`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from factory.runtime.light_tasks import light_task
from factory.runtime.redact import redact
from factory.storage import lease
from factory.storage.files import exists, filesystem, get_json, look, parquet_files, put_json, set_aside_if_torn, sweep
from factory.storage.manifest import (
    FingerprintMismatch,
    Manifest,
    StoreError,
    differences,
    now,
    slug,
    versions,
    working_seconds,
)
from factory.storage.names import on_one_line
from factory.storage.parts import PartWriter, WriteReport, read_part, write_block
from schemas.datasets import OK
from schemas.fingerprint import json_digest

if TYPE_CHECKING:
    import ray.data

__all__ = ["DatasetDir", "FingerprintMismatch", "Manifest", "StoreError", "WriteReport", "exists", "filesystem"]

MANIFEST, PROGRESS = "_manifest.json", "_progress.json"
BLOCK = 64
"""Rows that travel and are written together, and that a kill can lose."""


class DatasetDir:
    """A folder of Parquet at a URI, written by one pass at a time. Opening it touches nothing."""

    def __init__(self, uri: str, schema: pa.Schema | None = None, key: str = "utt_id") -> None:
        """`schema`: columns of what is written (None: as the rows come); `key`: the column that names a row."""
        self.uri, self.schema, self.key = str(uri), schema, key
        self.fs, self.path = filesystem(self.uri)
        self.already = 0  # rows that unfinished() found written

    def __repr__(self) -> str:
        return f"DatasetDir({redact(self.uri)!r})"

    # ---- state

    def is_finished(self) -> bool:
        """Whether the dataset was published."""
        return look(self.fs, f"{self.path}/{MANIFEST}").is_file

    def manifest(self) -> Manifest:
        """Return the manifest; raises StoreError when there is none."""
        found = get_json(self.fs, f"{self.path}/{MANIFEST}")
        if found is None:
            raise StoreError(
                f"{self.uri} is not finished: it has no {MANIFEST}; run the stage that writes it (again) first"
            )
        return Manifest(**found)

    def start(self, content: dict[str, Any]) -> bool:
        """Begin or resume writing, and say whether anything is left to write; `content` is what the fingerprint covers.

        Raises FingerprintMismatch when the folder holds rows of another content, StoreError when it holds Parquet that no pass began,
        and when another run that is alive writes it.
        """
        content = json.loads(json.dumps(content))  # as it will be read back
        earlier = get_json(self.fs, f"{self.path}/{MANIFEST}") or get_json(self.fs, f"{self.path}/{PROGRESS}")
        if earlier is None and self.parts():
            raise StoreError(f"{self.uri} holds Parquet that no run of ours began; choose an empty folder")
        if earlier is not None and earlier["content"] != content:
            raise FingerprintMismatch(self.uri, differences(earlier["content"], content))
        if self.is_finished():
            return False
        lease.take(self.fs, self.path)
        sweep(self.fs, self.path)
        attempts = [*(earlier or {}).get("attempts", []), now()]
        put_json(
            self.fs,
            f"{self.path}/{PROGRESS}",
            {"fingerprint": json_digest(content), "content": content, "attempts": attempts},
        )
        return True

    def release(self) -> None:
        """Let another run write what this one has not finished."""
        if (mine := lease.held(self.path)) is not None:
            mine.release()

    def parts(self) -> list[str]:
        """List the paths of the part files, sorted."""
        return [file.path for file in parquet_files(self.fs, self.path)]

    # ---- reading

    def rows(
        self, columns: list[str] | None = None, status: str | None = None, ids: Sequence[str] | None = None
    ) -> pa.Table:
        """Read the rows that are written so far (of one status, with these ids) into memory."""
        chosen = None if status is None else pads.field("status") == status
        if ids is not None:
            named = pads.field(self.key).isin(pa.array(ids, pa.string()))
            chosen = named if chosen is None else chosen & named
        return self._parquet().to_table(
            columns=columns, filter=chosen, cache_metadata=False
        )  # or 50 kB a part would stay

    def dataset(self, columns: list[str] | None = None) -> ray.data.Dataset:
        """Stream a finished dataset (or a folder of Parquet from elsewhere); raises StoreError when it was begun and not finished."""
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
        """Count the reasons of rows that are not ok: status, reason (its slug), count, ids (the first five), most frequent first."""
        rows = self.rows([self.key, "status", "reason"]).to_pylist()
        ids: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            if row["status"] != OK:
                ids.setdefault((row["status"], slug(row["reason"])), []).append(row[self.key])
        ranked = sorted(ids.items(), key=lambda item: (-len(item[1]), item[0]))
        return pa.table(
            {
                "status": pa.array([status for (status, _), _ in ranked], pa.string()),
                "reason": pa.array([reason for (_, reason), _ in ranked], pa.string()),
                "count": pa.array([len(named) for _, named in ranked], pa.int64()),
                "ids": pa.array([sorted(named)[:5] for _, named in ranked], pa.list_(pa.string())),
            }
        )

    def done_ids(self) -> set[str]:
        """Return the ids that are in complete part files; a torn part is set aside (its rows are made again)."""
        return {key for _, ids in self._ids_by_part() for key in ids.to_pylist()}

    def unfinished(self, source: DatasetDir | ray.data.Dataset, rows_per_block: int = BLOCK) -> ray.data.Dataset:
        """Stream the rows of `source` that are not written yet, `rows_per_block` to a block (a block is what a kill can lose)."""
        rows = source.dataset() if isinstance(source, DatasetDir) else source
        done = self.done_ids()
        self.already = len(done)
        if done:
            leave_out = partial(_leave_out, key=self.key, done=frozenset(done))
            rows = rows.map_batches(leave_out, batch_size=None, batch_format="pyarrow", **light_task())
        return rows.repartition(target_num_rows_per_block=rows_per_block, strict=True)

    # ---- writing

    def write(self, rows: ray.data.Dataset) -> Iterator[WriteReport]:
        """Write a stream of rows, every block as a part file of its own; yields a report a part. Nothing runs until it is iterated."""
        write = partial(write_block, out=self._writer())
        written = rows.map_batches(write, batch_size=None, batch_format="pyarrow", **light_task())
        for report in written.iter_rows():
            yield WriteReport(**json.loads(report["report"]))

    def append(self, table: pa.Table) -> WriteReport:
        """Write a table in memory as one part file."""
        return self._writer()(table)

    def _writer(self) -> PartWriter:
        progress, mine = get_json(self.fs, f"{self.path}/{PROGRESS}"), lease.held(self.path)
        if progress is None or mine is None or self.is_finished():
            raise StoreError(
                f"{self.uri} is not being written: call start() first (a finished dataset takes no more rows)"
            )
        origin = {
            "roundtrip.fingerprint": progress["fingerprint"],
            "roundtrip.inputs": json.dumps(progress["content"].get("inputs", {})),
        }
        return PartWriter(self.uri, self.schema, self.key, origin, mine.token)

    def publish(
        self,
        asked: DatasetDir | ray.data.Dataset | Iterable[str] | None = None,
        made_with: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Check that every asked id is written exactly once, then write the manifest, last of all.

        An id that is there twice keeps its first row (parts in the order of their names). Raises StoreError when ids are missing, or
        when there are ids that nobody asked for. None asks for no check. A finished dataset returns its manifest.
        `made_with` joins the manifest's `versions`.
        """
        if self.is_finished():
            return self.manifest()
        writer = self._writer()
        parts = self._ids_by_part()
        written = pc.unique(pa.chunked_array([chunk for _, ids in parts for chunk in ids.chunks], pa.string()))
        if len(written) < sum(len(ids) for _, ids in parts):
            self._drop_repeats(parts, writer)
        if asked is not None:
            self._compare(written, _ids_of(asked, self.key))
        manifest = self._summary(made_with or {})
        lease.check(self.fs, self.path, writer.token)
        put_json(self.fs, f"{self.path}/{MANIFEST}", asdict(manifest))
        self.fs.delete_file(f"{self.path}/{PROGRESS}")
        self.release()
        return manifest

    def _parquet(self) -> pads.Dataset:
        if parts := self.parts():
            return pads.dataset(parts, filesystem=self.fs, format="parquet")
        if self.schema is None:
            raise StoreError(f"{self.uri} holds no Parquet; expected a folder of it, or one file")
        return pads.dataset(self.schema.empty_table())

    def _ids_by_part(self) -> list[tuple[str, pa.ChunkedArray]]:
        with ThreadPoolExecutor(16) as threads:  # an object store answers slowly, but many at once
            return [found for found in threads.map(self._ids_of_part, self.parts()) if found is not None]

    def _ids_of_part(self, path: str) -> tuple[str, pa.ChunkedArray] | None:
        try:
            return path, pq.read_table(path, columns=[self.key], filesystem=self.fs).column(0).cast(pa.string())
        except (pa.ArrowException, OSError):
            if set_aside_if_torn(self.fs, path):
                return None
            raise

    def _drop_repeats(self, parts: list[tuple[str, pa.ChunkedArray]], writer: PartWriter) -> None:
        """Rewrite the parts that repeat an id of an earlier one; the new file is there before the old one goes."""
        seen: set[str] = set()
        for path, ids in parts:
            first = [key not in seen and not seen.add(key) for key in ids.to_pylist()]  # type: ignore[func-returns-value]
            if not all(first):
                kept = pq.read_table(path, filesystem=self.fs).filter(pa.array(first))
                if kept.num_rows:
                    writer(kept, "-first")  # a name of its own: a later part may hold just these ids
                self.fs.delete_file(path)

    def _compare(self, written: pa.Array, asked: pa.Array) -> None:
        missing, extra = _lacking(asked, written), _lacking(written, asked)
        if missing:
            raise StoreError(
                f"{self.uri} lacks {len(missing)} of {len(asked)} rows: {_few(missing)}; run the stage again to make them"
            )
        if extra:
            raise StoreError(f"{self.uri} holds {len(extra)} rows that its source does not have: {_few(extra)}")

    def _summary(self, made_with: Mapping[str, str]) -> Manifest:
        progress = get_json(self.fs, f"{self.path}/{PROGRESS}")
        names = set(self._parquet().schema.names)
        table = self.rows([name for name in ("status", "reason") if name in names] or [self.key])
        by_status = _counted(table.column("status")) if "status" in names else Counter({OK: table.num_rows})
        by_reason: Counter[str] = Counter()
        if "reason" in names:
            for reason, count in _counted(table.column("reason").drop_null()).items():
                by_reason[slug(reason)] += count
        ends = [file.mtime for file in parquet_files(self.fs, self.path) if file.mtime]
        return Manifest(
            fingerprint=progress["fingerprint"],
            content=progress["content"],
            inputs=progress["content"].get("inputs", {}),
            rows=table.num_rows,
            by_status=dict(by_status),
            by_reason=dict(by_reason.most_common()),
            versions=versions() | dict(made_with),
            started=progress["attempts"][0],
            finished=now(),
            attempts=len(progress["attempts"]),
            seconds=working_seconds(progress["attempts"], ends),
        )


def _counted(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({told["values"]: told["counts"] for told in pc.value_counts(column).to_pylist()})


def _leave_out(table: pa.Table, key: str, done: frozenset[str]) -> pa.Table:
    return table.filter(pa.array([name not in done for name in table.column(key).to_pylist()], pa.bool_()))


def _ids_of(asked: Any, key: str) -> pa.Array:
    """Return the different ids that are asked for, in Arrow's memory: as Python's own a million would take some hundred megabytes."""
    if isinstance(asked, DatasetDir):
        return pc.unique(asked.rows([key]).column(key).cast(pa.string()))
    if hasattr(asked, "select_columns"):
        asked = (row[key] for row in asked.select_columns([key]).iter_rows())
    return pc.unique(pa.array(asked, pa.string()))


def _lacking(ids: pa.Array, others: pa.Array) -> list[str]:
    """Return the ids that are not among the others, sorted."""
    return sorted(ids.filter(pc.invert(pc.is_in(ids, value_set=others))).to_pylist())


def _few(names: list[str]) -> str:
    return ", ".join(map(on_one_line, names[:5])) + (", …" if len(names) > 5 else "")
