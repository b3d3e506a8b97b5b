"""A Ray of this machine starts though the machine is slow, and an address without a cluster is said."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from factory.runtime import local_ray as ours
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
"""Every Python process reads it: the first agent of a Ray comes late, as on a busy machine."""


@pytest.mark.slow
def test_a_raylet_that_did_not_wait_for_its_agent_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_ONCE.format(mark=str(tmp_path / "late")))
    script = "from factory.runtime.local_ray import start_ray; start_ray(); import ray; print(ray.cluster_resources()['CPU'])"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "RAY_raylet_start_wait_time_s": "20"}
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=HANG_S
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert (tmp_path / "late").exists() and float(told.stdout.split()[-1]) >= 4


def started_with(**changes: str) -> subprocess.CompletedProcess[str]:
    """Start a Ray with this environment, and print its folder."""
    script = "from factory.runtime.local_ray import start_ray; start_ray(); import ray; print(ray.nodes()[0]['RayletSocketName'])"
    environment = {key: value for key, value in os.environ.items() if key != "RAY_TMPDIR"} | {
        "PYTHONPATH": str(ROOT),
        **changes,
    }
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=HANG_S
    )


@pytest.mark.slow
def test_a_folder_for_temporary_files_that_ray_cannot_use_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ("long" * 25)).mkdir()
    for folder in (tmp_path / ("long" * 25), tmp_path / "none"):
        told = started_with(TMPDIR=str(folder))
        assert told.returncode == 0, told.stderr[-3000:]
        assert told.stdout.startswith("/") and str(folder) not in told.stdout


def test_rays_folder_is_short_and_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for folder, wanted in (("/tmp", "/tmp/ray"), ("/tmp/" + "x" * 38, "/tmp/ray")):
        monkeypatch.setattr(tempfile, "tempdir", folder)
        assert ours.ray_folder() == wanted
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        RuntimeError, match="set TMPDIR to a folder that can be written and whose path has at most 39 bytes"
    ):
        ours.ray_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/somewhere")
    assert ours.ray_folder() is None


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:9", "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9 .*refused"),
        ("ray://127.0.0.1:9", "no Ray cluster answers at RAY_ADDRESS=ray://127.0.0.1:9 .*refused"),
        ("http://127.0.0.1:9", "is where jobs are submitted .*give host:port"),
        ("127.0.0.1:99999", "no address of a Ray cluster"),
        ("nonsense", "no address of a Ray cluster: give host:port, ray://host:port or auto, or unset RAY_ADDRESS"),
        ("s3://bucket:1", "no address of a Ray cluster"),
    ],
)
def test_an_address_without_a_cluster_is_said_before_ray_asks(address: str, sentence: str) -> None:
    with pytest.raises((ConnectionError, ValueError), match=sentence):
        ours._await_answer(address)


def test_what_is_no_ray_is_told_from_one(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    ours._await_answer(ray.get_runtime_context().gcs_address)
    monkeypatch.setattr(ours, "ANSWER_S", 0.5)
    timed_out = pytest.raises(ConnectionError, match="no Ray cluster answers at .*timed out")
    with socket.create_server(("127.0.0.1", 0)) as silent, timed_out:
        ours._await_answer(f"127.0.0.1:{silent.getsockname()[1]}")
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(
            target=lambda: other.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), daemon=True
        ).start()
        monkeypatch.setattr(ours, "ANSWER_S", HANG_S)
        with pytest.raises(ConnectionError, match="what answers at .* is no Ray cluster"):
            ours._await_answer(f"127.0.0.1:{other.getsockname()[1]}")
