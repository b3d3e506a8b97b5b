"""The part that all passes share: how an actor pool is requested from Ray, and how a plan is run and published."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from factory.actors.base import ActorFactory
from factory.actors.guard import guard_actor
from factory.models.device import describe_dtype
from factory.passes.errors import PassError
from factory.passes.progress import Clock
from factory.recipe.resources import PoolConfig, ResourcesConfig
from factory.runtime.counters import count
from factory.runtime.light_tasks import LIGHT
from factory.runtime.running_rows import count_running_rows, forget_running_rows
from factory.runtime.watch import ActorRequests, await_resources, run_watched
from factory.storage.dataset import DatasetDir
from factory.storage.group import DatasetGroup
from factory.storage.parts import WriteReport
from schemas.errors import RoundtripError

if TYPE_CHECKING:
    import ray.data


ROWS_PER_PROCESS = 32
"""Rows that a process of a pool should have at least: to load its models takes as long as 10 to 20 rows."""


LOADED = {
    "encoder": "the encoder",
    "aligner": "the aligner",
    "translator": "vLLM and the policy",
    "vocoder": "the vocoders",
    "scorer": "the metrics",
    "recognizer": "vocoders, recognizer and MOS model",
}
"""What the processes of a pool load before their first row."""
LOADING_S = {"translator": 20, "others": 10}
"""Seconds until the models of a plan with these pools are loaded."""


class _Amounts(TypedDict):
    """What Ray reserves for one process of a pool."""

    num_cpus: float
    num_gpus: float
    accelerator_type: str | None
    memory: float | None


def map_actor(rows: ray.data.Dataset, actor: ActorFactory, pool: PoolConfig) -> ray.data.Dataset:
    """Map an actor over the rows, guarded, in a pool of processes with the resources of the recipe.

    Args:
        rows: what the actor takes.
        actor: the actor's class with its arguments, as `partial(Vocoder, checkpoints, threads)`.
        pool: the number of processes, and what each needs.
    """
    import ray.data

    guard, arguments = guard_actor(actor, pool.row_timeout_s, pool.threads)
    amounts: _Amounts = {
        "num_cpus": pool.num_cpus,
        "num_gpus": pool.num_gpus,
        "accelerator_type": pool.accelerator,
        "memory": pool.needs["memory"] or None,
    }
    return rows.map_batches(
        guard,
        fn_constructor_kwargs=dict(arguments),
        compute=ray.data.ActorPoolStrategy(min_size=pool.actors, max_size=pool.max_actors or pool.actors),
        batch_size=pool.batch_size,
        batch_format="pyarrow",
        **amounts,
    )


def fit_pool(pool: PoolConfig, rows: int) -> PoolConfig:
    """Return the pool for so few rows: every process gets `ROWS_PER_PROCESS` or more, in batches that all can share."""
    useful = max(1, rows // ROWS_PER_PROCESS)
    largest = None if pool.max_actors is None else min(pool.max_actors, useful)
    actors = min(pool.actors, useful)
    return replace(pool, actors=actors, max_actors=largest, batch_size=max(1, min(pool.batch_size, -(-rows // actors))))


def run_plan(
    rows: ray.data.Dataset,
    out: DatasetDir | DatasetGroup,
    ids: Collection[str],
    clock: Clock,
    name: str,
    resources: ResourcesConfig,
    pools: Collection[str] = (),
) -> None:
    """Run a plan, show its progress, and publish the dataset when all rows are written.

    Args:
        rows: the plan.
        out: the dataset to write, or the datasets.
        ids: the ids of all rows that each dataset will have; without ids nothing is run.
        clock: measures and shows progress.
        name: of the stage, for people.
        resources: the recipe's.
        pools: names of the pools of `resources` that the plan has.

    Raises:
        Stalled: the pools do not fit into the cluster, or no row was written for too long.
        PassError: a worker ended with an error that the user can fix.
    """
    requests = list_demands(resources, pools)
    try:
        if ids:
            await_resources(name, requests)
            total = len(ids) * (len(out) if isinstance(out, DatasetGroup) else 1)
            _write(rows, out, total, clock, name, resources.stall_s, requests)
        out.publish(ids, _describe_arithmetic(resources, pools))
    except Exception as error:
        if (cause := _find_cause(error)) is None:
            raise
        raise cause from None
    finally:
        out.release()


def _write(
    rows: ray.data.Dataset,
    out: DatasetDir | DatasetGroup,
    total: int,
    clock: Clock,
    name: str,
    stall_s: float,
    requests: ActorRequests,
) -> None:
    if models := [LOADED[pool] for pool in requests if pool in LOADED]:
        expected = LOADING_S["translator" if "translator" in requests else "others"]
        print(f"  {name}: loading {', '.join(models)}, about {expected} s", file=sys.stderr, flush=True)
    forget_running_rows()
    with clock.bar(name, total, out.num_done, count_running_rows) as bar:

        def work(report_progress: Callable[[], None]) -> None:
            """Write the rows; every part file counts as progress."""
            for report in out.write(rows):
                report_progress()
                bar.update(report.rows)
                _count(name.split()[0], report)
                clock.note_memory()

        run_watched(work, name, stall_s, requests)


def _describe_arithmetic(resources: ResourcesConfig, pools: Collection[str]) -> dict[str, str]:
    """Return what a manifest notes next to the versions: the numbers that the translators computed in."""
    if "translator" not in pools:
        return {}
    return {"dtype": describe_dtype(resources.dtype, on_gpu=resources.translator.num_gpus > 0)}


def _count(stage: str, report: WriteReport) -> None:
    """Count a part file in Ray's metrics."""
    for status, rows in report.by_status.items():
        count("roundtrip_rows", rows, stage=stage, status=status)
    for metric, amount in report.counters.items():
        count(metric, amount, stage=stage)


def list_demands(resources: ResourcesConfig, pools: Iterable[str]) -> ActorRequests:
    """Return what a plan with these pools needs of a cluster, the share of reading and writing included."""
    named: dict[str, PoolConfig] = {name: getattr(resources, name) for name in pools}
    demands = {name: (pool.actors, pool.needs) for name, pool in named.items()}
    return demands | {"reader and writer": (1, {"CPU": LIGHT})}


def _find_cause(error: Exception) -> PassError | None:
    """Return the error that a worker ended with, if the user can fix it; None for any other error.

    Ray passes a worker's error on as the last line of a traceback, as text.
    """
    if "ray::" not in str(error):
        return None
    names = (re.escape(f"{cls.__module__}.{cls.__qualname__}") for cls in _subclasses(RoundtripError))
    messages = re.findall(rf"(?:{'|'.join(names)}): (.+)$", str(error), re.MULTILINE)
    return PassError(messages[-1]) if messages else None


def _subclasses(cls: type[RoundtripError]) -> Iterator[type[RoundtripError]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
