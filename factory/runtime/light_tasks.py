"""What tasks without a model (reading, writing, choosing) ask of Ray."""

from __future__ import annotations

from typing import Any

LIGHT = 0.25
"""Cores that reading and writing ask of Ray: a fraction, so that they still run where actors took whole cores."""


def light_task() -> dict[str, Any]:
    """Return what a task without a model asks of `map_batches`: `LIGHT` cores each, and only so many at once as `max_light_tasks` says."""
    from ray.data import TaskPoolStrategy

    return {"num_cpus": LIGHT, "compute": TaskPoolStrategy(size=max_light_tasks())}


def max_light_tasks() -> int:
    """Return half the cores of the cluster: how many light tasks may run at once.

    Ray would start a process for every block that waits, and a process takes seconds of a core before it does anything.
    """
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)) // 2)
