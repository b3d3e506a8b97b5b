"""Disks that are full and stores that fail: an error with the path, nothing half-written is seen, and a rerun heals."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from factory.storage import files
from factory.storage.dataset import DatasetDir
from factory.storage.files import get_json, put
from factory.storage.manifest import StoreError
from schemas.datasets import UNITS

CONTENT = {"stage": "toy"}


def table(numbers: range, text: str = "") -> pa.Table:
    return pa.Table.from_pylist(
        [{"utt_id": f"u{n:03d}", "lang": "fr", "text": text, "status": "ok"} for n in numbers], schema=UNITS
    )


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: writing fails in the middle of a file, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_with_the_path_and_a_rerun_heals(tmp_path: Path) -> None:
    out = DatasetDir(str(tmp_path / "out"), UNITS)
    out.start(CONTENT)
    out.append(table(range(5)))
    large = table(range(5, 50), os.urandom(2000).hex())
    with (
        small_disk(3000),
        pytest.raises(StoreError, match=r"out/part-\w+\.parquet could not be written: .*File too large.*run the same"),
    ):
        out.append(large)
    assert len(out.parts()) == 1 and not list((tmp_path / "out").glob(".*"))
    with small_disk(10), pytest.raises(StoreError, match=r"_progress.json could not be written"):
        put(out.fs, f"{out.path}/_progress.json", b"x" * 100)
    assert out.done_ids() == {f"u{n:03d}" for n in range(5)}
    out.start(CONTENT)
    out.append(large)
    assert out.publish([f"u{n:03d}" for n in range(50)]).rows == 50


def test_what_a_killed_writer_left_half_written_is_swept(tmp_path: Path) -> None:
    out = DatasetDir(str(tmp_path), UNITS)
    (tmp_path / ".part-1.parquet.abcd.tmp").write_bytes(b"PAR1")
    out.start(CONTENT)
    assert not list(tmp_path.glob(".*"))


def test_a_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "_manifest.json").write_text('{"rows": 1')
    with pytest.raises(StoreError, match=r"_manifest.json is no complete JSON .*delete it"):
        DatasetDir(str(tmp_path)).manifest()
    assert get_json(pafs.LocalFileSystem(), str(tmp_path / "none.json")) is None


class Faults:
    """What the server does to requests before it answers them: `fails` of a kind get an error, each takes `seconds`."""

    def __init__(self) -> None:
        self.method, self.fails, self.seconds = "PUT", 0, 0.0
        self.error = ("503 Slow Down", "SlowDown")
        self.uri = f"s3://{uuid4().hex}/runs/units"

    def wrap(self, app: Callable[..., Any]) -> Callable[..., Any]:
        def serve(environ: dict[str, Any], answer: Callable[..., Any]) -> Any:
            time.sleep(self.seconds)
            if environ["REQUEST_METHOD"] == self.method and self.fails > 0:
                self.fails -= 1
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                answer(self.error[0], [("Content-Type", "application/xml")])
                return [f"<Error><Code>{self.error[1]}</Code><Message>told</Message></Error>".encode()]
            return app(environ, answer)

        return serve


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A real S3 server on loopback that can be made slow or failing."""
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    found = Faults()
    server = make_server("127.0.0.1", 0, found.wrap(DomainDispatcherApplication(create_backend_app)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"ENDPOINT_URL": f"http://127.0.0.1:{server.port}", "DEFAULT_REGION": "us-east-1"}
    for name, value in (environment | {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(files, "PAUSES_S", (0.1,))
    boto3.client("s3").create_bucket(Bucket=found.uri.split("/")[2])
    yield found
    server.shutdown()


def test_a_store_that_fails_for_a_while_is_asked_again(faults: Faults) -> None:
    out = DatasetDir(faults.uri, UNITS)
    out.start(CONTENT)
    faults.fails = 4  # more than one call of Arrow's own three attempts
    out.append(table(range(5)))
    assert faults.fails == 0
    faults.seconds = 0.1
    assert out.publish([f"u{n:03d}" for n in range(5)]).rows == 5


def test_a_store_that_keeps_failing_is_an_error_with_the_path_and_nothing_is_published(faults: Faults) -> None:
    out = DatasetDir(faults.uri, UNITS)
    out.start(CONTENT)
    out.append(table(range(5)))
    faults.fails = 1000
    with pytest.raises(
        StoreError, match=r"/runs/units/_manifest.json could not be written: .*run the same command again"
    ):
        out.publish([f"u{n:03d}" for n in range(5)])
    assert not out.is_finished() and len(out.parts()) == 1
    faults.fails = 0
    assert out.start(CONTENT)
    out.append(table(range(5, 9)))
    assert out.publish([f"u{n:03d}" for n in range(9)]).rows == 9


def test_a_writer_in_an_object_store_is_fenced_off(faults: Faults) -> None:
    out = DatasetDir(faults.uri, UNITS)
    out.start(CONTENT)
    there = get_json(out.fs, f"{out.path}/_lease.json")
    files.put_json(out.fs, f"{out.path}/_lease.json", there | {"machine": "another", "token": "t", "host": "node-7"})
    with pytest.raises(StoreError, match="taken over from this run.*node-7"):
        out.append(table(range(5)))


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("AccessDenied", r"these credentials may not do that: they need s3:ListBucket"),
        ("SignatureDoesNotMatch", "mend AWS_SECRET_ACCESS_KEY"),
        ("InvalidAccessKeyId", "mend AWS_ACCESS_KEY_ID"),
        ("RequestTimeTooSkewed", "the clock of this machine is off by more than the store allows"),
    ],
)
def test_what_asking_again_does_not_mend_is_said_at_once(
    faults: Faults, code: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    faults.error, faults.fails = ("403 Forbidden", code), 1000
    with pytest.raises(StoreError, match=rf"runs/units/_lease.json could not be written: .*{hint}"):
        DatasetDir(faults.uri, UNITS).start(CONTENT)
    assert "tried again" not in caplog.text
    faults.method = "HEAD"
    with pytest.raises(StoreError, match=r"could not be looked up: .*may not do that"):
        DatasetDir(faults.uri, UNITS).is_finished()


def test_a_bucket_that_does_not_exist_is_named(faults: Faults) -> None:
    with pytest.raises(StoreError, match="there is no such bucket: make it, or mend its name"):
        DatasetDir("s3://no-such-bucket-here/units", UNITS).start(CONTENT)
