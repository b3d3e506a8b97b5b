"""Real S3 servers on loopback for tests: one that works, and one that fails on request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

ENVIRONMENT = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the URI of an empty bucket. The environment, which subprocesses inherit, names the server while it runs."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else it logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with _bucket(f"http://{host}:{port}", "roundtrip") as uri:
        yield uri
    server.stop()


@dataclass
class Faults:
    """Faults of a server: how many requests of a method fail, with which error, and how many seconds each takes."""

    method: str = "PUT"
    failures: int = 0
    status: str = "503 Slow Down"
    code: str = "SlowDown"
    seconds: float = 0.0

    def wrap(self, app: Callable[..., Any]) -> Callable[..., Any]:
        """Return a WSGI application that fails before it passes a request on to `app`."""

        def serve(environ: dict[str, Any], respond: Callable[..., Any]) -> Any:
            time.sleep(self.seconds)
            if environ["REQUEST_METHOD"] == self.method and self.failures > 0:
                self.failures -= 1
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                respond(self.status, [("Content-Type", "application/xml")])
                return [f"<Error><Code>{self.code}</Code><Message>a fault</Message></Error>".encode()]
            return app(environ, respond)

        return serve


@contextmanager
def failing_s3_server() -> Iterator[tuple[str, Faults]]:
    """Yield the URI of an empty bucket, and the faults of its server, which a test may set at any time."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    faults = Faults()
    server = make_server("127.0.0.1", 0, faults.wrap(DomainDispatcherApplication(create_backend_app)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with _bucket(f"http://127.0.0.1:{server.port}", f"roundtrip-{uuid4().hex[:8]}") as uri:
        yield uri, faults
    server.shutdown()


@contextmanager
def _bucket(endpoint: str, name: str) -> Iterator[str]:
    """Create a bucket, and set the environment that leads to it. All servers of a process share their buckets."""
    import boto3

    with pytest.MonkeyPatch.context() as patched:
        for variable, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint}).items():
            patched.setenv(variable, value)
        boto3.client("s3").create_bucket(Bucket=name)
        yield f"s3://{name}"
