"""The Ray of a round: the cluster that RAY_ADDRESS names, or a local Ray on this machine."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import warnings
from contextlib import suppress
from typing import Any

import psutil

from factory.runtime.errors import ClusterError

ANSWER_S = 10.0
"""Seconds that the head of a cluster has to answer."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The preface of HTTP/2 and an empty SETTINGS frame. A gRPC server, as Ray's head is, answers with a SETTINGS frame."""
SETTINGS_FRAME = 4
"""The type of a SETTINGS frame: the fourth of the nine bytes of a frame's header (RFC 9113, section 4.1)."""
LOCAL_HINT = "unset RAY_ADDRESS to use this machine alone"
MAX_FOLDER_BYTES = 107 - len("/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
"""Longest folder for Ray's sockets, in bytes: Linux limits the path of a socket to 107 bytes."""
MAX_STARTS = 3
TOKEN_HINT = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the cluster's token where ~/.ray/auth_token is another"
"""`ray start` requires a token wherever it finds one, and a Ray that was started on a machine leaves one there."""
ENVIRONMENT = {
    # Linux ends the process that fills the memory, a guarded model; Ray would end its guard
    "RAY_memory_monitor_refresh_ms": "0",
    # errors arrive as exceptions
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # threads that spin while they wait make two runs on two cores several times slower
    "OMP_WAIT_POLICY": "passive",
    # without these two, glibc returns the tensors of every training step to Linux, and clearing the new pages takes a
    # quarter of the time
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
"""Variables that Ray and its workers read; a variable that the user has set keeps its value."""


def start_ray() -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job has one), or start a Ray on this machine.

    A local Ray gets more logical cores than the machine has, because actors wait for each other, and reading needs a
    core too.

    Raises:
        ClusterError: No cluster answers at RAY_ADDRESS, it is no address of a cluster, the cluster has another
            version of Ray or Python, or this machine is too busy, or has no folder, to start a Ray.
    """
    import ray
    import ray.data  # its import sets the levels of its loggers

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("ray", "ray.data"):  # their warnings advise the author of a plan, not its user
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks")  # a dataset with one part file
    if not ray.is_initialized():
        cores = max(4, 2 * (os.cpu_count() or 1))
        if address := os.environ.get("RAY_ADDRESS"):
            await_cluster(address)
            _join(address)
        else:
            start_here(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False


def _join(address: str) -> None:
    import ray

    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        hint = f"if it requires a token, {TOKEN_HINT}"
        raise ClusterError(
            f"the Ray cluster at RAY_ADDRESS={address} refuses this process ({error}): {hint}"
        ) from error
    except RuntimeError as error:
        if "Version mismatch" not in str(error):
            raise
        hint = "install the cluster's versions of Ray and Python here"
        raise ClusterError(f"the Ray cluster at RAY_ADDRESS={address} has another version: {hint}\n{error}") from error


def start_here(**arguments: Any) -> None:
    """Start a Ray on this machine alone; `arguments` are those of `ray.init`.

    A raylet ends when its agent takes more than 15 s to begin (ray-project/ray#65983), and no setting changes that. A
    busy machine needs more, so the start is repeated up to `MAX_STARTS` times. Raises ClusterError when Ray does not
    start.
    """
    import ray

    os.environ.setdefault("RAY_raylet_start_wait_time_s", "60")  # the driver waits this long, even for an ended raylet
    for attempt in range(1, MAX_STARTS + 1):
        others = set(psutil.Process().children())
        try:
            ray.init("local", _temp_dir=ray_folder(), **arguments)
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            if attempt == MAX_STARTS:
                hint = "it is busy, or out of memory; run the same command again"
                raise ClusterError(f"Ray did not start on this machine in {MAX_STARTS} attempts: {hint}") from error
            print(f"Ray did not start in time: attempt {attempt + 1} of {MAX_STARTS}", file=sys.stderr, flush=True)
            for process in set(psutil.Process().children()) - others:  # Ray would end them with this process
                with suppress(psutil.Error):
                    process.kill()


def ray_folder() -> str | None:
    """Return the folder for Ray's sockets and logs, or None where RAY_TMPDIR sets it.

    The folder is in the folder for temporary files, or in /tmp where that path is too long for a socket. Raises
    ClusterError when neither can be used.
    """
    if os.environ.get("RAY_TMPDIR"):
        return None
    for folder in (tempfile.gettempdir(), "/tmp"):  # gettempdir() is TMPDIR where that is writable
        if len(os.fsencode(f"{folder}/ray")) <= MAX_FOLDER_BYTES and os.access(folder, os.W_OK | os.X_OK):
            return f"{folder}/ray"
    limit = MAX_FOLDER_BYTES - len("/ray")
    raise ClusterError(
        f"Ray has no folder for its sockets: the path {tempfile.gettempdir()} is too long or not writable, and /tmp is "
        f"not writable; set TMPDIR to a writable folder whose path has at most {limit} bytes"
    )


def await_cluster(address: str) -> None:
    """Return when a gRPC server answers at the address of a cluster.

    Ray itself would try for minutes and report it in lines that few users understand. Raises ClusterError when
    nothing answers within `ANSWER_S` seconds, or something that is no gRPC server.
    """
    host, _, port = _host_and_port(address).rpartition(":")
    hint = f"start it with `ray start --head`, or {LOCAL_HINT}"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S) as connection:
            if os.environ.get("RAY_USE_TLS") == "1":
                return  # the server answers TLS alone
            connection.sendall(GREETING)
            header = connection.makefile("rb").read(9)
    except OSError as error:
        raise ClusterError(f"no Ray cluster answers at RAY_ADDRESS={address} ({error}): {hint}") from error
    if len(header) < 9 or header[3] != SETTINGS_FRAME:
        raise ClusterError(f"the server at RAY_ADDRESS={address} is no Ray cluster: {hint}")


def _host_and_port(address: str) -> str:
    """Return the host:port of the cluster that RAY_ADDRESS names."""
    if address == "auto":
        return _local_cluster()
    if address.startswith(("http://", "https://")):
        raise ClusterError(
            f"RAY_ADDRESS={address} is an address for submitting jobs (roundtrip submit --address {address}): give "
            f"host:port of the cluster that this process shall join, or {LOCAL_HINT}"
        )
    name = address.removeprefix("ray://")
    host, _, port = name.rpartition(":")
    if not host or not port.isdigit() or "://" in host or not 0 < int(port) < 2**16:
        hint = f"give host:port, ray://host:port or auto, or {LOCAL_HINT}"
        raise ClusterError(f"RAY_ADDRESS={address} is no address of a Ray cluster: {hint}")
    return name


def _local_cluster() -> str:
    """Return the host:port of the one cluster that runs on this machine."""
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except ConnectionError as error:
        hint = f"start one with `ray start --head`, give its host:port, or {LOCAL_HINT}"
        raise ClusterError(f"RAY_ADDRESS=auto needs exactly one cluster on this machine: {hint}") from error
