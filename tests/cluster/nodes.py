"""Ray clusters for tests: real raylets on this machine, each with its own resources, and a dashboard for jobs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NODE: dict[str, Any] = {
    "num_cpus": 2,
    "object_store_memory": 100 * 2**20,
    "node_ip_address": "127.0.0.1",
    # another Ray of this machine has the usual port, and a node without an agent takes no job
    "dashboard_agent_listen_port": 0,
}
"""The arguments of a node."""
ENVIRONMENT = {
    # the `python` of a job is the one that runs the tests
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all sockets on loopback
    "RAY_health_check_period_ms": "1000",  # a head looks for killed nodes every 3 s, and counts to five
    "RAY_memory_monitor_refresh_ms": "0",
    "ROUNDTRIP_GROWTH_S": "0",  # nobody adds nodes here
}
"""The variables of the nodes and of a driver."""


@contextmanager
def nodes(*shapes: dict[str, Any]) -> Iterator[Any]:
    """Yield a cluster with a node of each shape; the first one is the head, and `webui_url` takes jobs."""
    from ray.cluster_utils import Cluster

    before, temporary = dict(os.environ), tempfile.mkdtemp(prefix="rt")  # the path of a socket must be short
    os.environ.update(ENVIRONMENT, RAY_TMPDIR=temporary)
    os.environ.pop("PYTHONPATH", None)  # a job must bring its code with it
    try:
        head = shapes[0] | {"include_dashboard": True, "dashboard_port": 0}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for shape in shapes[1:]:
            add_node(cluster, shape)
    finally:
        os.environ.clear()
        os.environ.update(before)
        _use_own_ray()
    try:
        yield cluster
    finally:
        # Cluster.shutdown() would also disconnect another Ray of this process
        for node in [*cluster.worker_nodes, cluster.head_node]:
            if node is not None:
                cluster.remove_node(node)
        _use_own_ray()
        shutil.rmtree(temporary, ignore_errors=True)


def add_node(cluster: Any, shape: dict[str, Any]) -> None:
    """Add a node."""
    cluster.add_node(**shape).shape = shape


def write_own_node(folder: Path) -> None:
    """Write the id of the node that this driver has joined, for `remove_worker_node`; it may be any node."""
    import ray

    (folder / "node").write_text(ray.get_runtime_context().get_node_id())


def remove_worker_node(cluster: Any, folder: Path) -> dict[str, Any]:
    """Kill a node that is neither the head nor that of the driver of `folder`; return its shape."""
    driver_node = (folder / "node").read_text()
    node = next(node for node in cluster.worker_nodes if node.node_id != driver_node)
    cluster.remove_node(node, allow_graceful=False)
    shape: dict[str, Any] = node.shape
    return shape


def _use_own_ray() -> None:
    """Connect Ray's key-value store with the Ray of this process again, if it has one.

    Whoever starts or ends a node connects it with that node, and Ray ends a process that has asked a cluster for 60 s
    after the cluster's end.
    """
    import ray
    from ray.experimental import internal_kv

    internal_kv._internal_kv_reset()
    if ray.is_initialized():
        internal_kv._initialize_internal_kv(ray._private.worker.global_worker.gcs_client)
