"""Rows travel in batches that fit into memory."""

from __future__ import annotations

from factory.corpora.base import AT_ONCE_BYTES, in_batches


def test_batches_are_bound_by_bytes() -> None:
    row = {"audio": {"bytes": b"x" * (AT_ONCE_BYTES // 2)}}
    assert [len(batch) for batch in in_batches(iter([row] * 5))] == [2, 2, 1]
    assert [len(batch) for batch in in_batches(iter([{"audio": None}] * 70))] == [64, 6]
