"""The Ray that a round runs on: a cluster that is there, or one of this machine."""

from __future__ import annotations

import os
import socket
from typing import Any

ANSWER_S = 10.0
"""Seconds that a cluster's head has to answer."""


def start_ray() -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job's), or start one here.

    A local cluster gets more logical cores than the machine has: actors wait for each other, and reading needs a core too. Raises
    ConnectionError where no cluster answers at RAY_ADDRESS, and RuntimeError with both versions where one of another version does.
    """
    import logging
    import warnings

    import ray

    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # a busy machine starts slowly
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # the system ends what fills the memory: a guarded model, not its guard
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as exceptions
    for name in ("ray", "ray.data"):  # their warnings are advice to who wrote the plan
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks")  # a dataset of one part
    if not ray.is_initialized():
        cores = max(4, 2 * (os.cpu_count() or 1))
        local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"address": "local", "num_cpus": cores, "include_dashboard": False}
        _await_answer(os.environ.get("RAY_ADDRESS", ""))
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    ray.data.DataContext.get_current().enable_progress_bars = False


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
