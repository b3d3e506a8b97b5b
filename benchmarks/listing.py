"""How long a dataset of many part files keeps the driver busy: listing it, resuming, publishing, and beginning to stream it.

    python benchmarks/listing.py [--parts 10000] [--place s3|disk]

`s3` is a moto server in a process of its own, on loopback: Python answers every request, some 200 a second, where a
real store answers thousands, each after some 20 ms. So requests are counted as well; at 20 ms each and sixteen at once
they take requests x 20 ms / 16.
The last line is JSON: seconds, and requests, of each step.
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
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pyarrow as pa  # noqa: E402

from factory.runtime.local_ray import start_ray  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import UNITS  # noqa: E402

ROWS = 8
"""Rows of a part."""
SERVER = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
asked = 0
app = DomainDispatcherApplication(create_backend_app)
def counting(environ, answer):
    global asked
    if environ["PATH_INFO"] == "/asked":
        answer("200 OK", [])
        return [str(asked).encode()]
    asked += 1
    return app(environ, answer)
class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_request(self, *_):
        pass
server = make_server("127.0.0.1", 0, counting, threaded=True, request_handler=Quiet)
print(server.port, flush=True)
server.serve_forever()
"""


@contextmanager
def s3() -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield a bucket on a moto server, and what counts the requests that it had."""
    from urllib.request import urlopen

    import boto3

    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        os.environ.update(
            AWS_ENDPOINT_URL=address, AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="t", AWS_SECRET_ACCESS_KEY="t"
        )
        boto3.client("s3").create_bucket(Bucket="listing")
        yield "s3://listing", lambda: int(urlopen(f"{address}/asked").read())
        server.terminate()


@contextmanager
def disk() -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield a folder; nobody counts there."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder, lambda: 0


def measure(place: str, requests: Callable[[], int], parts: int) -> dict[str, Any]:
    """Write the parts, then time every step that looks at all of them."""
    told: dict[str, Any] = {"parts": parts}

    def timed(name: str, act: Callable[[], Any]) -> Any:
        """Note how long `act` takes and what it asks of the store."""
        before, began = requests(), time.monotonic()
        value = act()
        told[name] = {"seconds": round(time.monotonic() - began, 2), "requests": requests() - before}
        print(name, told[name], flush=True)
        return value

    out = DatasetDir(f"{place}/units", UNITS)
    out.start({"stage": "listing"})
    timed("write", lambda: _write(out, parts))
    timed("list", lambda: len(out.parts()))
    timed("start again", lambda: out.start({"stage": "listing"}))
    assert len(timed("done ids", out.done_ids)) == parts * ROWS
    timed("publish", lambda: out.publish(_ids(0, parts)))
    start_ray()
    timed("first batch", lambda: next(iter(out.dataset(["utt_id"]).iter_batches(batch_size=ROWS))))
    return told


def _write(out: DatasetDir, parts: int) -> None:
    writer = out._writer()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda part: writer(_table(part)), range(parts)))


def _table(part: int) -> pa.Table:
    return pa.Table.from_pylist(
        [{"utt_id": utt_id, "lang": "fr", "status": "ok"} for utt_id in _ids(part, part + 1)], schema=UNITS
    )


def _ids(start: int, end: int) -> list[str]:
    return [f"u{number:08d}" for number in range(start * ROWS, end * ROWS)]


def main() -> None:
    """Measure, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--place", choices=("s3", "disk"), default="s3")
    asked = parser.parse_args()
    logging.getLogger("botocore").setLevel(logging.WARNING)
    with {"s3": s3, "disk": disk}[asked.place]() as (place, requests):
        print(json.dumps({"place": asked.place, **measure(place, requests, asked.parts)}))


if __name__ == "__main__":
    main()
