"""No job hangs: a stage whose actors find no room, or that makes no progress, ends with a sentence.

The sentence names the resources that the stage requests and those that the cluster has.

    requests = {"translator": (2, {"CPU": 1, "GPU": 1})}
    await_resources("produce", requests)          # Stalled when the cluster has no room for the actors
    run_watched(work, "produce", 1800, requests)  # Stalled when `work` reports no progress for 1800 s
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TypeVar

import psutil

from factory.runtime.errors import ClusterError

T = TypeVar("T")
Resources = dict[str, float]
"""Amounts by the name of a Ray resource: CPU (cores), GPU (devices), memory (bytes), accelerator types."""
ActorRequests = Mapping[str, tuple[int, Resources]]
"""Kind of actor -> number of actors, and the resources of one."""

GROWTH_S = 300.0
"""Seconds that a cluster has to add nodes before a lack of room is an error; ROUNDTRIP_GROWTH_S sets another number."""
POLL_S = 2.0
"""Seconds between two looks at the nodes of a cluster that grows."""
ANSWER_S = 10.0
"""Seconds that the cluster has to describe itself."""
GUARDED_MODULE = "factory.actors.child"
"""The module that the process of a guarded actor runs."""
MIN_CPU_S = 0.1
"""Seconds of a core that the guarded actors must spend to count as progress."""
ACCELERATOR_PREFIX = "accelerator_type:"
"""Start of the name of the resource by which Ray distinguishes nodes with different types of GPU."""
_SHOWN = ("CPU", "GPU")
_ROUNDING = 1e-9


class Stalled(ClusterError):
    """A stage that cannot go on; the message names the stage, the requested resources and those of the cluster."""


def await_resources(stage: str, requests: ActorRequests, end: float | None = None) -> None:
    """Return once the nodes have room for all actors together; ask the cluster's autoscaler for nodes until then.

    Args:
        stage: Name of the stage, for the message.
        requests: The actors of the stage.
        end: Time limit on the monotonic clock, in seconds; None: `growth_s()` from now. A local Ray does not grow.

    Raises:
        Stalled: The actors have no room at the time limit.
    """
    from ray.autoscaler.sdk import request_resources

    if fits(requests, nodes()):
        return
    end = time.monotonic() + growth_s() if end is None else end
    request_resources(bundles=[_nonzero(need) for number, need in requests.values() for _ in range(number)])
    try:
        while not fits(requests, nodes()):
            if time.monotonic() >= end:
                hint = "lower resources.<actor>.actors, num_cpus or num_gpus, or add nodes"
                raise Stalled(f"{stage} cannot be placed: {_situation(requests)}; {hint}")
            time.sleep(POLL_S)
    finally:
        request_resources(bundles=[])  # else the request would stay; from here on the actors request for themselves


def growth_s() -> float:
    """Return the seconds that the cluster has to add nodes; 0 for a local Ray."""
    if not os.environ.get("RAY_ADDRESS"):
        return 0.0
    seconds = os.environ.get("ROUNDTRIP_GROWTH_S", GROWTH_S)
    try:
        return float(seconds)
    except ValueError as error:
        raise ClusterError(f"ROUNDTRIP_GROWTH_S must be a number of seconds; got {seconds!r}") from error


def nodes() -> list[Resources]:
    """Return the resources of each node that is alive, used or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _nonzero(need: Resources) -> Resources:
    """Remove amounts of 0: an autoscaler looks for a node that has every resource of a bundle."""
    return {name: amount for name, amount in need.items() if amount}


