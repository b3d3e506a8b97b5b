"""The Ray cluster that benchmarks/chaos.py kills: two nodes on this machine, and the processes of both."""

from __future__ import annotations

import time

import psutil

MEMORY = 120 * 2**20
"""Bytes of a node's object store."""


class TwoNodes:
    """A Ray cluster of a head and a second node on this machine, listening on loopback."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start both nodes."""
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 3, "object_store_memory": MEMORY, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.second = self.cluster.add_node(num_cpus=3, object_store_memory=MEMORY)

    @property
    def address(self) -> str:
        """The value of RAY_ADDRESS."""
        return str(self.cluster.address)

    def kill_second(self) -> None:
        """Kill the second node, and start another."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=3, object_store_memory=MEMORY)

    def kill(self) -> None:
        """Kill every process of the cluster and the driver, as when the machine goes down."""
        processes = psutil.Process().children(recursive=True)
        for process in processes:
            kill(process)
        while any(_is_alive(process) for process in processes):  # wait() would take the driver's exit code away
            time.sleep(0.1)

    def find(self, word: str) -> list[psutil.Process]:
        """Return the processes of this cluster with `word` in their command line."""
        return [process for process in psutil.Process().children(recursive=True) if word in _command(process)]


def kill(process: psutil.Process) -> None:
    """Kill a process, unless it has ended."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
