"""Datasets on a disk and in an object store: no row is lost, written twice, or mixed with another recipe's."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.storage import files, lease
from factory.storage.dataset import BLOCK, DatasetDir
from factory.storage.manifest import FingerprintMismatch, StoreError
from schemas.datasets import FAILED, OK, SKIPPED, UNITS
from schemas.fingerprint import json_digest
from tests.limits import HANG_S
from tests.s3 import Faults, failing_s3_server, s3_server

CONTENT = {
    "stage": "tokenize",
    "encoder": {"layer": 4, "kind": "whisper"},
    "languages": ("fr", "en"),
    "inputs": {"corpus": "c0"},
}


def table(numbers: range, text: str = "") -> pa.Table:
    """Return rows of UNITS: every fifth is skipped, every seventh failed."""
    statuses = [SKIPPED if n % 5 == 0 else FAILED if n % 7 == 0 else OK for n in numbers]
    reasons = {SKIPPED: "too_short: 0.02 s of audio", FAILED: "error: Encoder: no", OK: None}
    rows = [
        {"utt_id": f"u{n:03d}", "lang": "fr", "text": text, "units": [n], "status": status, "reason": reasons[status]}
        for n, status in zip(numbers, statuses, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def ids(numbers: range) -> list[str]:
    return [f"u{n:03d}" for n in numbers]


def start(folder: Path | str) -> DatasetDir:
    """Start a dataset."""
    out = DatasetDir(str(folder), UNITS)
    assert out.start(CONTENT)
    return out


def test_rows_are_read_by_column_status_and_id(tmp_path: Path) -> None:
    out = start(tmp_path)
    assert out.rows().num_rows == 0 and out.rows().schema.names == UNITS.names and out.num_done == 0
    out.append(table(range(40)))
    assert out.rows(["utt_id"], status=FAILED).to_pydict() == {"utt_id": ["u007", "u014", "u021", "u028"]}
    assert out.rows(["utt_id"], ids=["u003", "u005", "u099"])["utt_id"].to_pylist() == ["u003", "u005"]
    assert out.rows(["utt_id"], status=OK, ids=["u003", "u005"])["utt_id"].to_pylist() == ["u003"]
    assert out.rows(ids=[]).num_rows == 0 and out.rows().num_rows == 40


TWO_LANGUAGES = pa.table(
    {
        "utt_id": ["a", "a", "b"],
        "tgt_lang": ["en", "de", "en"],
        "status": [OK, OK, SKIPPED],
        "reason": [None, None, "too_short: no"],
    }
)


def test_several_columns_can_name_a_row(tmp_path: Path) -> None:
    out = DatasetDir(str(tmp_path), more=["tgt_lang"])
    out.start(CONTENT)
    out.append(TWO_LANGUAGES.slice(0, 1))
    assert out.done_ids() == {"a-en"} and out.list_ids(TWO_LANGUAGES) == ["a-en", "a-de", "b-en"]
    with pytest.raises(StoreError, match="lacks 2 of 3 rows: a-de, b-en"):
        out.publish(out.list_ids(TWO_LANGUAGES))
    out.append(TWO_LANGUAGES.slice(1, 2))
    out.append(TWO_LANGUAGES.slice(0, 2))  # what another attempt wrote is dropped
    assert out.publish(out.list_ids(TWO_LANGUAGES)).rows == 3
    assert out.rows(ids=["a"]).num_rows == 2, "rows are found by their first column"
    assert out.failures().to_pylist() == [{"status": SKIPPED, "reason": "too_short", "count": 1, "ids": ["b"]}]


def test_a_stream_of_rows_that_several_columns_name_is_written_and_published(local_ray: None, tmp_path: Path) -> None:
    import ray.data

    out = DatasetDir(str(tmp_path), more=["tgt_lang"])
    out.start(CONTENT)
    out.append(TWO_LANGUAGES.slice(0, 1))
    reports = list(out.write(out.unfinished(ray.data.from_arrow(TWO_LANGUAGES))))
    assert sum(report.rows for report in reports) == 2
    assert out.publish(ray.data.from_arrow(TWO_LANGUAGES)).rows == 3


def test_an_unfinished_dataset_is_not_streamed(tmp_path: Path) -> None:
    out = start(tmp_path)
    out.append(table(range(5)))
    with pytest.raises(StoreError, match="is not finished: it has no _manifest.json"):
        out.dataset()  # rows that are written later would be lost


def test_failures_are_counted(tmp_path: Path) -> None:
    out = start(tmp_path)
    out.append(table(range(40)))
    assert out.failures().to_pylist() == [
        {"status": SKIPPED, "reason": "too_short", "count": 8, "ids": ["u000", "u005", "u010", "u015", "u020"]},
        {"status": FAILED, "reason": "error", "count": 4, "ids": ["u007", "u014", "u021", "u028"]},
    ]


def test_a_dataset_is_finished_by_its_manifest(tmp_path: Path) -> None:
    out = start(tmp_path / "units")
    report = out.append(table(range(10)))
    assert report.rows == 10 and report.by_status == {SKIPPED: 2, OK: 7, FAILED: 1}
    assert not out.is_finished()
    with pytest.raises(StoreError, match=r"units is not finished: it has no _manifest.json; run the stage"):
        out.manifest()
    manifest = out.publish(ids(range(10)), {"dtype": "float32"})
    assert out.is_finished() and out.manifest() == manifest
    assert sorted(os.listdir(tmp_path / "units")) == ["_manifest.json", Path(out.parts()[0]).name]
    with pytest.raises(StoreError, match=r"call start\(\) first \(a finished dataset takes no rows\)"):
        out.append(table(range(3)))
    assert out.start(CONTENT) is False
    assert out.publish(["others"]) == manifest


def test_a_manifest_describes_the_dataset(tmp_path: Path) -> None:
    out = start(tmp_path)
    out.append(table(range(10)))
    manifest = out.publish(ids(range(10)), {"dtype": "float32"})
    content = json.loads(json.dumps(CONTENT))
    assert manifest.content == content and manifest.fingerprint == json_digest(content)
    assert manifest.inputs == {"corpus": "c0"} and manifest.rows == 10 and manifest.attempts == 1
    assert manifest.by_status == {SKIPPED: 2, OK: 7, FAILED: 1} and manifest.by_reason == {"too_short": 2, "error": 1}
    assert manifest.versions["dtype"] == "float32" and "ray" in manifest.versions
    assert datetime.fromisoformat(manifest.started) <= datetime.fromisoformat(manifest.finished)
    assert 0 <= manifest.seconds < 600


def test_rows_without_status_are_ok_and_a_content_may_have_no_inputs(tmp_path: Path) -> None:
    out = DatasetDir(str(tmp_path), key="n")
    out.start({"stage": "toy"})
    out.append(pa.table({"n": ["a", "b"]}))
    assert pq.read_schema(out.parts()[0]).metadata[b"roundtrip.inputs"] == b"{}"
    manifest = out.publish(["b", "a"])
    assert (manifest.by_status, manifest.by_reason, manifest.inputs) == ({OK: 2}, {}, {})


def test_every_attempt_is_counted_with_its_time(tmp_path: Path) -> None:
    out = start(tmp_path)
    part = out.append(table(range(10))).path
    assert out.start(CONTENT)
    progress = json.loads((tmp_path / "_progress.json").read_text())
    assert progress["fingerprint"] == json_digest(json.loads(json.dumps(CONTENT))) and len(progress["attempts"]) == 2
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    progress["attempts"][0] = hour_ago.isoformat()
    (tmp_path / "_progress.json").write_text(json.dumps(progress))
    os.utime(part, (hour_ago.timestamp() + 100,) * 2)
    manifest = out.publish()
    assert manifest.attempts == 2 and manifest.started == hour_ago.isoformat()
    assert 100 <= manifest.seconds < 700


def test_parts_have_the_columns_of_the_dataset_and_name_their_origin(tmp_path: Path) -> None:
    out = start(tmp_path)
    out.append(table(range(2)).append_column("debug", pa.array([1, 2])))
    assert pq.read_schema(out.parts()[0]).names == UNITS.names
    metadata = pq.read_schema(out.parts()[0]).metadata
    assert json.loads(metadata[b"roundtrip.inputs"]) == {"corpus": "c0"}
    assert metadata[b"roundtrip.fingerprint"].decode() == json_digest(CONTENT)


def test_another_recipe_is_refused_with_its_differences(tmp_path: Path) -> None:
    out = start(tmp_path)
    other = CONTENT | {"encoder": {"layer": 5, "kind": "whisper"}, "inputs": {"corpus": "c1"}}
    for state in ("unfinished", "finished"):
        with pytest.raises(FingerprintMismatch, match="encoder.layer: 4 in the folder, 5 in the recipe") as error:
            out.start(other)
        assert error.value.differences == {"encoder.layer": (4, 5), "inputs.corpus": ("c0", "c1")}, state
        out.publish()
        out.start(CONTENT)


def test_other_parquet_is_read_and_never_written_into(tmp_path: Path) -> None:
    pq.write_table(table(range(4)), tmp_path / "mine.parquet")
    assert DatasetDir(str(tmp_path)).rows().num_rows == DatasetDir(str(tmp_path / "mine.parquet")).rows().num_rows == 4
    with pytest.raises(StoreError, match="has Parquet that no run wrote; choose an empty folder"):
        DatasetDir(str(tmp_path)).start(CONTENT)
    with pytest.raises(StoreError, match="call start"):
        DatasetDir(str(tmp_path)).append(table(range(2)))


def test_parquet_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none has no Parquet; expected a folder of Parquet files, or one file"):
        DatasetDir(str(tmp_path / "none")).rows()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(StoreError, match=r"broken.parquet could not be read: .*expected Parquet with the columns"):
        DatasetDir(str(tmp_path / "broken.parquet")).rows()
    pq.write_table(pa.table({"n": [1]}), tmp_path / "other.parquet")
    with pytest.raises(StoreError, match=r"other.parquet could not be read: .*utt_id"):
        DatasetDir(str(tmp_path / "other.parquet")).rows(["utt_id"])


def test_a_finished_dataset_that_lost_or_got_a_part_is_refused(tmp_path: Path) -> None:
    out = start(tmp_path)
    for numbers in (range(10), range(10, 20)):
        out.append(table(numbers))
    assert out.rows().num_rows == 20, "rows are read while they are written"
    out.publish()
    kept = {status: out.rows(status=status).num_rows for status in (None, OK, SKIPPED, FAILED)}
    assert kept == {None: 20, OK: 14, SKIPPED: 4, FAILED: 2}
    lost, other = out.parts()
    Path(lost).rename(tmp_path / "kept")
    said = f"{tmp_path} holds 10 rows, and its manifest says 20: part files were deleted or added; restore them, or "
    with pytest.raises(StoreError, match=re.escape(said)):
        out.rows(["utt_id"])
    with pytest.raises(StoreError, match="holds 7 rows with the status ok, and its manifest says 14"):
        out.rows(status=OK)
    assert out.rows(ids=["u000", "u010"]).num_rows == 1, "a selection by ids is not counted"
    Path(tmp_path / "kept").rename(lost)
    shutil.copy(other, f"{other[:-8]}x.parquet")
    with pytest.raises(StoreError, match="holds 30 rows, and its manifest says 20"):
        out.rows()


def test_a_repeated_row_keeps_its_first_version_and_the_rest_of_its_part(tmp_path: Path) -> None:
    out = start(tmp_path)
    blocks = [range(5), range(3, 8), range(6, 8), range(8), range(4)]
    for number, block in enumerate(blocks):
        out.append(table(block, text=str(number)))
    out.append(table(range(5), text="again"))  # the same ids: the same file
    assert len(out.parts()) == len(blocks)
    assert out.publish(ids(range(8))).rows == 8
    assert sorted(out.rows(["utt_id"]).column(0).to_pylist()) == ids(range(8))


def test_a_dataset_in_a_storage_of_fsspec_is_read_where_it_was_written() -> None:
    out = DatasetDir(f"memory://{uuid4().hex}/units", UNITS)
    assert out.start(CONTENT)
    for block in (range(5), range(3, 8)):
        out.append(table(block))
    assert out.rows(["utt_id"], status=FAILED)["utt_id"].to_pylist() == ["u007"]
    assert out.done_ids() == set(ids(range(8)))
    assert out.publish(ids(range(8))).rows == 8
    assert out.rows().num_rows == 8 and out.manifest().rows == 8


def test_missing_and_unexpected_rows_are_refused(tmp_path: Path) -> None:
    out = start(tmp_path / "out")
    out.append(table(range(5)))
    source = start(tmp_path / "source")
    source.append(table(range(7)))
    for expected in (ids(range(7)), iter(ids(range(7))), source):
        with pytest.raises(StoreError, match=f"^{out.uri} lacks 2 of 7 rows: u005, u006; run the stage again"):
            out.publish(expected)
    with pytest.raises(StoreError, match="has 1 rows that are not in its source: u004"):
        out.publish(ids(range(4)))
    assert not out.is_finished()


@pytest.mark.parametrize("keep", [0, 3, -1, -9, 200])
def test_torn_parts_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, keep: int) -> None:
    out = start(tmp_path)
    out.append(table(range(5)))
    torn = Path(out.append(table(range(5, 9))).path)
    torn.write_bytes(torn.read_bytes()[:keep])
    assert out.done_ids() == set(ids(range(5)))
    assert f"renamed to _torn-{torn.name}, its rows are made again" in caplog.text
    out.append(table(range(5, 9)))
    assert out.publish(ids(range(9))).rows == 9


def test_temporary_files_are_ignored_and_removed_at_the_next_start(tmp_path: Path) -> None:
    out = start(tmp_path)
    (tmp_path / ".part-x.parquet.abc.tmp").write_bytes(b"PAR1")
    assert out.parts() == [] and out.done_ids() == set()
    out.start(CONTENT)
    assert not list(tmp_path.glob(".*"))


def test_a_writer_that_was_replaced_writes_and_publishes_no_more(tmp_path: Path) -> None:
    out = start(tmp_path)
    path = tmp_path / lease.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"token": "t", "host": "node-7"}))
    for write in (lambda: out.append(table(range(2))), out.publish):
        with pytest.raises(StoreError, match=r"was taken over from this run \(process .* on node-7"):
            write()
    assert not out.is_finished() and not out.parts()


def test_a_released_dataset_can_be_taken_by_another_run(tmp_path: Path) -> None:
    out = start(tmp_path)
    out.release()
    out.release()
    assert not (tmp_path / lease.NAME).exists()
    with pytest.raises(StoreError, match="is not being written"):
        out.append(table(range(2)))


def test_a_name_in_messages_has_no_credentials() -> None:
    uri = "s3://KEY:SECRET@bucket/units?region=us-east-1"
    assert repr(DatasetDir(uri)) == "DatasetDir('s3://***@bucket/units?region=us-east-1')"


def run_pass(out: DatasetDir, source: DatasetDir) -> int:
    """Run a toy pass, and return the number of rows that it wrote."""
    rows = out.unfinished(source, rows_per_block=8).map_batches(
        lambda block: block, batch_format="pyarrow", batch_size=4
    )
    return sum(report.rows for report in out.write(rows))


def test_a_pass_continues_where_it_stopped(tmp_path: Path, local_ray: None) -> None:
    source = start(tmp_path / "source")
    source.append(table(range(60)))
    out = start(tmp_path / "out")
    with pytest.raises(StoreError, match="is not finished"):
        run_pass(out, source)  # a source that is still being written would lose rows
    source.publish()
    out.append(table(range(20)))
    assert run_pass(out, source) == 40 and out.num_done == 20
    assert len(out.parts()) == 6
    manifest = out.publish(source)
    assert manifest.rows == 60 and out.dataset(["utt_id"]).schema().names == ["utt_id"]
    again = start(tmp_path / "again")
    assert run_pass(again, out) == 60 and run_pass(again, out) == 0
    assert again.publish(source.dataset()).rows == 60


def test_blocks_have_64_rows(tmp_path: Path, local_ray: None) -> None:
    source = start(tmp_path / "source")
    source.append(table(range(130)))
    source.publish()
    out = start(tmp_path / "out")
    assert BLOCK == 64 and sorted(report.rows for report in out.write(out.unfinished(source))) == [2, 64, 64]


def test_an_empty_pass_is_published(tmp_path: Path, local_ray: None) -> None:
    source, out = start(tmp_path / "source"), start(tmp_path / "out")
    assert source.publish().rows == 0
    assert run_pass(out, source) == 0 and out.publish(source).rows == 0


SLOW_PASS = """
import sys, time
from factory.runtime.local_ray import start_here
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS

