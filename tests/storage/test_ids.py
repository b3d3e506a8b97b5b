"""Ids of part files: repeats keep their first row, and missing or unexpected ids are refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from factory.storage import lease
from factory.storage.dataset import DatasetDir
from factory.storage.ids import PartIds, check_complete, drop_repeats, exclude_ids, read_ids, unique_ids
from factory.storage.manifest import StoreError
from factory.storage.parts import PartWriter

DISK = pafs.LocalFileSystem()


@pytest.fixture
def writer(tmp_path: Path) -> PartWriter:
    """A writer with a lease on the folder of the test."""
    out = DatasetDir(str(tmp_path / "out"))
    out.start({"stage": "toy"})
    mine = lease.current(out.path)
    assert mine is not None
    return PartWriter(out.uri, None, ("utt_id",), {}, mine.token)


def rows(numbers: range, text: str) -> pa.Table:
    return pa.table({"utt_id": [f"u{n}" for n in numbers], "text": [text] * len(numbers)})


def write_parts(writer: PartWriter, *blocks: range) -> list[PartIds]:
    """Write a part file per block, in this order; its rows have the number of the block as text."""
    paths = [writer(rows(block, str(number))).path for number, block in enumerate(blocks)]
    return [part for path in paths for part in read_ids(DISK, [path], ("utt_id",))]


def read_all(folder: Path) -> dict[str, str]:
    """Return id -> text of all rows; every id may be there once."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    pairs = [(row["utt_id"], row["text"]) for table in tables for row in table.to_pylist()]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_ids_are_read_part_by_part_as_strings(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{name}.parquet" for name in "ba"]
    for number, path in enumerate(paths):
        pq.write_table(pa.table({"x": [0, 0], "n": [number, 10]}), path)
    parts = read_ids(DISK, paths, ("n",))
    assert [(part.path, part.ids.to_pylist()) for part in parts] == [(paths[0], ["0", "10"]), (paths[1], ["1", "10"])]
    assert unique_ids(parts).to_pylist() == ["0", "10", "1"]
    assert unique_ids([]).to_pylist() == [] and unique_ids([]).type == pa.string()


def test_a_torn_part_is_set_aside_and_has_no_ids(tmp_path: Path) -> None:
    whole, torn = f"{tmp_path}/a.parquet", f"{tmp_path}/b.parquet"
    pq.write_table(pa.table({"utt_id": ["u1"]}), whole)
    Path(torn).write_bytes(Path(whole).read_bytes()[:-1])
    assert [part.path for part in read_ids(DISK, [whole, torn], ("utt_id",))] == [whole]
    assert (tmp_path / "_torn-b.parquet").exists() and not Path(torn).exists()


def test_a_complete_part_that_cannot_be_read_is_no_torn_part(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.parquet"
    pq.write_table(pa.table({"utt_id": [[1]]}), path)  # a list is no id
    with pytest.raises(pa.ArrowException):
        read_ids(DISK, [path], ("utt_id",))
    assert Path(path).exists()


def test_a_repeated_id_keeps_its_first_row(writer: PartWriter, tmp_path: Path) -> None:
    parts = write_parts(writer, range(3), range(2, 5), range(4))
    drop_repeats(DISK, parts, writer)
    assert read_all(tmp_path / "out") == {"u0": "0", "u1": "0", "u2": "0", "u3": "1", "u4": "1"}
    assert len(list((tmp_path / "out").glob("part-*[0-9a-f]-first.parquet"))) == 1


def test_the_rest_of_a_part_may_have_the_ids_of_a_later_part(writer: PartWriter, tmp_path: Path) -> None:
    parts = write_parts(writer, range(5), range(3, 8), range(5, 8))
    drop_repeats(
        DISK, parts, writer
    )  # without a suffix 5, 6, 7 would be written as the third part, and deleted with it
    assert read_all(tmp_path / "out") == {f"u{n}": "0" if n < 5 else "1" for n in range(8)}


def test_an_id_that_one_part_repeats_keeps_its_first_row(writer: PartWriter, tmp_path: Path) -> None:
    table = pa.table({"utt_id": ["u0", "u1", "u0"], "text": ["first", "only", "second"]})
    drop_repeats(DISK, read_ids(DISK, [writer(table).path], ("utt_id",)), writer)
    assert read_all(tmp_path / "out") == {"u0": "first", "u1": "only"}


def test_parts_without_repeats_are_not_touched(writer: PartWriter, tmp_path: Path) -> None:
    parts = write_parts(writer, range(3), range(3, 6))
    drop_repeats(DISK, parts, writer)
    assert sorted(map(str, (tmp_path / "out").glob("*.parquet"))) == sorted(part.path for part in parts)


def test_the_new_file_is_written_before_the_old_one_is_deleted(writer: PartWriter, tmp_path: Path) -> None:
    parts = write_parts(writer, range(3), range(2, 5))

    def kill(table: pa.Table, suffix: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drop_repeats(DISK, parts, kill)
    assert all(Path(part.path).exists() for part in parts)


def strings(*ids: str) -> pa.Array:
    return pa.array(ids, pa.string())


def test_all_expected_ids_and_no_others_are_complete() -> None:
    check_complete("out", strings("a", "b"), strings("b", "a"))
    check_complete("out", strings(), strings())


def test_missing_ids_are_refused() -> None:
    message = r"^out lacks 2 of 3 rows: a, c; run the stage again to make them$"
    with pytest.raises(StoreError, match=message):
        check_complete("out", strings("b"), strings("c", "b", "a"))


def test_unexpected_ids_are_refused() -> None:
    message = r"^out has 1 rows that are not in its source: b; delete the folder and run the stage again$"
    with pytest.raises(StoreError, match=message):
        check_complete("out", strings("a", "b"), strings("a"))


def test_five_ids_are_named_and_more_are_indicated() -> None:
    five, six = strings(*"abcde"), strings(*"abcdef")
    with pytest.raises(StoreError, match=r"lacks 5 of 5 rows: a, b, c, d, e; run"):
        check_complete("out", strings(), five)
    with pytest.raises(StoreError, match=r"lacks 6 of 6 rows: a, b, c, d, e, …; run"):
        check_complete("out", strings(), six)


def test_ids_in_errors_are_on_one_line() -> None:
    with pytest.raises(StoreError, match=r"rows: a\\nb; run"):
        check_complete("out", strings(), strings("a\nb"))


def test_rows_of_ids_are_excluded() -> None:
    table = rows(range(4), "")
    assert exclude_ids(table, ("utt_id",), frozenset({"u1", "u3", "u9"}))["utt_id"].to_pylist() == ["u0", "u2"]
    assert exclude_ids(table, ("utt_id",), frozenset()).num_rows == 4
    assert exclude_ids(table.slice(0, 0), ("utt_id",), frozenset({"u1"})).num_rows == 0
