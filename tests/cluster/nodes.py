"""Ray clusters for tests: real raylets on this machine, each with resources of its own, and the dashboard that takes jobs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NODE = {
    "num_cpus": 2,
    "object_store_memory": 100 * 2**20,
    "node_ip_address": "127.0.0.1",
    "dashboard_agent_listen_port": 0,  # another Ray of this machine has the usual port, and without an agent no job is taken
}
BESIDE = {
    "PATH": os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    ),  # a job's `python` is the one that runs the tests
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all on loopback
    "RAY_memory_monitor_refresh_ms": "0",
    "ROUNDTRIP_GROWTH_S": "0",  # nobody adds nodes here
}


@contextmanager
def nodes(*shapes: dict[str, Any]) -> Iterator[Any]:
    """Yield a cluster with a node of each shape; the first is the head, and `webui_url` takes jobs."""
    from ray.cluster_utils import Cluster

    before, temporary = dict(os.environ), tempfile.mkdtemp(prefix="rt")  # a socket's path must be short
    os.environ.update(BESIDE, RAY_TMPDIR=temporary)
    os.environ.pop("PYTHONPATH", None)  # a job has to bring its code along
    try:
        cluster = Cluster(
            initialize_head=True, head_node_args=shapes[0] | {"include_dashboard": True, "dashboard_port": 0}
        )
        for shape in shapes[1:]:
            add(cluster, shape)
    finally:
        os.environ.clear()
        os.environ.update(before)
        _talk_to_own_ray()
    try:
        yield cluster
    finally:
        for node in [
            *cluster.worker_nodes,
            cluster.head_node,
        ]:  # its own way out would also cut off another Ray that this process is on
            if node is not None:
                cluster.remove_node(node)
        _talk_to_own_ray()
        shutil.rmtree(temporary, ignore_errors=True)


def add(cluster: Any, shape: dict[str, Any]) -> None:
    """Add a node."""
    cluster.add_node(**shape).shape = shape


def note_own_node(folder: Path) -> None:
    """Write down which node this driver has joined, for `lose`: it may be any of a machine's."""
    import ray

    (folder / "node").write_text(ray.get_runtime_context().get_node_id())


def lose(cluster: Any, folder: Path) -> dict[str, Any]:
    """End a node at once that is neither the head nor the one that the driver of `folder` is on; returns its shape."""
    drivers = (folder / "node").read_text()
    node = next(node for node in cluster.worker_nodes if node.node_id != drivers)
    cluster.remove_node(node, allow_graceful=False)
    return node.shape


def _talk_to_own_ray() -> None:
    """Let this process's own Ray, where it has one, be the one that it asks again: whoever starts or ends a node asks that node's.

    Ray ends a process that has asked a cluster for 60 s after the cluster's end.
    """
    import ray
    from ray.experimental import internal_kv

    internal_kv._internal_kv_reset()
    if ray.is_initialized():
        internal_kv._initialize_internal_kv(ray._private.worker.global_worker.gcs_client)
