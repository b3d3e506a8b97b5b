"""A local Ray starts on a slow machine, and an address without a cluster is reported at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from factory.runtime import local_ray as module
from factory.runtime.errors import ClusterError
from factory.runtime.local_ray import await_cluster, ray_folder, start_here, start_ray
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW_ONCE = """
import os, sys, time

if any(word.endswith("dashboard/agent.py") for word in sys.orig_argv):
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
        time.sleep(40)
    except FileExistsError:
        pass
"""
"""Every Python process runs it: the first agent of a Ray starts late, as on a busy machine."""
START = "from factory.runtime.local_ray import start_ray; start_ray(); import ray; print({expression})"
"""Starts a Ray and prints an expression, or several."""


def start_in_process(expression: str, **environment: str) -> str:
    """Start a Ray in a process of its own, and return what the process prints: the value of an expression."""
    inherited = {key: value for key, value in os.environ.items() if key != "RAY_TMPDIR"}
    result = subprocess.run(
        [sys.executable, "-c", START.format(expression=expression)],
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_a_raylet_that_did_not_wait_is_started_again_and_not_in_a_folder_with_a_long_path(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_ONCE.format(mark=str(tmp_path / "late")))
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "RAY_raylet_start_wait_time_s": "20"}
    expression = "ray.nodes()[0]['RayletSocketName'], ray.cluster_resources()['CPU']"
    socket_path, cores = start_in_process(expression, TMPDIR=str(folder), **environment).split()
    assert (tmp_path / "late").exists() and float(cores) >= 4
    assert socket_path.startswith("/") and str(folder) not in socket_path


def test_a_ray_that_does_not_start_is_started_three_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starts: list[object] = []
    left: list[subprocess.Popen[bytes]] = []

    def init(address: str, **arguments: object) -> None:
        starts.append((address, arguments["num_cpus"]))
        assert all(process.wait(HANG_S) == -signal.SIGKILL for process in left), "processes of the attempt before"
        left.append(subprocess.Popen(["sleep", str(HANG_S)]))
        raise RuntimeError("The node timed out during startup.")

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "1")
    with pytest.raises(ClusterError, match="Ray did not start on this machine in 3 attempts: it is busy"):
        start_here(num_cpus=4)
    assert starts == [("local", 4)] * 3
    left[-1].kill()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"Ray did not start in time: attempt {number} of 3" for number in (2, 3)]


def test_any_other_error_of_ray_is_raised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[str] = []

    def init(address: str, **arguments: object) -> None:
        starts.append(address)
        raise ValueError("no such argument")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(ValueError, match="no such argument"):
        start_here()
    assert starts == ["local"]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (
            ConnectionError("no token"),
            ClusterError,
            r"head:1 refuses this process \(no token\): if it requires a token, set",
        ),
        (
            RuntimeError("Version mismatch: Ray: 2.0"),
            ClusterError,
            r"head:1 has another version: install .*\nVersion mis",
        ),
        (RuntimeError("a bug"), RuntimeError, "^a bug$"),
    ],
)
def test_a_cluster_that_refuses_is_reported(
    error: Exception, expected: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**arguments: object) -> None:
        raise error

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(module, "ENVIRONMENT", {})
    monkeypatch.setattr(module, "await_cluster", lambda address: None)
    monkeypatch.setenv("RAY_ADDRESS", "head:1")
    with pytest.raises(expected, match=message):
        start_ray()


def test_the_folder_of_ray_is_short_enough_for_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(os, "access", lambda *_: True)
    longest = "/tmp/" + "x" * (39 - len("/tmp/"))
    for folder, expected in (("/tmp", "/tmp/ray"), (longest, f"{longest}/ray"), (f"{longest}x", "/tmp/ray")):
        monkeypatch.setattr(tempfile, "tempdir", folder)
        assert ray_folder() == expected
    socket_path = f"{longest}/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
    assert len(socket_path) == 107, "Linux allows no longer path of a socket"


def test_the_folder_of_ray_must_be_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ClusterError, match="set TMPDIR to a writable folder whose path has at most 39 bytes"):
        ray_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/somewhere")
    assert ray_folder() is None


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9 .*refused.*unset RAY_ADDRESS"),
        ("ray://127.0.0.1:9", "no Ray cluster answers at RAY_ADDRESS=ray://127.0.0.1:9 .*refused"),
        ("[::1]:9", r"no Ray cluster answers at RAY_ADDRESS=\[::1\]:9"),
        ("http://127.0.0.1:9", "is an address for submitting jobs .*give host:port"),
        ("https://127.0.0.1:9", "is an address for submitting jobs .*give host:port"),
        ("127.0.0.1:65536", "is no address of a Ray cluster"),
        ("127.0.0.1:0", "is no address of a Ray cluster"),
        ("127.0.0.1:", "is no address of a Ray cluster"),
        (":6379", "is no address of a Ray cluster"),
        ("nonsense", "is no address of a Ray cluster: give host:port, ray://host:port or auto, or unset RAY_ADDRESS"),
        ("s3://bucket:1", "is no address of a Ray cluster"),
    ],
)
def test_an_address_without_a_cluster_is_an_error(address: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        await_cluster(address)


def test_the_highest_port_is_an_address() -> None:
    with pytest.raises(ClusterError, match="no Ray cluster answers at RAY_ADDRESS=127.0.0.1:65535"):
        await_cluster("127.0.0.1:65535")


def test_a_cluster_answers(local_ray: None) -> None:
    import ray

    await_cluster(ray.get_runtime_context().gcs_address)


def test_a_silent_server_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match="no Ray cluster answers at .*timed out"):
            await_cluster(address)
        monkeypatch.setenv("RAY_USE_TLS", "1")
        await_cluster(address)  # Ray itself has to speak TLS with it


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\4\0", b"\0\0\0\5\0\0\0\0\0"])
def test_another_server_is_no_cluster(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", HANG_S)
    with socket.create_server(("127.0.0.1", 0)) as other:

        def respond() -> None:
            connection = other.accept()[0]
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)

        threading.Thread(target=respond, daemon=True).start()
        with pytest.raises(ClusterError, match="the server at RAY_ADDRESS=.* is no Ray cluster: start it with"):
            await_cluster(f"127.0.0.1:{other.getsockname()[1]}")
