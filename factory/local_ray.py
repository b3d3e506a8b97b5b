"""The Ray that a round runs on: a cluster that is there, or one of this machine."""

from __future__ import annotations

import os
import socket
from typing import Any

ANSWER_S = 10.0
"""Seconds that a cluster's head has to answer."""
STARTS = 3
TOKEN_HINT = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the cluster's token where ~/.ray/auth_token is another"
"""`ray start` asks for a token wherever it finds one, and a Ray that was started on one machine leaves one behind."""


def start_ray() -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job's), or start one here.

    A local cluster gets more logical cores than the machine has: actors wait for each other, and reading needs a core too. Raises
    ConnectionError where no cluster answers at RAY_ADDRESS, and RuntimeError with both versions where one of another version does, or
    where this machine is too busy to start one.
    """
    import logging
    import warnings

    import ray

    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # the system ends what fills the memory: a guarded model, not its guard
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as exceptions
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait slow two runs on two cores down several times
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 * 2**20))  # glibc gives a training's tensors back to the system at every step,
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**30))  # and the system's clearing of new pages took a quarter of its time
    for name in ("ray", "ray.data"):  # their warnings are advice to who wrote the plan
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks")  # a dataset of one part
    if not ray.is_initialized():
        cores = max(4, 2 * (os.cpu_count() or 1))
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address := os.environ.get("RAY_ADDRESS"):
            _await_answer(address)
            _join(address, **quiet)
        else:
            start_here(num_cpus=cores, include_dashboard=False, **quiet)
    ray.data.DataContext.get_current().enable_progress_bars = False


def _join(address: str, **arguments: Any) -> None:
    import ray

    try:
        ray.init(**arguments)
    except ConnectionError as error:
        hint = f"if it asks for a token, {TOKEN_HINT}"
        raise ConnectionError(f"the Ray cluster at RAY_ADDRESS={address} lets nobody in ({error}): {hint}") from error


def start_here(**arguments: Any) -> None:
    """Start a Ray of this machine alone, with arguments of ray.init; raises RuntimeError where it does not start, however often.

    A raylet ends when its agent takes more than 15 s to begin, whatever is set (ray-project/ray#65983), as it may where much else runs.
    """
    import ray

    os.environ.setdefault("RAY_raylet_start_wait_time_s", "60")  # how long the driver waits for a raylet, also for one that has ended
    for attempt in range(1, STARTS + 1):
        try:
            ray.init("local", **arguments)
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            if attempt == STARTS:
                hint = "it is busy, or out of memory; run the same command again"
                raise RuntimeError(f"Ray did not start on this machine, {STARTS} times: {hint}") from error


def _await_answer(address: str) -> None:
    """Return when something listens at the address of a cluster; Ray itself would ask for minutes, in lines that nobody understands."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        hint = "start it with `ray start --head`, or unset RAY_ADDRESS to use this machine alone"
        raise ConnectionError(f"no Ray cluster answers at RAY_ADDRESS={address} ({error}): {hint}") from error
