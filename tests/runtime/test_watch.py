"""A stage whose actors find no room, or that makes no progress, ends with a sentence."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import cloudpickle
import pytest

from factory.actors.base import RowActor
from factory.actors.guard import guard_actor
from factory.runtime import watch
from factory.runtime.errors import ClusterError
from factory.runtime.watch import (
    GROWTH_S,
    GUARDED_MODULE,
    MIN_CPU_S,
    Stalled,
    await_resources,
    describe_cluster,
    describe_requests,
    describe_resources,
    fits,
    growth_s,
    guarded_cpu_seconds,
    run_watched,
)
from schemas.datasets import UNITS, Row
from tests.limits import HANG_S

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the process of a guarded actor does not import tests
REQUESTS = {"translator": (2, {"CPU": 1.0, "GPU": 1.0})}


def test_work_without_progress_is_ended(local_ray: None) -> None:
    never = threading.Event()

    def stall(progress: Callable[[], None]) -> None:
        progress()
        never.wait()

    message = (
        r"^produce made no progress for 0.4 s \(resources.stall_s\): requested: 2 translator \(1 CPU, 1 GPU each\); "
    )
    with pytest.raises(
        Stalled, match=message + r"the cluster has 1 node \(4 CPU, 0 GPU\); free: .* CPU, 0 GPU; run the"
    ):
        run_watched(stall, "produce", 0.4, REQUESTS)
    never.set()


def test_work_with_progress_is_not_ended() -> None:
    def work(progress: Callable[[], None]) -> str:
        for _ in range(60):
            time.sleep(0.1)
            progress()
        return "done"

    assert run_watched(work, "produce", 4, REQUESTS) == "done"


def test_an_error_of_the_work_is_raised() -> None:
    def work(progress: Callable[[], None]) -> None:
        raise KeyError("de")

    with pytest.raises(KeyError, match="de"):
        run_watched(work, "produce", 10, REQUESTS)


def spin(seconds: float) -> subprocess.Popen[bytes]:
    """Start a process that computes and looks like that of a guarded actor."""
    code = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    return subprocess.Popen([sys.executable, "-c", code, GUARDED_MODULE])


def test_a_guarded_actor_that_computes_is_progress() -> None:
    assert find_spec(GUARDED_MODULE) is not None

    def work(progress: Callable[[], None]) -> str:
        spin(6).wait()
        return "done"

    assert run_watched(work, "produce", 2, REQUESTS) == "done"


class Idle(RowActor):
    """Returns rows as they are."""

    schema = UNITS

    def process(self, rows: list[Row]) -> list[Row]:
        return rows


def test_the_process_of_a_guarded_actor_is_counted() -> None:
    guard, arguments = guard_actor(partial(Idle), HANG_S, 1)
    actor = guard(**arguments)
    assert guarded_cpu_seconds() > 0, "starting Python and loading the actor takes time"
    del actor
    assert guarded_cpu_seconds() == 0.0


def test_only_guarded_actors_of_this_process_are_counted() -> None:
    assert guarded_cpu_seconds() == 0.0
    process = spin(HANG_S)
    try:
        end = time.monotonic() + HANG_S
        while guarded_cpu_seconds() <= 2 * MIN_CPU_S and time.monotonic() < end:
            time.sleep(0.1)
        assert guarded_cpu_seconds() > 2 * MIN_CPU_S
    finally:
        process.kill()
        process.wait()
    assert guarded_cpu_seconds() == 0.0


def test_a_local_ray_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("ROUNDTRIP_GROWTH_S", "7")
    assert growth_s() == 0.0
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert growth_s() == 7.0
    monkeypatch.delenv("ROUNDTRIP_GROWTH_S")
    assert growth_s() == GROWTH_S == 300.0
    monkeypatch.setenv("ROUNDTRIP_GROWTH_S", "soon")
    with pytest.raises(ClusterError, match="ROUNDTRIP_GROWTH_S must be a number of seconds; got 'soon'"):
        growth_s()


class Growing:
    """A cluster of which the second node comes after some looks at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
        self.looks, self.requested, self.waited = looks, list[Any](), 0.0
        monkeypatch.setattr(watch, "nodes", self.nodes)
        monkeypatch.setattr(watch, "describe_cluster", lambda: "the cluster")
        monkeypatch.setattr(watch.time, "sleep", self.sleep)
        monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles: self.requested.append(bundles))

    def nodes(self) -> list[dict[str, float]]:
        self.looks -= 1
        return [{"CPU": 1.0, "GPU": 1.0}] * (1 if self.looks >= 0 else 2)

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