def run_watched(work: Callable[[Callable[[], None]], T], stage: str, stall_s: float, requests: ActorRequests) -> T:
    """Call `work` in a thread and return its result, or raise its error.

    A guarded actor of this machine that computes counts as progress: it is slow because other work takes the cores,
    and its guard ends it when it hangs. A stalled thread is left behind, so the caller is expected to end the process.

    Args:
        work: Function of one argument, a function that it calls whenever it makes progress.
        stage: Name of the stage, for the message.
        stall_s: Longest time without progress, in seconds.
        requests: The actors of the stage, for the message.

    Raises:
        Stalled: There was no progress for `stall_s` seconds.
    """
    last_progress, cpu_s = [time.monotonic()], guarded_cpu_seconds()
    outcome: Future[T] = Future()
    arguments = (work, lambda: last_progress.append(time.monotonic()), outcome)
    threading.Thread(target=_run, args=arguments, name=stage, daemon=True).start()
    while not outcome.done():
        wait([outcome], min(5.0, stall_s / 4))
        del last_progress[:-1]
        if abs((now := guarded_cpu_seconds()) - cpu_s) >= MIN_CPU_S:  # less where an actor ended and another began
            last_progress.append(time.monotonic())
            cpu_s = now
        if not outcome.done() and time.monotonic() - last_progress[-1] > stall_s:
            hint = (
                "run the same command again to continue; Ray's logs (/tmp/ray/session_latest/logs) may show the cause"
            )
            raise Stalled(
                f"{stage} made no progress for {stall_s:g} s (resources.stall_s): {_situation(requests)}; {hint}"
            )
    return outcome.result()


def guarded_cpu_seconds() -> float:
    """Return the core seconds that the guarded actors of this process's Ray have spent on this machine."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if GUARDED_MODULE in process.cmdline():
                times = process.cpu_times()
                total += times.user + times.system
    return total


def _run(work: Callable[[Callable[[], None]], T], progress: Callable[[], None], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work(progress))
    except BaseException as error:  # every error belongs to the waiting thread
        outcome.set_exception(error)


def _situation(requests: ActorRequests) -> str:
    return f"{describe_requests(requests)}; {describe_cluster()}"


def describe_requests(requests: ActorRequests) -> str:
    """Describe the requested actors: `requested: 2 translator (1 CPU, 1 GPU each)`."""
    parts = [f"{number} {name} ({describe_resources(need)} each)" for name, (number, need) in requests.items()]
    return f"requested: {', '.join(parts) or 'no actors'}"


def describe_cluster() -> str:
    """Describe the nodes of the cluster and its free resources, or report that it does not answer."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_describe_nodes()), daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    return answers[0] if answers else "the cluster does not answer"


def _describe_nodes() -> str:
    import ray

    alive = [describe_resources(node) for node in nodes()]
    free: Resources = ray.available_resources()  # type: ignore[no-untyped-call]
    number = "1 node" if len(alive) == 1 else f"{len(alive)} nodes"
    return f"the cluster has {number} ({'; '.join(alive)}); free: {describe_resources(free)}"


def describe_resources(resources: Mapping[str, float]) -> str:
    """Describe an amount of CPUs and GPUs, and the types of the GPUs where they are known: `4 CPU, 1 GPU, H100`."""
    types = [name.removeprefix(ACCELERATOR_PREFIX) for name in resources if name.startswith(ACCELERATOR_PREFIX)]
    return ", ".join([*(f"{resources.get(name, 0):g} {name}" for name in _SHOWN), *types])


def fits(requests: ActorRequests, nodes: list[Resources]) -> bool:
    """Return whether all actors have room at once.

    The largest actors are placed first, each on the first node with room (first-fit decreasing). This may miss a
    placement that a full search would find, but never reports one that does not exist.
    """
    free = [_Free(node) for node in nodes]
    needs = [need for number, need in requests.values() for _ in range(number)]
    largest_first = sorted(needs, key=lambda need: (need.get("GPU", 0), need.get("CPU", 0)), reverse=True)
    return all(any(node.reserve(need) for node in free) for need in largest_first)


class _Free:
    """The free resources of a node. A share of a GPU must be on one GPU, so every GPU counts for itself."""

    def __init__(self, resources: Resources) -> None:
        self.resources, self.gpus = dict(resources), [1.0] * int(resources.get("GPU", 0))

    def reserve(self, need: Resources) -> bool:
        """Reserve the resources of one actor; return False, and reserve nothing, when there is no room."""
        share = need.get("GPU", 0)
        roomy = [index for index, free in enumerate(self.gpus) if free + _ROUNDING >= min(1.0, share)]
        gpus = roomy[: math.ceil(share)]
        enough = all(self.resources.get(name, 0) + _ROUNDING >= amount for name, amount in need.items())
        if len(gpus) < math.ceil(share) or not enough:
            return False
        for name, amount in need.items():
            self.resources[name] = self.resources.get(name, 0) - amount
        for index in gpus:
            self.gpus[index] -= min(1.0, share)
        return True
