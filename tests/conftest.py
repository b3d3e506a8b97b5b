"""The environment of all tests, their order, and one local Ray for all of them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import setuptools  # noqa: F401  vLLM imports it, and it refuses to load after the distutils that it replaces
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent

os.environ.update(
    HF_HUB_OFFLINE=os.environ.get("HF_HUB_OFFLINE", "1"),  # a test that needs a hub starts its own
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),
    # for Ray's workers and subprocesses
    PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    RAY_DEDUP_LOGS="0",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_worker_niceness="0",  # its workers, which are nicer by default, would starve beside other tests
)

settings.register_profile("any machine", deadline=None)  # a slow machine needs more time per example
# the same examples for each mutant, and no search for the smallest failing example
settings.register_profile("mutants", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.load_profile("any machine")


FIRST = (
    "test_translator.py",
    "test_greedy.py",
    "test_engine.py",
    "test_engine_speech.py",
    "test_prompt_sharing.py",
    "test_likelihood.py",
    "test_hearing.py",
    "test_translate.py",
    "test_rounds.py",
    "test_launch.py",
    "test_run_round.py",
    "test_elastic.py",
    "test_nodes.py",
    "test_submit.py",
    "test_simulate.py",
    "test_autoscaler.py",
    "test_shapes.py",
    "test_local_ray.py",
    "test_dataset.py",
    "test_held_out.py",
    "test_toplines.py",
    "test_speech_encoders.py",
    "test_how_to.py",
    "test_guard.py",
    "test_export.py",
)
"""The longest files, which start first, so that all processes end at about the same time."""

TOGETHER = {
    "actors/test_translator.py": "vllm",
    "actors/test_greedy.py": "vllm",
    "actors/test_hearing.py": "vllm",
    "listen/test_translate.py": "vllm",
    "models/test_audio_engine.py": "vllm",
    "models/test_engine.py": "vllm",
    "models/test_engine_speech.py": "vllm",
    "models/test_prompt_sharing.py": "vllm",
    "models/test_likelihood.py": "vllm",
    "cluster/test_nodes.py": "cluster",
    "cluster/test_submit.py": "cluster",
}
"""Files that share what takes long to start, and so a process: the import of vLLM, or the cluster of three nodes."""

SERVICES = {"bucket", "failing_bucket", "faults", "local_ray", "store"}
"""Fixtures that start Ray or a server: their tests have the mark `service`."""


def pytest_collection() -> None:
    """Let the imports of all test files run without garbage collections: what they make stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, but not in what was imported."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put some files first, and mark the tests whose fixtures start a service."""
    for item in items:
        if SERVICES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.service)
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, let a process run the files that are together in `TOGETHER`."""
    from xdist.scheduler import LoadFileScheduling

    class LoadTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return TOGETHER.get(file.removeprefix("tests/"), file)

    return LoadTogether(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_sessionstart() -> None:
    """Clear our caches: mutmut tests a mutant in a copy of a process that has run the tests before."""
    if os.environ.get("MUTANT_UNDER_TEST"):
        ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("factory", "schemas")]
        for value in (value for module in ours for value in vars(module).values()):
            if clear := getattr(value, "cache_clear", None):
                clear()


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start a real Ray on this machine with four logical CPUs, because a plan with two actors needs more than two."""
    import ray

    from factory.runtime.local_ray import ENVIRONMENT, start_here

    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "warning"}
    start_here(
        num_cpus=4, object_store_memory=300 * 2**20, **quiet
    )  # a new Ray, even if a killed one has left its address
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
