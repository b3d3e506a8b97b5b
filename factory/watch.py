"""No job hangs: what cannot be placed, or stands still for too long, ends with a sentence: what was asked for, and what is there.

    await_places("produce", {"translator": (2, {"CPU": 1, "GPU": 1})})    # Stalled where no cluster like this can hold them
    watched(work, "produce", 1800, wanted)                                # Stalled when `work` has not moved for 1800 s
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")
Resources = dict[str, float]
Wanted = Mapping[str, tuple[int, Resources]]
"""Of each kind of actor how many, and the resources of one."""

GROWTH_S = 300.0
"""Seconds that a cluster, which may be growing, gets before its lack of room is an error; a Ray started here does not grow."""
_SHOWN = ("CPU", "GPU")


class Stalled(RuntimeError):
    """A stage that cannot go on; the message names it, the resources asked for and those that are there."""


def await_places(stage: str, wanted: Wanted) -> None:
    """Return once all actors fit onto the cluster's nodes together; raises Stalled when they do not (a cluster has `GROWTH_S` to grow)."""
    import ray

    end = time.monotonic() + (GROWTH_S if os.environ.get("RAY_ADDRESS") else 0.0)
    while not _fit(wanted, [node["Resources"] for node in ray.nodes() if node["Alive"]]):
        if time.monotonic() >= end:
            hint = "ask for fewer or smaller actors (resources.<actor>.actors, num_cpus, num_gpus) or add nodes"
            raise Stalled(f"{stage} cannot be placed: {told(wanted)}; {there()}; {hint}")
        time.sleep(2)


def watched(work: Callable[[Callable[[], None]], T], stage: str, stall_s: float, wanted: Wanted) -> T:
    """Call `work(moved)` in a thread and return its value or raise what it raises; it calls `moved()` whenever something has come of it.

    Raises Stalled when that was not called for `stall_s` seconds. The thread is then left behind: the caller is expected to end.
    """
    moves = [time.monotonic()]
    outcome: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(work, lambda: moves.append(time.monotonic()), outcome), name=stage, daemon=True)
    thread.start()
    while not outcome.done():
        wait([outcome], min(5.0, stall_s / 4))
        del moves[:-1]
        if not outcome.done() and time.monotonic() - moves[-1] > stall_s:
            hint = "run the same command again, it goes on from here; Ray's logs (/tmp/ray/session_latest/logs) hold the actors' last words"
            raise Stalled(f"{stage} has not moved for {stall_s:g} s (resources.stall_s): {told(wanted)}; {there()}; {hint}")
    return outcome.result()


def _run(work: Callable[[Callable[[], None]], T], moved: Callable[[], None], outcome: Future[T]) -> None:
    try:
        outcome.set_result(work(moved))
    except BaseException as error:  # all of it is the waiting thread's
        outcome.set_exception(error)


def told(wanted: Wanted) -> str:
    """Say what was asked for."""
    parts = [f"{number} {name} ({_amounts(each)} each)" for name, (number, each) in wanted.items()]
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

    nodes = [_amounts(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    return f"there are {len(nodes)} nodes with {'; '.join(nodes) or 'nothing'}, of which {_amounts(ray.available_resources())} are free"


def _amounts(resources: Mapping[str, float]) -> str:
    shown = [f"{resources.get(name, 0):g} {name}" for name in _SHOWN]
    return ", ".join(shown)


def _fit(wanted: Wanted, nodes: list[Resources]) -> bool:
    """Place the largest first, each on the first node with room: may miss a way that a search would find, never claims one that is none."""
    free = [dict(node) for node in nodes]
    each = [need for number, need in wanted.values() for _ in range(number)]
    for need in sorted(each, key=lambda need: (need.get("GPU", 0), need.get("CPU", 0)), reverse=True):
        room = next((node for node in free if all(node.get(name, 0) + 1e-9 >= amount for name, amount in need.items())), None)
        if room is None:
            return False
        for name, amount in need.items():
            room[name] = room.get(name, 0) - amount
    return True
