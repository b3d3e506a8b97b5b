"""Datasets: nothing lost, nothing twice, nothing mixed, on a disk and in an object store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.storage.dataset import DatasetDir
from factory.storage.manifest import FingerprintMismatch, StoreError, differences
from schemas.datasets import FAILED, OK, SKIPPED, UNITS
from tests.limits import HANG_S
from tests.s3 import s3_server

CONTENT = {
    "stage": "tokenize",
    "encoder": {"layer": 4, "kind": "whisper"},
    "languages": ("fr", "en"),
    "inputs": {"corpus": "c0"},
}


def table(numbers: range, text: str = "") -> pa.Table:
    """Rows of UNITS: every fifth is skipped, every seventh failed."""
    status = [SKIPPED if n % 5 == 0 else FAILED if n % 7 == 0 else OK for n in numbers]
    reasons = {SKIPPED: "too_short: 0.02 s of audio", FAILED: "error: Encoder: no", OK: None}
    rows = [
        {"utt_id": f"u{n:03d}", "lang": "fr", "text": text, "units": [n], "status": told, "reason": reasons[told]}
        for n, told in zip(numbers, status, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def ids(numbers: range) -> list[str]:
    return [f"u{n:03d}" for n in numbers]


def begun(folder: Path | str) -> DatasetDir:
    out = DatasetDir(str(folder), UNITS)
    out.start(CONTENT)
    return out


def test_rows_are_read_by_status_and_by_id(tmp_path: Path):
    out = begun(tmp_path / "units")
    out.append(table(range(10)))
    assert out.rows(["utt_id"], ids=["u003", "u005", "u099"])["utt_id"].to_pylist() == ["u003", "u005"]
    assert out.rows(["utt_id"], status=OK, ids=["u003", "u005"])["utt_id"].to_pylist() == ["u003"]
    assert out.rows(ids=[]).num_rows == 0


def test_a_dataset_is_finished_by_its_manifest(tmp_path: Path):
    out = begun(tmp_path / "units")
    report = out.append(table(range(10)))
    assert report.rows == 10 and report.by_status == {SKIPPED: 2, OK: 7, FAILED: 1}
    assert not out.is_finished()
    with pytest.raises(StoreError, match="is not finished"):
        out.manifest()
    manifest = out.publish(ids(range(10)))
    assert out.is_finished() and out.manifest() == manifest
    assert manifest.by_status == {SKIPPED: 2, OK: 7, FAILED: 1} and manifest.by_reason == {"too_short": 2, "error": 1}
    assert (
        manifest.inputs == {"corpus": "c0"}
        and manifest.attempts == 1
        and manifest.rows == 10
        and "ray" in manifest.versions
    )
    assert sorted(os.listdir(tmp_path / "units")) == ["_manifest.json", Path(out.parts()[0]).name]
    with pytest.raises(StoreError, match="a finished dataset takes no more rows"):
        out.append(table(range(3)))
    out.start(CONTENT)
    assert out.publish() == manifest


def test_parts_say_where_they_come_from(tmp_path: Path):
    out = begun(tmp_path)
    out.append(table(range(2)))
    told = pq.read_schema(out.parts()[0]).metadata
    assert json.loads(told[b"roundtrip.inputs"]) == {"corpus": "c0"} and len(told[b"roundtrip.fingerprint"]) == 16


def test_rows_by_column_and_status_and_failures(tmp_path: Path):
    out = begun(tmp_path)
    assert out.rows().num_rows == 0
    out.append(table(range(40)))
    assert out.rows(["utt_id"], status=FAILED).to_pydict() == {"utt_id": ["u007", "u014", "u021", "u028"]}
    assert out.failures().to_pylist() == [
        {"status": SKIPPED, "reason": "too_short", "count": 8, "ids": ["u000", "u005", "u010", "u015", "u020"]},
        {"status": FAILED, "reason": "error", "count": 4, "ids": ["u007", "u014", "u021", "u028"]},
    ]


def test_another_recipe_is_refused_with_what_differs(tmp_path: Path):
    out = begun(tmp_path)
    other = CONTENT | {"encoder": {"layer": 5, "kind": "whisper"}, "inputs": {"corpus": "c1"}}
    for _ in ("while it is written", "and when it is finished"):
        with pytest.raises(FingerprintMismatch) as error:
            out.start(other)
        assert error.value.differences == {"encoder.layer": (4, 5), "inputs.corpus": ("c0", "c1")}
        assert "encoder.layer: 4 there, 5 asked" in str(error.value)
        out.publish()
        out.start(CONTENT)


def test_differences_of_nested_contents():
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}) == {
        "a.c": (2, 4),
        "d": (3, None),
        "e": (None, 5),
    }


def test_parquet_of_others_is_read_and_never_written_into(tmp_path: Path):
    pq.write_table(table(range(4)), tmp_path / "mine.parquet")
    assert DatasetDir(str(tmp_path)).rows().num_rows == DatasetDir(str(tmp_path / "mine.parquet")).rows().num_rows == 4
    with pytest.raises(StoreError, match="holds Parquet that no run of ours began"):
        DatasetDir(str(tmp_path)).start(CONTENT)
    with pytest.raises(StoreError, match="holds no Parquet"):
        DatasetDir(str(tmp_path / "nothing")).rows()
    with pytest.raises(StoreError, match="call start"):
        DatasetDir(str(tmp_path)).append(table(range(2)))


def test_repeated_rows_keep_the_first_and_the_rest_of_their_parts(tmp_path: Path):
    out = begun(tmp_path)
    blocks = [
        range(5),
        range(3, 8),
        range(6, 8),
        range(8),
        range(4),
    ]  # the repeats of one part may be the whole of another
    for number, block in enumerate(blocks):
        out.append(table(block, text=str(number)))
    out.append(table(range(5), text="again"))  # the same ids: the same file
    assert len(out.parts()) == len(blocks)
    assert out.publish(ids(range(8))).rows == 8
    assert sorted(out.rows(["utt_id"]).column(0).to_pylist()) == ids(range(8))


def test_missing_and_unasked_rows_are_refused(tmp_path: Path):
    out = begun(tmp_path)
    out.append(table(range(5)))
    with pytest.raises(StoreError, match="lacks 2 of 7 rows: u005, u006; run the stage again"):
        out.publish(ids(range(7)))
    with pytest.raises(StoreError, match="holds 1 rows that its source does not have: u004"):
        out.publish(ids(range(4)))
    assert not out.is_finished()


@pytest.mark.parametrize("keep", [0, 3, -1, -9, 200])
def test_torn_parts_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, keep: int):
    out = begun(tmp_path)
    out.append(table(range(5)))
    torn = Path(out.append(table(range(5, 9))).path)
    torn.write_bytes(torn.read_bytes()[:keep])
    assert out.done_ids() == set(ids(range(5)))
    assert f"set aside as _torn-{torn.name}, its rows are made again" in caplog.text
    out.append(table(range(5, 9)))
    assert out.publish(ids(range(9))).rows == 9


def test_half_written_files_are_never_seen(tmp_path: Path):
    out = begun(tmp_path)
    (tmp_path / ".part-x.parquet.abc.tmp").write_bytes(b"PAR1")
    assert out.parts() == [] and out.done_ids() == set()


def passed(out: DatasetDir, source: DatasetDir) -> int:
    """Run a toy pass; returns how many rows it wrote."""
    rows = out.unfinished(source, rows_per_block=8).map_batches(
        lambda block: block, batch_format="pyarrow", batch_size=4
    )
    return sum(report.rows for report in out.write(rows))


def test_a_pass_resumes_where_it_stopped(tmp_path: Path, local_ray: None):
    source = begun(tmp_path / "source")
    source.append(table(range(60)))
    out = begun(tmp_path / "out")
    with pytest.raises(StoreError, match="is not finished"):
        passed(out, source)  # a source that is still written would lose rows
    source.publish()
    out.append(table(range(20)))
    assert passed(out, source) == 40
    assert len(out.parts()) >= 5
    manifest = out.publish(source)
    assert manifest.rows == 60 and out.dataset(["utt_id"]).count() == 60
    again = begun(tmp_path / "again")
    assert passed(again, out) == 60 and passed(again, out) == 0
    assert again.publish(source.dataset()).rows == 60


def test_an_empty_pass_is_published(tmp_path: Path, local_ray: None):
    source, out = begun(tmp_path / "source"), begun(tmp_path / "out")
    assert source.publish().rows == 0
    assert passed(out, source) == 0 and out.publish(source).rows == 0


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
print("written", sum(report.rows for report in out.write(rows)), flush=True)
out.publish(source)
"""


