"""A sample of rows: the same ones every time."""

from __future__ import annotations

import pyarrow as pa

from factory.passes.sampling import sample_rows
from schemas.datasets import UNITS

IDS = [f"u{number}" for number in range(10)]
BY_CRC = ["u4", "u0", "u8", "u1", "u5", "u9", "u7", "u3", "u2", "u6"]


def test_a_sample_is_the_rows_with_the_lowest_hashes() -> None:
    table = pa.table({"utt_id": IDS, "value": range(10)})
    assert [found["utt_id"] for found in sample_rows(table, 10)] == BY_CRC
    assert sample_rows(table, 2) == [{"utt_id": "u4", "value": 4}, {"utt_id": "u0", "value": 0}]
    shuffled = table.take([7, 2, 9, 0, 1, 8, 3, 6, 5, 4])
    assert sample_rows(shuffled, 4) == sample_rows(table, 4)
    assert sample_rows(UNITS.empty_table(), 5) == []
