"""A cluster that must grow first: Ray's real autoscaler, with its provider whose nodes are raylets on this machine.

The cluster refuses a process without its token.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.browser import free_port
from tests.cluster.nodes import ENVIRONMENT
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent
TYPES = {
    "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
    "worker": {
        "resources": {"CPU": 4, "object_store_memory": 100 * 2**20},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    },
}
PROVIDER = {
    "type": "fake_multinode",
    "use_node_id_as_ip": True,
    "disable_node_updaters": True,
    "disable_launch_config_check": True,
}
EMPTY = {"auth": {}, "file_mounts": {}, "initialization_commands": [], "setup_commands": [], "head_setup_commands": []}
EMPTY |= {
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
    "cluster_synced_files": [],
}
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}
OPTIONS = ["--round", "1", "--set", "resources.recognizer.actors=2", "--set", "resources.translator.num_cpus=3"]


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[str]:
    """The address of a head without cores, whose autoscaler may add two nodes of four."""
    port = free_port()
    provider = PROVIDER | {"gcs_address": f"127.0.0.1:{port}"}
    config = {"cluster_name": "growing", "max_workers": 2, "provider": provider, "available_node_types": TYPES}
    config |= {"head_node_type": "ray.head.default", "upscaling_speed": 1.0, "idle_timeout_minutes": 5, **EMPTY}
    (tmp_path / "autoscaler.json").write_text(json.dumps(config))
    temporary = tempfile.mkdtemp(prefix="rt")  # the path of a socket must be short
    environment = (
        os.environ
        | ENVIRONMENT
        | TOKEN
        | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_TMPDIR": temporary}
    )
    start = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--num-cpus=0",
        "--include-dashboard=false",
    ]
    start += [
        f"--port={port}",
        "--node-ip-address=127.0.0.1",
        "--dashboard-agent-listen-port=0",
        "--object-store-memory=100000000",
    ]
    start += [f"--autoscaling-config={tmp_path / 'autoscaler.json'}"]
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(start, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port, tmp_path / "head.log")
        yield f"127.0.0.1:{port}"
    finally:
        for process in [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]:
            process.kill()
        head.wait()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.slow
def test_the_cluster_adds_the_nodes_that_a_round_needs(growing: str, tmp_path: Path) -> None:
    grown = preflight(growing, tmp_path, *OPTIONS)
    assert grown.returncode == 0, grown.stdout + grown.stderr
    assert "waiting for nodes, at most 1200 s" in grown.stdout and "the cluster can run it" in grown.stdout
    large = preflight(growing, tmp_path, *OPTIONS, "--set", "resources.translator.num_cpus=5", seconds=2)
    assert large.returncode == 2
    assert "no node has room for one translator (5 CPU, 0 GPU)" in large.stderr
    stranger = preflight(growing, tmp_path, *OPTIONS, token={})
    assert stranger.returncode == 2
    assert (
        f"the Ray cluster at RAY_ADDRESS={growing} refuses this process" in stranger.stderr
        and "set RAY_AUTH_MODE=token" in stranger.stderr
    )


def preflight(
    address: str, folder: Path, *options: str, seconds: int = 1200, token: dict[str, str] = TOKEN
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ENVIRONMENT | token | {"RAY_ADDRESS": address, "ROUNDTRIP_GROWTH_S": str(seconds)}
    command = [sys.executable, "-m", "factory.planning.preflight", "--run", str(folder / "run"), *options]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


def wait_for_port(port: int, log: Path) -> None:
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(log.read_text()[-3000:])
