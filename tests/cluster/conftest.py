"""What the tests on a cluster share: three Ray nodes on this machine, each with resources of its own, and the dashboard that takes jobs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NODE = {
    "num_cpus": 2,
    "object_store_memory": 100 * 2**20,
    "node_ip_address": "127.0.0.1",
    "dashboard_agent_listen_port": 0,  # another Ray of this machine has the usual port, and without an agent no job is taken
}
BESIDE = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # a job's `python` is the one that runs the tests
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all on loopback
    "RAY_memory_monitor_refresh_ms": "0",
    "ROUNDTRIP_GROWTH_S": "0",  # nobody adds nodes here
}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head, a second node, and a third one with a make-believe GPU; `webui_url` is where jobs are submitted."""
    from ray.cluster_utils import Cluster

    before, temporary = dict(os.environ), tempfile.mkdtemp(prefix="rt")  # a socket's path must be short
    os.environ.update(BESIDE, RAY_TMPDIR=temporary)
    os.environ.pop("PYTHONPATH", None)  # a job has to bring its code along
    try:
        nodes = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": True, "dashboard_port": 0})
        nodes.second = nodes.add_node(**NODE)
        nodes.add_node(**NODE, num_gpus=1, resources={"accelerator_type:T4": 1})
    finally:
        os.environ.clear()
        os.environ.update(before)
    yield nodes
    nodes.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)