def slow(block):
    time.sleep(0.25)
    return block

source, out = DatasetDir(sys.argv[1]), DatasetDir(sys.argv[2], UNITS)
start_here(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
out.start({"stage": "toy"})
rows = out.unfinished(source, rows_per_block=4).map_batches(slow, batch_format="pyarrow", num_cpus=1)
for _ in out.write(rows):
    pass
out.publish(source)
"""


def test_a_killed_pass_loses_nothing_and_repeats_nothing(tmp_path: Path, local_ray: None) -> None:
    source = start(tmp_path / "source")
    source.append(table(range(60)))
    source.publish()
    out = DatasetDir(str(tmp_path / "out"), UNITS)
    command = [sys.executable, "-c", SLOW_PASS, source.uri, out.uri]
    first = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + HANG_S
    while len(out.parts()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)  # the driver, and all processes that Ray started for it
    first.wait()
    kept = out.done_ids()
    assert 12 <= len(kept) < 60 and not out.is_finished()
    assert out.start({"stage": "toy"}) and run_pass(out, source) == 60 - len(kept)
    out.publish(source)
    assert sorted(out.rows(["utt_id"]).column(0).to_pylist()) == ids(range(60))
    assert out.manifest().attempts == 2 and out.manifest().rows == 60


@pytest.fixture
def bucket() -> Iterator[str]:
    """A real S3 server on loopback with one bucket."""
    with s3_server() as uri:
        yield uri


@pytest.fixture
def failing_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Faults]]:
    """A bucket of a real S3 server that can fail."""
    monkeypatch.setattr(files, "PAUSES_S", ())
    with failing_s3_server() as pair:
        yield pair


def test_a_dataset_in_an_object_store(bucket: str) -> None:
    out = start(f"{bucket}/runs/units/")
    out.append(table(range(20)))
    with out.fs.open_output_stream(f"{out.path}/part-torn.parquet") as stream:
        stream.write(b"PAR1 torn")
    out.start(CONTENT)
    assert out.done_ids() == set(ids(range(20)))
    out.append(table(range(15, 30)))
    manifest = out.publish(ids(range(30)))
    assert manifest.rows == 30 and manifest.attempts == 2
    assert DatasetDir(f"{bucket}/runs/units").rows(["utt_id"], status=SKIPPED).num_rows == 6
    with pytest.raises(FingerprintMismatch):
        out.start(CONTENT | {"stage": "produce"})


def test_ray_streams_from_and_to_an_object_store(bucket: str) -> None:
    source = start(f"{bucket}/source")
    source.append(table(range(12)))
    source.publish()
    out = DatasetDir(f"{bucket}/out")
    command = [sys.executable, "-c", SLOW_PASS, source.uri, out.uri]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert result.returncode == 0, result.stderr[-2000:]
    assert out.manifest().rows == 12 and len(out.parts()) == 3


def test_a_store_that_fails_publishes_nothing_and_a_second_run_completes(failing_bucket: tuple[str, Faults]) -> None:
    uri, faults = failing_bucket
    out = start(f"{uri}/units")
    out.append(table(range(5)))
    faults.failures = 1000
    with pytest.raises(StoreError, match=r"/units/_manifest.json could not be written: .*run the same command again"):
        out.publish(ids(range(5)))
    assert not out.is_finished() and len(out.parts()) == 1
    faults.failures = 0
    assert out.start(CONTENT)
    out.append(table(range(5, 9)))
    assert out.publish(ids(range(9))).rows == 9


def test_a_writer_in_an_object_store_that_was_replaced_writes_no_more(failing_bucket: tuple[str, Faults]) -> None:
    out = start(f"{failing_bucket[0]}/units")
    owner = files.get_json(out.fs, f"{out.path}/_lease.json") | {"machine": "another", "token": "t", "host": "node-7"}
    files.put_json(out.fs, f"{out.path}/_lease.json", owner)
    with pytest.raises(StoreError, match=r"taken over from this run \(process .* on node-7"):
        out.append(table(range(5)))
