"""Part files: named after their ids, written with a lease, read in small tables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from factory.storage import lease
from factory.storage.manifest import StoreError
from factory.storage.parts import ROWS_AT_ONCE, PartWriter, read_part, write_block
from schemas.datasets import UNITS

DISK = pafs.LocalFileSystem()
ROWS = [
    {"utt_id": "u0", "lang": "fr", "units": [1, 2], "durations": [3, 5], "status": "ok"},
    {"utt_id": "u1", "lang": "fr", "units": [4], "durations": [2], "status": "ok"},
    {"utt_id": "u2", "lang": "fr", "status": "failed", "reason": "error: no"},
]


@pytest.fixture
def writer(tmp_path: Path) -> PartWriter:
    """A writer of UNITS with a lease on the folder of the test."""
    token = lease.take(DISK, str(tmp_path)).token
    return PartWriter(str(tmp_path), UNITS, ("utt_id",), {"roundtrip.fingerprint": "f0"}, token)


def table(rows: list[dict[str, object]] | None = None) -> pa.Table:
    return pa.Table.from_pylist(ROWS if rows is None else rows, schema=UNITS)


def test_a_part_is_named_after_its_ids(writer: PartWriter, tmp_path: Path) -> None:
    digest = hashlib.sha256(b'["u0", "u1", "u2"]').hexdigest()[:20]
    assert writer(table()).path == f"{tmp_path}/part-{digest}.parquet"
    assert writer(table(), "-first").path == f"{tmp_path}/part-{digest}-first.parquet"
    assert writer(table(ROWS[::-1])).path not in (f"{tmp_path}/part-{digest}.parquet", writer(table(ROWS[:2])).path)


def test_the_same_ids_write_the_same_file(writer: PartWriter, tmp_path: Path) -> None:
    again = [row | {"text": "again"} for row in ROWS]
    assert writer(table()).path == writer(table(again)).path
    assert pq.read_table(next(tmp_path.glob("*.parquet")))["text"].to_pylist() == ["again"] * 3


def test_the_report_counts_rows_statuses_tokens_and_seconds(writer: PartWriter) -> None:
    report = writer(table())
    assert report.rows == 3 and report.by_status == {"ok": 2, "failed": 1}
    assert report.counters == {"roundtrip_tokens": 3.0, "roundtrip_audio_seconds": pytest.approx(0.2)}


def test_a_part_has_the_columns_and_types_of_the_schema(writer: PartWriter) -> None:
    wide = (
        table()
        .append_column("debug", pa.array([1, 2, 3]))
        .set_column(UNITS.get_field_index("num_samples"), "num_samples", pa.array([1, 2, 3], pa.int32()))
    )
    schema = pq.read_schema(writer(wide).path)
    assert schema.names == UNITS.names and schema.field("num_samples").type == pa.int64()


def test_without_a_schema_a_part_has_the_columns_of_its_rows(tmp_path: Path) -> None:
    writer = PartWriter(str(tmp_path), None, ("n",), {"origin": "toy"}, lease.take(DISK, str(tmp_path)).token)
    report = writer(pa.table({"n": [1, 2], "x": ["a", "b"]}).replace_schema_metadata({"kept": "yes"}))
    assert report.by_status == {"ok": 2} and report.counters == {}
    schema = pq.read_schema(report.path)
    assert schema.names == ["n", "x"]
    assert schema.metadata[b"origin"] == b"toy" and schema.metadata[b"kept"] == b"yes"


def test_nothing_is_written_without_the_lease(writer: PartWriter, tmp_path: Path) -> None:
    stranger = PartWriter(writer.uri, writer.schema, writer.key, writer.origin, "another token")
    with pytest.raises(StoreError, match="was taken over from this run"):
        stranger(table())
    assert not list(tmp_path.glob("*.parquet"))


def test_a_block_is_written_as_one_part_and_an_empty_block_as_none(writer: PartWriter, tmp_path: Path) -> None:
    reports = [json.loads(text) for text in write_block(table(), writer)["report"].to_pylist()]
    assert [(report["rows"], report["by_status"]) for report in reports] == [(3, {"ok": 2, "failed": 1})]
    assert set(reports[0]) == {"path", "rows", "by_status", "counters"}
    empty = write_block(table([]), writer)
    assert empty.num_rows == 0 and empty.schema.field("report").type == pa.string()
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_parts_are_read_in_small_tables(tmp_path: Path) -> None:
    numbers = list(range(ROWS_AT_ONCE + 5))
    for name, column in (("a", numbers), ("b", [-1])):
        pq.write_table(pa.table({"n": column, "x": ["x"] * len(column)}), tmp_path / f"{name}.parquet")
    paths = [f"{tmp_path}/a.parquet", f"{tmp_path}/b.parquet"]
    tables = list(read_part({"path": paths}, DISK, ["n"]))
    assert [each.num_rows for each in tables] == [ROWS_AT_ONCE, 5, 1]
    assert pa.concat_tables(tables).to_pydict() == {"n": [*numbers, -1]}
    assert next(read_part({"path": paths}, DISK, None)).column_names == ["n", "x"]
