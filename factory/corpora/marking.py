"""Gives every row of a corpus an id of its own: the first row with an utt_id keeps it, the others become `failed`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from factory.corpora.base import CORPUS_ROW, Entry, Kind, Shard
from factory.corpora.files import THREADS
from factory.runtime.light_tasks import LIGHT, light_task
from schemas.datasets import FAILED, OK, Row

if TYPE_CHECKING:
    import ray.data


@dataclass(frozen=True)
class NewId:
    """The new id of a row that has none or a duplicate, and the reason."""

    utt_id: str
    reason: str

    def apply(self, row: Row) -> Row:
        """Return the row as failed under its new id; an earlier reason of its reader stays."""
        return {**row, "utt_id": self.utt_id, "status": FAILED, "reason": row.get("reason") or self.reason}


@dataclass(frozen=True)
class Part:
    """A shard, and the new ids of its rows by index."""

    shard: Shard
    new_ids: dict[int, NewId]

    def read_tables(self) -> Iterator[pa.Table]:
        """Yield the rows of the shard as tables of CORPUS_ROW; every row has a status."""
        start = 0
        for rows in self.shard.read_rows():
            marked = [self._mark(row, index) for index, row in enumerate(rows, start)]
            start += len(rows)
            yield pa.Table.from_pylist(marked, schema=CORPUS_ROW)

    def _mark(self, row: Row, index: int) -> Row:
        new_id = self.new_ids.get(index)
        return new_id.apply(row) if new_id else row | {"status": row.get("status") or OK}


@dataclass(frozen=True)
class Marked:
    """The parts of a corpus."""

    parts: list[Part]
    ids: list[str]
    """The ids of all rows in order."""
    kinds: list[Kind]
    """The kind of each row, in the same order."""
    left_out: Counter[str]
    """How many files are left out, by reason."""

    def make_dataset(self) -> ray.data.Dataset:
        """Return the rows as a streaming dataset of CORPUS_ROW."""
        import ray.data

        parts = ray.data.from_items([{"part": part} for part in self.parts])
        return parts.map_batches(_read_parts, batch_size=1, **light_task())


def _read_parts(batch: dict[str, np.ndarray]) -> Iterator[pa.Table]:
    for part in batch["part"]:
        yield from part.read_tables()


def mark_rows(shards: Sequence[Shard]) -> Marked:
    """List the rows of all shards and give every row an id of its own.

    Raises CorpusError if a shard cannot be read.
    """
    listed = _list_shards(shards)
    entries = [entry for shard_entries, _ in listed for entry in shard_entries]
    new_ids = make_ids_unique([entry.utt_id for entry in entries])
    parts, start = [], 0
    for shard, (shard_entries, _) in zip(shards, listed, strict=True):
        end = start + len(shard_entries)
        parts.append(Part(shard, {row - start: new_ids[row] for row in range(start, end) if row in new_ids}))
        start = end
    ids = [new_ids[row].utt_id if row in new_ids else str(entry.utt_id) for row, entry in enumerate(entries)]
    kinds = [entry.kind for entry in entries]
    return Marked(parts, ids, kinds, sum((left_out for _, left_out in listed), Counter()))


def make_ids_unique(ids: Sequence[str | None]) -> dict[int, NewId]:
    """Return a new id for each row (by index) whose id is empty or a duplicate: `a#2`, or the next free number."""
    taken = {utt_id for utt_id in ids if utt_id}
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    new_ids = {}
    for index, utt_id in enumerate(ids):
        if utt_id and utt_id not in seen:
            seen.add(utt_id)
            continue
        free = _take_free_id(utt_id or "no_id", taken, counts, first=2 if utt_id else 1)
        new_ids[index] = NewId(free, _explain(utt_id))
    return new_ids


def _take_free_id(name: str, taken: set[str], counts: Counter[str], first: int) -> str:
    """Return `name#N` with the first free number, and add it to `taken`."""
    counts[name] = max(counts[name] + 1, first)
    while f"{name}#{counts[name]}" in taken:
        counts[name] += 1
    taken.add(f"{name}#{counts[name]}")
    return f"{name}#{counts[name]}"


def _explain(utt_id: str | None) -> str:
    if not utt_id:
        return "no_id: the row has no utt_id"
    return f"duplicate_id: {utt_id} occurs more than once in the corpus; give every utterance an id of its own"


def _list_shards(shards: Sequence[Shard]) -> list[tuple[list[Entry], Counter[str]]]:
    """List all shards in parallel: in threads, or in workers if that reads through audio."""
    if not shards or not shards[0].reads_audio:
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(_list_shard, shards))
    import ray

    task = ray.remote(num_cpus=LIGHT)(_list_shard)
    try:
        return ray.get([task.remote(shard) for shard in shards])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _list_shard(shard: Shard) -> tuple[list[Entry], Counter[str]]:
    return shard.list_entries()
