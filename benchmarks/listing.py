"""Measure the driver's time for a dataset of many part files: to list, resume, publish and start to stream it.

    python benchmarks/listing.py [--parts 10000] [--place s3|disk]

`s3` is a moto server in a process of its own, on loopback. It answers about 200 requests per second; a real store
answers thousands, each after about 20 ms. So the requests are counted too: with sixteen at once they take
requests x 20 ms / 16 in a real store. The last line is JSON: seconds and requests of each step.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pyarrow as pa  # noqa: E402

from factory.runtime.local_ray import start_ray  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import UNITS  # noqa: E402

Result = TypeVar("Result")
ROWS = 8
"""Rows per part file."""
SERVER = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
requests = 0
app = DomainDispatcherApplication(create_backend_app)
def count(environ, start_response):
    global requests
    if environ["PATH_INFO"] == "/requests":
        start_response("200 OK", [])
        return [str(requests).encode()]
    requests += 1
    return app(environ, start_response)
class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_request(self, *_):
        pass
server = make_server("127.0.0.1", 0, count, threaded=True, request_handler=Quiet)
print(server.port, flush=True)
server.serve_forever()
"""


@contextmanager
def s3() -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield a bucket on a moto server, and a function that returns the number of requests."""
    from urllib.request import urlopen

    import boto3

    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        os.environ.update(
            AWS_ENDPOINT_URL=address, AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="t", AWS_SECRET_ACCESS_KEY="t"
        )
        boto3.client("s3").create_bucket(Bucket="listing")
        yield "s3://listing", lambda: int(urlopen(f"{address}/requests").read())
        server.terminate()


@contextmanager
def disk() -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield a folder, and a function that returns 0."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder, lambda: 0


def measure(uri: str, count_requests: Callable[[], int], parts: int) -> dict[str, Any]:
    """Write part files, then measure every step that reads all of them.

    Args:
        uri: the folder of the dataset.
        count_requests: returns the number of requests so far.
        parts: the number of part files.

    Returns:
        `seconds` and `requests` by step.
    """
    figures: dict[str, Any] = {"parts": parts}

    def timed(name: str, step: Callable[[], Result]) -> Result:
        """Run a step, note its seconds and requests, and return its result."""
        before, start = count_requests(), time.monotonic()
        result = step()
        figures[name] = {"seconds": round(time.monotonic() - start, 2), "requests": count_requests() - before}
        print(name, figures[name], flush=True)
        return result

    out = DatasetDir(f"{uri}/units", UNITS)
    out.start({"stage": "listing"})
    timed("write", lambda: _write_parts(out, parts))
    timed("list", lambda: len(out.parts()))
    timed("start again", lambda: out.start({"stage": "listing"}))
    assert len(timed("done ids", out.done_ids)) == parts * ROWS
    timed("publish", lambda: out.publish(_make_ids(0, parts)))
    start_ray()
    timed("first batch", lambda: next(iter(out.dataset(["utt_id"]).iter_batches(batch_size=ROWS))))
    return figures


def _write_parts(out: DatasetDir, parts: int) -> None:
    writer = out.writer()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda part: writer(_make_table(part)), range(parts)))


def _make_table(part: int) -> pa.Table:
    return pa.Table.from_pylist(
        [{"utt_id": utt_id, "lang": "fr", "status": "ok"} for utt_id in _make_ids(part, part + 1)], schema=UNITS
    )


def _make_ids(start: int, end: int) -> list[str]:
    return [f"u{number:08d}" for number in range(start * ROWS, end * ROWS)]


def main() -> None:
    """Measure, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=10_000, help="part files (default: %(default)s)")
    parser.add_argument("--place", choices=("s3", "disk"), default="s3")
    options = parser.parse_args()
    logging.getLogger("botocore").setLevel(logging.WARNING)
    with {"s3": s3, "disk": disk}[options.place]() as (uri, count_requests):
        print(json.dumps({"place": options.place, **measure(uri, count_requests, options.parts)}))


if __name__ == "__main__":
    main()
