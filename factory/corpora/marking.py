"""Every row of a corpus has an id of its own: the first row of an utt_id keeps it, the others travel on as `failed`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from factory.corpora.base import STATED, Entry, Kind, Shard
from factory.corpora.files import IN_PARALLEL
from factory.runtime.light_tasks import LIGHT, light_task
from schemas.datasets import FAILED, OK, Row

if TYPE_CHECKING:
    import ray.data


@dataclass(frozen=True)
class Renamed:
    """A row that gets another id: it has none, or one that is taken."""

    utt_id: str
    reason: str

    def row(self, row: Row) -> Row:
        """Return the row as failed under its new id; a fault that its reader found comes first."""
        return {**row, "utt_id": self.utt_id, "status": FAILED, "reason": row.get("reason") or self.reason}


@dataclass(frozen=True)
class Part:
    """A shard, and which of its rows (by place) are renamed."""

    shard: Shard
    renamed: dict[int, Renamed]

    def tables(self) -> Iterator[pa.Table]:
        """Read the shard; every row has a status."""
        start = 0
        for rows in self.shard.rows():
            told = [
                self.renamed[at].row(row) if at in self.renamed else row | {"status": row.get("status") or OK}
                for at, row in enumerate(rows, start)
            ]
            start += len(rows)
            yield pa.Table.from_pylist(told, schema=STATED)


@dataclass(frozen=True)
class Marked:
    """The parts of a corpus, the ids of all rows in their order, how many are of each kind, and what is left out."""

    parts: list[Part]
    ids: list[str]
    kinds: Counter[Kind]
    left_out: Counter[str]

    def dataset(self) -> ray.data.Dataset:
        """Return the rows as a streaming dataset with the columns of STATED."""
        import ray.data

        return ray.data.from_items([{"part": part} for part in self.parts]).map_batches(
            _read_parts, batch_size=1, **light_task()
        )


def _read_parts(batch: dict[str, Any]) -> Iterator[pa.Table]:
    for part in batch["part"]:
        yield from part.tables()


def mark(shards: Sequence[Shard]) -> Marked:
    """List the rows of all shards and give every row an id of its own.

    Raises CorpusError where a shard cannot be read.
    """
    listed = _list_entries(shards)
    entries = [entry for found, _ in listed for entry in found]
    renamed = rename([entry.utt_id for entry in entries])
    parts, start = [], 0
    for shard, (found, _) in zip(shards, listed, strict=True):
        places = range(start, start + len(found))
        parts.append(Part(shard, {at - start: renamed[at] for at in places if at in renamed}))
        start += len(found)
    ids = [renamed[at].utt_id if at in renamed else str(entry.utt_id) for at, entry in enumerate(entries)]
    kinds = Counter(entry.kind for entry in entries)
    return Marked(parts, ids, kinds, sum((left_out for _, left_out in listed), Counter()))


def rename(ids: Sequence[str | None]) -> dict[int, Renamed]:
    """Return a new id for each row (by place) whose id is empty or occurred before.

    `a#2`, or the next number that no row has.
    """
    taken = {utt_id for utt_id in ids if utt_id}
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    renamed = {}
    for place, utt_id in enumerate(ids):
        if utt_id and utt_id not in seen:
            seen.add(utt_id)
            continue
        renamed[place] = Renamed(_free(utt_id or "no_id", taken, counts, first=2 if utt_id else 1), _reason(utt_id))
    return renamed


def _free(name: str, taken: set[str], counts: Counter[str], first: int) -> str:
    """Return `name#N` with the first number that no row has, and take it."""
    counts[name] = max(counts[name] + 1, first)
    while f"{name}#{counts[name]}" in taken:
        counts[name] += 1
    taken.add(f"{name}#{counts[name]}")
    return f"{name}#{counts[name]}"


def _reason(utt_id: str | None) -> str:
    if not utt_id:
        return "no_id: the row has no utt_id"
    return f"duplicate_id: {utt_id} occurs more than once in the corpus; give every utterance an id of its own"


def _list_entries(shards: Sequence[Shard]) -> list[tuple[list[Entry], Counter[str]]]:
    """Return the entries of every shard, many shards at a time; where audio has to be passed by, workers do it."""
    if not shards or not shards[0].reads_audio:
        with ThreadPoolExecutor(IN_PARALLEL) as threads:
            return list(threads.map(_entries_of, shards))
    import ray

    asked: Any = ray.remote(num_cpus=LIGHT)(_entries_of)
    try:
        return ray.get([asked.remote(shard) for shard in shards])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _entries_of(shard: Shard) -> tuple[list[Entry], Counter[str]]:
    return shard.entries()
