"""What all readers of speech share: rows, shards and errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from typing import ClassVar, NamedTuple, TypedDict

import pyarrow as pa

from schemas.datasets import FAILED, UTTERANCE, Row
from schemas.errors import RoundtripError

CORPUS_ROW = pa.schema([*UTTERANCE, pa.field("status", pa.string()), pa.field("reason", pa.string())])
"""The columns that a reader returns: an utterance and, if the row cannot be used, its `status` and `reason`."""
BATCH_ROWS = 64
"""Most rows of a shard that are in memory at once."""
BATCH_BYTES = 64 << 20
"""Bytes of recordings after which a batch ends early: one row may hold an hour of audio."""


class CorpusError(RoundtripError):
    """A corpus that cannot be read. A bad row is not an error: it is kept as failed, with its reason."""


class MissingCorpus(CorpusError):
    """The path of a corpus leads to no file or folder."""


class AudioError(RoundtripError):
    """A recording that cannot be used. The message is `slug: sentence`, so that reasons can be counted."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug


class Audio(TypedDict):
    """A recording as Hugging Face's Audio feature stores it: an encoded file in `bytes`, or its `path` or URI."""

    bytes: bytes | None
    path: str | None


class Kind(NamedTuple):
    """The language of a row and which texts it has; this is known before its audio is read."""

    lang: str
    has_text: bool
    has_reference: bool


class Entry(NamedTuple):
    """The id and the kind of a row."""

    utt_id: str | None
    kind: Kind


class Shard(ABC):
    """A part of a corpus. One worker reads it from beginning to end."""

    reads_audio: ClassVar[bool]
    """Whether `list_entries` has to read through the audio; workers then call it and not the driver."""

    @abstractmethod
    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        """Return the entries of all rows in order, and how many files are left out by reason.

        Raises CorpusError if the shard cannot be read.
        """

    @abstractmethod
    def read_rows(self) -> Iterator[list[Row]]:
        """Yield the rows in the order of `list_entries`, at most `BATCH_ROWS` at a time."""

    def find_audio(self, ids: Collection[str]) -> dict[str, Audio | None]:
        """Return the audio of the rows with these ids; of equal ids the first row counts."""
        left, audio = set(ids), dict[str, Audio | None]()
        for rows in self.read_rows():
            for row in rows:
                if row["utt_id"] in left:
                    left.remove(row["utt_id"])
                    audio[row["utt_id"]] = row["audio"]
            if not left:
                break
        return audio


_make_kind = cache(Kind)
"""There are few different kinds, and there may be millions of rows: equal kinds share one object."""


def make_entry(row: Row) -> Entry:
    """Return the entry of a row."""
    return Entry(row["utt_id"], _make_kind(row["lang"], bool(row.get("text")), bool(row.get("reference"))))


def mark_failed(row: Row, reason: str) -> Row:
    """Return the row as failed, without audio."""
    return row | {"audio": None, "status": FAILED, "reason": reason}


def split_into_batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists of at most `BATCH_ROWS` rows and little more than `BATCH_BYTES` of recordings."""
    batch, size = list[Row](), 0
    for row in rows:
        batch.append(row)
        size += len((row.get("audio") or {}).get("bytes") or b"")
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
