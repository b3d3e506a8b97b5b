"""Ray resources of tasks without a model: reading, writing, choosing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from ray.data import TaskPoolStrategy

LIGHT = 0.25
"""Cores of a light task. A fraction, so that light tasks still run where actors reserve whole cores."""


class LightTask(TypedDict):
    """The arguments of `map_batches` that reserve resources for a light task."""

    num_cpus: float
    compute: TaskPoolStrategy


def light_task() -> LightTask:
    """Return the arguments of `map_batches` for a task without a model: its cores, and how many may run at once."""
    from ray.data import TaskPoolStrategy

    return {"num_cpus": LIGHT, "compute": TaskPoolStrategy(size=max_light_tasks())}


def max_light_tasks() -> int:
    """Return how many light tasks may run at once: half the cores of the cluster, and at least one.

    Without a limit Ray starts a process for every waiting block, and every process costs seconds of a core before it
    works.
    """
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)) // 2)