def test_nodes_are_requested_until_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Growing(monkeypatch, looks=3)
    requests = REQUESTS | {"reader": (1, {"CPU": 0.0, "memory": 0.0})}
    await_resources("produce", requests, time.monotonic() + HANG_S)
    assert cluster.requested == [[{"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}, {}], []]
    assert cluster.waited == 4.0


def test_nothing_is_requested_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Growing(monkeypatch, looks=0)
    await_resources("produce", REQUESTS)
    assert cluster.requested == []


def test_nodes_that_do_not_come_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster = Growing(monkeypatch, looks=10)
    message = r"^produce cannot be placed: requested: 2 translator \(1 CPU, 1 GPU each\); the cluster; lower resources"
    with pytest.raises(Stalled, match=message):
        await_resources("produce", REQUESTS)
    assert cluster.requested[-1] == [] and cluster.waited == 0


def test_requests_and_resources_are_described() -> None:
    assert describe_resources({"CPU": 4.0, "memory": 1e9}) == "4 CPU, 0 GPU"
    assert describe_resources({"GPU": 0.5, "accelerator_type:H100": 1.0}) == "0 CPU, 0.5 GPU, H100"
    requests = REQUESTS | {"reader": (1, {"CPU": 0.25})}
    assert describe_requests(requests) == "requested: 2 translator (1 CPU, 1 GPU each), 1 reader (0.25 CPU, 0 GPU each)"
    assert describe_requests({}) == "requested: no actors"


def test_a_cluster_is_described_unless_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr("ray.available_resources", lambda: {"CPU": 1.0})
    alive, dead = ({"Alive": alive, "Resources": {"CPU": 2.0, "GPU": 1.0}} for alive in (True, False))
    monkeypatch.setattr("ray.nodes", lambda: [alive, dead])
    assert describe_cluster() == "the cluster has 1 node (2 CPU, 1 GPU); free: 1 CPU, 0 GPU"
    monkeypatch.setattr("ray.nodes", lambda: [alive, alive])
    assert describe_cluster() == "the cluster has 2 nodes (2 CPU, 1 GPU; 2 CPU, 1 GPU); free: 1 CPU, 0 GPU"
    monkeypatch.setattr("ray.nodes", lambda: [] if never.wait() else [])
    monkeypatch.setattr(watch, "ANSWER_S", 0.2)
    assert describe_cluster() == "the cluster does not answer"
    never.set()


def test_a_share_of_a_gpu_is_on_one_gpu() -> None:
    node = {"CPU": 16.0, "GPU": 2.0}
    assert fits({"translator": (2, {"CPU": 1.0, "GPU": 0.6}), "vocoder": (4, {"CPU": 1.0, "GPU": 0.2})}, [node])
    assert not fits({"translator": (3, {"CPU": 1.0, "GPU": 0.6})}, [node])  # 1.8 of 2 GPUs, but the third has 0.4 + 0.4


@pytest.mark.parametrize(
    ("nodes", "fit"),
    [
        ([], False),
        ([{"CPU": 4.0}], False),
        ([{"CPU": 4.0, "GPU": 1.0}], False),
        ([{"CPU": 4.0, "GPU": 2.0}], True),
        ([{"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}], True),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], False),  # enough cores, but not where the GPU is
        ([{"CPU": 1.5, "GPU": 2.0}], False),
    ],
)
def test_two_actors_with_a_gpu_each(nodes: list[dict[str, float]], fit: bool) -> None:
    assert fits(REQUESTS, nodes) is fit


@pytest.mark.parametrize(
    ("requests", "nodes", "fit"),
    [
        ({}, [], True),
        ({"scorer": (10, {"CPU": 0.1})}, [{"CPU": 1.0}], True),  # 0.1 ten times is 1, but for rounding
        ({"scorer": (11, {"CPU": 0.1})}, [{"CPU": 1.0}], False),
        ({"vocoder": (5, {"GPU": 0.2})}, [{"GPU": 1.0}], True),
        ({"vocoder": (6, {"GPU": 0.2})}, [{"GPU": 1.0}], False),
        ({"trainer": (1, {"GPU": 2.0})}, [{"GPU": 1.0}, {"GPU": 1.0}], False),
        ({"trainer": (1, {"GPU": 2.0})}, [{"GPU": 1.0}, {"GPU": 3.0}], True),
        ({"trainer": (2, {"GPU": 2.0})}, [{"GPU": 3.0}], False),
        ({"trainer": (1, {"CPU": 1.0, "memory": 9.0})}, [{"CPU": 4.0, "memory": 8.0}], False),
        ({"trainer": (1, {"CPU": 1.0, "accelerator_type:H100": 0.001})}, [{"CPU": 4.0}], False),
        ({"small": (2, {"CPU": 1.0}), "large": (1, {"CPU": 3.0})}, [{"CPU": 3.0}, {"CPU": 2.0}], True),
        ({"cpu": (1, {"CPU": 3.0}), "gpu": (1, {"CPU": 1.0, "GPU": 1.0})}, [{"CPU": 3.0, "GPU": 1.0}], False),
        (
            {"cpu": (1, {"CPU": 3.0}), "gpu": (1, {"CPU": 1.0, "GPU": 1.0})},
            [{"CPU": 3.0, "GPU": 1.0}, {"CPU": 3.0}],
            True,
        ),
    ],
)
def test_the_largest_actors_are_placed_first(
    requests: dict[str, tuple[int, dict[str, float]]], nodes: list[dict[str, float]], fit: bool
) -> None:
    copies = [dict(node) for node in nodes]
    assert fits(requests, nodes) is fit
    assert nodes == copies, "a check reserves nothing"
