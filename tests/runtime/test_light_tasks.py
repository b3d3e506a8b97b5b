"""Light tasks reserve a quarter of a core, and at most half of the cores work on them."""

from __future__ import annotations

import pytest

from factory.runtime.light_tasks import LIGHT, light_task, max_light_tasks


def test_light_tasks_use_half_of_the_cores(local_ray: None) -> None:
    arguments = light_task()
    assert LIGHT == 0.25 and set(arguments) == {"num_cpus", "compute"}
    assert arguments["num_cpus"] == LIGHT and arguments["compute"].size == 2  # of the four cores of local_ray


@pytest.mark.parametrize(("cores", "tasks"), [({"CPU": 7.0}, 3), ({"CPU": 1.0}, 1), ({}, 1), ({"CPU": 64.0}, 32)])
def test_there_is_at_least_one_light_task(cores: dict[str, float], tasks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: cores)
    assert max_light_tasks() == tasks
