"""What every reader of speech shares: rows, the parts that a corpus comes in, and its errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple, Protocol

import pyarrow as pa

from schemas.datasets import FAILED, UTTERANCE, Row
from schemas.errors import RoundtripError

"""A row with columns of UTTERANCE; a reader that knows of a fault adds `status` and `reason`."""

STATED = pa.schema([*UTTERANCE, pa.field("status", pa.string()), pa.field("reason", pa.string())])
"""The columns of a corpus as it is read."""
AT_ONCE = 64
"""Rows of a shard that are in memory together."""
AT_ONCE_BYTES = 64 << 20
"""Bytes of recordings that end a batch of rows before that: an hour of sound may be one row."""


class CorpusError(RoundtripError):
    """A corpus that cannot be read at all; a bad row is no error, it is kept with its reason."""


class MissingCorpus(CorpusError):
    """A corpus that is not where the recipe says."""


class Kind(NamedTuple):
    """What a row has, as far as it is known before its audio is read."""

    lang: str
    has_text: bool
    has_reference: bool


class Entry(NamedTuple):
    """A row as it is listed."""

    utt_id: str | None
    kind: Kind


class Shard(Protocol):
    """A part of a corpus that one worker reads from its beginning to its end."""

    reads_audio: ClassVar[bool]
    """Whether listing its rows reads past their audio, which the driver leaves to workers."""

    def entries(self) -> tuple[list[Entry], Counter[str]]:
        """Return its rows in their order, and what it holds besides by the reason why it is left out.

        Raises CorpusError where it cannot be read.
        """
        ...

    def rows(self) -> Iterator[list[Row]]:
        """Yield its rows in the order of `entries`, at most `AT_ONCE` at a time."""
        ...


def entry(row: Row) -> Entry:
    """Return a row as it is listed."""
    return Entry(row["utt_id"], _kind(row["lang"], bool(row.get("text")), bool(row.get("reference"))))


_kind = cache(Kind)
"""Kinds are few, and rows may be millions."""


def failed_row(row: Row, reason: str) -> Row:
    """Return a row as failed."""
    return row | {"audio": None, "status": FAILED, "reason": reason}


def in_batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists of at most `AT_ONCE`, and of little more than `AT_ONCE_BYTES` of recordings."""
    batch, size = list[Row](), 0
    for row in rows:
        batch.append(row)
        size += len((row.get("audio") or {}).get("bytes") or b"")
        if len(batch) == AT_ONCE or size >= AT_ONCE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def audio_of(shard: Shard, ids: Collection[str]) -> dict[str, Any]:
    """Return the audio of the rows of a shard with these ids; the shard is read until all are found."""
    wanted, found = set(ids), dict[str, Any]()
    for rows in shard.rows():
        for row in rows:
            if row["utt_id"] in wanted:
                found.setdefault(row["utt_id"], row["audio"])
        if len(found) == len(wanted):
            break
    return found
