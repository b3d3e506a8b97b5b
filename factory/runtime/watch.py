"""No job hangs: what cannot be placed, or stands still for too long, ends with a sentence: what was asked for, and what is there.

await_places("produce", {"translator": (2, {"CPU": 1, "GPU": 1})})    # Stalled where no cluster like this can hold them
watched(work, "produce", 1800, wanted)                                # Stalled when `work` has not moved for 1800 s
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

from schemas.errors import RoundtripError

T = TypeVar("T")
Resources = dict[str, float]
Wanted = Mapping[str, tuple[int, Resources]]
"""Of each kind of actor how many, and the resources of one."""

GROWTH_S = 300.0
"""Seconds that a cluster gets to bring nodes before its lack of room is an error, where ROUNDTRIP_GROWTH_S does not say otherwise."""
_SHOWN = ("CPU", "GPU")
_ROUNDING = 1e-9
CHILD = "factory.actors.child"
"""The module that a guarded actor's process runs."""
COMPUTED_S = 0.1
"""Seconds on a core that guarded actors have to compute to have moved."""
MARK = "accelerator_type:"
"""What the name of the resource begins with by which Ray tells nodes with one type of GPU."""


class Stalled(RoundtripError):
    """A stage that cannot go on; the message names it, the resources asked for and those that are there."""


def await_places(stage: str, wanted: Wanted, end: float | None = None) -> None:
    """Return once all actors fit onto the cluster's nodes together, which its autoscaler is asked for; raises Stalled when they do not.

    A cluster (one that RAY_ADDRESS names) has `growth_s()` to bring them, or until `end` on the monotonic clock; a Ray that was started
    here does not grow.
    """
    from ray.autoscaler.sdk import request_resources

    if fits(wanted, nodes()):
        return
    end = time.monotonic() + growth_s() if end is None else end
    request_resources(bundles=[_known(each) for number, each in wanted.values() for _ in range(number)])
    try:
        while not fits(wanted, nodes()):
            if time.monotonic() >= end:
                hint = "ask for fewer or smaller actors (resources.<actor>.actors, num_cpus, num_gpus) or add nodes"
                raise Stalled(f"{stage} cannot be placed: {told(wanted)}; {there()}; {hint}")
            time.sleep(2)
    finally:
        request_resources(bundles=[])  # or it would stay asked for; from here on the actors speak for themselves


def growth_s() -> float:
    """Return the seconds that the cluster gets to bring nodes; 0 for a Ray that was started here."""
    return float(os.environ.get("ROUNDTRIP_GROWTH_S", GROWTH_S)) if os.environ.get("RAY_ADDRESS") else 0.0


def nodes() -> list[Resources]:
    """Return what each node that is alive has in all."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _known(need: Resources) -> Resources:
    """Leave out what is not asked for: an autoscaler looks for a node that has every resource of a bundle."""
    return {name: amount for name, amount in need.items() if amount}


def watched(work: Callable[[Callable[[], None]], T], stage: str, stall_s: float, wanted: Wanted) -> T:
    """Call `work(moved)` in a thread and return its value or raise what it raises; it calls `moved()` whenever something has come of it.

    Raises Stalled when that was not called for `stall_s` seconds, in which no guarded actor of this machine computed either: those that
    other work keeps from the cores are slow, and those that hang are their guards'. The thread is then left behind: the caller is
    expected to end.
    """
    moves, computed = [time.monotonic()], computed_s()
    outcome: Future[T] = Future()
    thread = threading.Thread(
        target=_run, args=(work, lambda: moves.append(time.monotonic()), outcome), name=stage, daemon=True
    )
    thread.start()
    while not outcome.done():
        wait([outcome], min(5.0, stall_s / 4))
        del moves[:-1]
        if abs((now := computed_s()) - computed) >= COMPUTED_S:  # less where a child has ended, and a new one begun
            moves.append(time.monotonic())
            computed = now
        if not outcome.done() and time.monotonic() - moves[-1] > stall_s:
            hint = "run the same command again, it goes on from here; Ray's logs (/tmp/ray/session_latest/logs) hold the actors' last words"
            raise Stalled(
                f"{stage} has not moved for {stall_s:g} s (resources.stall_s): {told(wanted)}; {there()}; {hint}"
            )
    return outcome.result()


def computed_s() -> float:
    """Return the seconds that the guarded actors of this process' Ray have spent on this machine's cores."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if CHILD in process.cmdline():
                times = process.cpu_times()
                total += times.user + times.system
    return total


def _run(work: Callable[[Callable[[], None]], T], moved: Callable[[], None], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work(moved))
    except BaseException as error:  # all of it is the waiting thread's
        outcome.set_exception(error)


def told(wanted: Wanted) -> str:
    """Say what was asked for."""
    parts = [f"{number} {name} ({amounts(each)} each)" for name, (number, each) in wanted.items()]
    return f"asked for were {', '.join(parts) or 'no actors'}"


def there() -> str:
    """Say which nodes the cluster has and what of them is free, or that it does not answer."""
    answer: list[str] = []
    asking = threading.Thread(target=lambda: answer.append(_nodes()), daemon=True)
    asking.start()
    asking.join(10)
    return answer[0] if answer else "the cluster does not answer"


def _nodes() -> str:
    import ray

    each = [amounts(node) for node in nodes()]
    return f"there are {len(each)} nodes with {'; '.join(each) or 'nothing'}, of which {amounts(ray.available_resources())} are free"


def amounts(resources: Mapping[str, float]) -> str:
    """Say how many CPUs and GPUs, and of which type they are where that is known."""
    kinds = [name.removeprefix(MARK) for name in resources if name.startswith(MARK)]
    return ", ".join([*(f"{resources.get(name, 0):g} {name}" for name in _SHOWN), *kinds])


def fits(wanted: Wanted, nodes: list[Resources]) -> bool:
    """Whether all actors have room at once.

    Places the largest first, each on the first node with room: may miss a way that a search would find, never claims one that is none.
    """
    free = [_Free(node) for node in nodes]
    each = [need for number, need in wanted.values() for _ in range(number)]
    ordered = sorted(each, key=lambda need: (need.get("GPU", 0), need.get("CPU", 0)), reverse=True)
    return all(any(node.takes(need) for node in free) for need in ordered)


class _Free:
    """What is left of a node; a share of a GPU has to lie on one GPU, so each counts for itself."""

    def __init__(self, has: Resources) -> None:
        self.has, self.gpus = dict(has), [1.0] * int(has.get("GPU", 0))

    def takes(self, need: Resources) -> bool:
        """Whether there is room for one actor; it is taken then."""
        share = need.get("GPU", 0)
        used = [place for place, left in enumerate(self.gpus) if left + _ROUNDING >= min(1.0, share)][
            : math.ceil(share)
        ]
        if len(used) < math.ceil(share) or any(
            self.has.get(name, 0) + _ROUNDING < amount for name, amount in need.items()
        ):
            return False
        for name, amount in need.items():
            self.has[name] = self.has.get(name, 0) - amount
        for place in used:
            self.gpus[place] -= min(1.0, share)
        return True