@pytest.mark.service
def test_a_killed_pass_loses_nothing_and_repeats_nothing(tmp_path: Path):
    source = begun(tmp_path / "source")
    source.append(table(range(60)))
    source.publish()
    out = DatasetDir(str(tmp_path / "out"), UNITS)
    command = [sys.executable, "-c", SLOW_PASS, source.uri, out.uri]
    first = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + HANG_S
    while len(out.parts()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)  # the driver and all that Ray started for it
    first.wait()
    kept = out.done_ids()
    assert 12 <= len(kept) < 60 and not out.is_finished()
    second = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert second.returncode == 0, second.stderr[-2000:]
    assert f"written {60 - len(kept)}\n" in second.stdout
    assert sorted(out.rows(["utt_id"]).column(0).to_pylist()) == ids(range(60))
    assert out.manifest().attempts == 2 and out.manifest().rows == 60


@pytest.fixture
def bucket() -> Iterator[str]:
    """A real S3 server on loopback with one bucket."""
    with s3_server() as uri:
        yield uri


def test_an_object_store_serves_as_a_folder(bucket: str):
    out = begun(f"{bucket}/runs/units/")
    out.append(table(range(20)))
    fs, path = out.fs, out.path
    with fs.open_output_stream(f"{path}/part-torn.parquet") as stream:
        stream.write(b"PAR1 torn")
    out.start(CONTENT)
    assert out.done_ids() == set(ids(range(20)))
    out.append(table(range(15, 30)))
    manifest = out.publish(ids(range(30)))
    assert manifest.rows == 30 and manifest.attempts == 2
    assert DatasetDir(f"{bucket}/runs/units").rows(["utt_id"], status=SKIPPED).num_rows == 6
    with pytest.raises(FingerprintMismatch):
        out.start(CONTENT | {"stage": "produce"})


def test_ray_streams_from_and_to_an_object_store(bucket: str):
    source = begun(f"{bucket}/source")
    source.append(table(range(12)))
    source.publish()
    out = DatasetDir(f"{bucket}/out")
    told = subprocess.run(
        [sys.executable, "-c", SLOW_PASS, source.uri, out.uri], capture_output=True, text=True, timeout=HANG_S
    )
    assert told.returncode == 0, told.stderr[-2000:]
    assert out.manifest().rows == 12 and len(out.parts()) == 3
