"""Rows travel in batches that fit into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from factory.corpora.base import BATCH_BYTES, Entry, Kind, Shard, make_entry, mark_failed, split_into_batches
from schemas.datasets import Row


class TwoBatches(Shard):
    """Three rows in two batches; counts the batches that are read."""

    reads_audio: ClassVar[bool] = False
    read = 0

    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        return [], Counter()

    def read_rows(self) -> Iterator[list[Row]]:
        for batch in ([("a", b"1"), ("b", b"2")], [("a", b"3")]):
            self.read += 1
            yield [{"utt_id": name, "audio": {"bytes": content, "path": None}} for name, content in batch]


def test_a_batch_ends_after_64_rows_or_64_mib_of_audio() -> None:
    row = {"audio": {"bytes": b"x" * (BATCH_BYTES // 2)}}
    assert [len(batch) for batch in split_into_batches(iter([row] * 5))] == [2, 2, 1]
    assert [len(batch) for batch in split_into_batches(iter([{"audio": None}] * 70))] == [64, 6]


def test_an_entry_says_which_texts_a_row_has() -> None:
    assert make_entry({"utt_id": "a", "lang": "fr", "text": "oui"}) == Entry("a", Kind("fr", True, False))
    row = {"utt_id": None, "lang": "en", "text": "", "reference": "oui"}
    assert make_entry(row) == Entry(None, Kind("en", False, True))


def test_a_failed_row_has_no_audio() -> None:
    row = mark_failed({"utt_id": "a", "audio": {"bytes": b"x", "path": None}}, "empty: no bytes")
    assert row == {"utt_id": "a", "audio": None, "status": "failed", "reason": "empty: no bytes"}


def test_find_audio_returns_the_first_row_of_an_id_and_reads_no_further() -> None:
    shard = TwoBatches()
    assert shard.find_audio(["b", "a"]) == {
        "a": {"bytes": b"1", "path": None},
        "b": {"bytes": b"2", "path": None},
    }
    assert shard.read == 1
    assert shard.find_audio(["c"]) == {} and shard.read == 3
