"""The Ray that a round runs on: a cluster that is there, or one of this machine."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Any

ANSWER_S = 10.0
"""Seconds that a cluster's head has to answer."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What a gRPC server, as Ray's are, answers with a frame of its settings: the preface of HTTP/2 and an empty such frame."""
SETTINGS_FRAME = 4
ALONE = "unset RAY_ADDRESS to use this machine alone"
LONGEST = 107 - len("/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
"""Bytes of the longest folder that Ray can have its sockets under: the system takes 107 for the whole path of one."""
STARTS = 3
TOKEN_HINT = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the cluster's token where ~/.ray/auth_token is another"
"""`ray start` asks for a token wherever it finds one, and a Ray that was started on one machine leaves one behind."""


def start_ray() -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job's), or start one here.

    A local cluster gets more logical cores than the machine has: actors wait for each other, and reading needs a core too. Raises
    ConnectionError where no cluster answers at RAY_ADDRESS, ValueError where that is no address of one, and RuntimeError with both
    versions where one of another version answers, or where this machine is too busy, or has no folder, to start one.
    """
    import logging
    import warnings

    import ray

    os.environ.setdefault(
        "RAY_memory_monitor_refresh_ms", "0"
    )  # the system ends what fills the memory: a guarded model, not its guard
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as exceptions
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "passive"
    )  # threads that spin while they wait slow two runs on two cores down several times
    os.environ.setdefault(
        "MALLOC_MMAP_THRESHOLD_", str(32 * 2**20)
    )  # glibc gives a training's tensors back to the system at every step,
    os.environ.setdefault(
        "MALLOC_TRIM_THRESHOLD_", str(2**30)
    )  # and the system's clearing of new pages took a quarter of its time
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

    os.environ.setdefault(
        "RAY_raylet_start_wait_time_s", "60"
    )  # how long the driver waits for a raylet, also for one that has ended
    for attempt in range(1, STARTS + 1):
        try:
            ray.init("local", _temp_dir=ray_folder(), **arguments)
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            if attempt == STARTS:
                hint = "it is busy, or out of memory; run the same command again"
                raise RuntimeError(f"Ray did not start on this machine, {STARTS} times: {hint}") from error


def ray_folder() -> str | None:
    """Return where Ray keeps its sockets and logs: where temporary files are, or /tmp where that path is too long for a socket.

    None: RAY_TMPDIR says it. Raises RuntimeError where neither can be written.
    """
    if os.environ.get("RAY_TMPDIR"):
        return None
    for folder in (tempfile.gettempdir(), "/tmp"):  # TMPDIR, or what takes its place where that cannot be written
        if len(os.fsencode(f"{folder}/ray")) <= LONGEST and os.access(folder, os.W_OK | os.X_OK):
            return f"{folder}/ray"
    hint = f"set TMPDIR to a folder that can be written and whose path has at most {LONGEST - len('/ray')} bytes"
    raise RuntimeError(
        f"Ray has no folder for its sockets ({tempfile.gettempdir()} is too long for them, and /tmp not writable): {hint}"
    )


def _found(address: str) -> str:
    """Return the host:port of the cluster that RAY_ADDRESS names; raises ValueError where it cannot name one."""
    if address == "auto":
        return _on_this_machine()
    if address.startswith(("http://", "https://")):
        raise ValueError(
            f"RAY_ADDRESS={address} is where jobs are submitted (roundtrip submit --address {address}): give host:port of the "
            f"cluster that this process has to join, or {ALONE}"
        )
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit() or "://" in host or not 0 < int(port) < 2**16:
        raise ValueError(
            f"RAY_ADDRESS={address} is no address of a Ray cluster: give host:port, ray://host:port or auto, or {ALONE}"
        )
    return place


def _on_this_machine() -> str:
    """Return the host:port of the cluster that runs on this machine, which Ray looks for."""
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except ConnectionError as error:
        hint = f"start one with `ray start --head`, give host:port of one, or {ALONE}"
        raise ConnectionError(
            f"RAY_ADDRESS=auto leads to no cluster, for not exactly one runs on this machine: {hint}"
        ) from error


def _await_answer(address: str) -> None:
    """Return when a gRPC server answers at the address of a cluster; Ray itself would ask for minutes, in lines that nobody understands."""
    host, _, port = _found(address).rpartition(":")
    hint = f"start it with `ray start --head`, or {ALONE}"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S) as line:
            if os.environ.get("RAY_USE_TLS") == "1":
                return  # it answers to who speaks TLS
            line.sendall(GREETING)
            head = line.makefile("rb").read(9)
    except OSError as error:
        raise ConnectionError(f"no Ray cluster answers at RAY_ADDRESS={address} ({error}): {hint}") from error
    if len(head) < 9 or head[3] != SETTINGS_FRAME:
        raise ConnectionError(f"what answers at RAY_ADDRESS={address} is no Ray cluster: {hint}")
