"""What every pass shares: how a pool of actors is asked of Ray, and how a plan is run to its published end."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from factory.actors.base import RowActor
from factory.actors.guard import ActorError, guarded
from factory.models.device import describe_dtype
from factory.passes.progress import Clock
from factory.recipe.sections import PoolConfig, ResourcesConfig
from factory.runtime.counters import count
from factory.runtime.light_tasks import LIGHT
from factory.runtime.watch import ActorRequests, await_resources, run_watched
from factory.storage.dataset import DatasetDir
from factory.storage.parts import WriteReport

if TYPE_CHECKING:
    import ray.data


def act(
    rows: ray.data.Dataset, actor: type[RowActor], arguments: dict[str, Any], stage: PoolConfig
) -> ray.data.Dataset:
    """Map an actor over the rows, in a guarded pool with the resources that the recipe gives to its stage."""
    import ray.data

    kind, given = guarded(actor, arguments, stage.row_timeout_s, stage.threads)
    compute = ray.data.ActorPoolStrategy(min_size=stage.actors, max_size=stage.max_actors or stage.actors)
    amounts: dict[str, Any] = {
        "num_cpus": stage.num_cpus,
        "num_gpus": stage.num_gpus,
        "accelerator_type": stage.accelerator,
    }
    amounts |= {"memory": stage.needs["memory"] or None}
    return rows.map_batches(
        kind,
        fn_constructor_kwargs=given,
        compute=compute,
        batch_size=stage.batch_size,
        batch_format="pyarrow",
        **amounts,
    )


def finish(
    out: DatasetDir,
    rows: ray.data.Dataset,
    asked: Collection[str],
    clock: Clock,
    name: str,
    resources: ResourcesConfig,
    *actors: str,
) -> None:
    """Run the plan, show its progress over the `asked` ids, and publish the dataset once all are there.

    Without ids nothing is run. `actors` names the pools of `resources` that the plan has. Raises Stalled when they
    cannot be placed or nothing moves any more, and ActorError or StoreError where a worker ended with one.
    """
    wanted = demands(resources, actors)
    try:
        if asked:
            await_resources(name, wanted)
            _run(out, rows, len(asked), clock, name, resources.stall_s, wanted)
        out.publish(asked, _made_with(resources, actors))
    except Exception as error:
        if (cause := _cause(error)) is error:
            raise
        raise cause from None
    finally:
        out.release()


def _run(
    out: DatasetDir, rows: ray.data.Dataset, total: int, clock: Clock, name: str, stall_s: float, wanted: ActorRequests
) -> None:
    with clock.bar(name, total, out.num_done) as bar:

        def work(moved: Callable[[], None]) -> None:
            """Write the rows; every part file that comes is a move."""
            for report in out.write(rows):
                moved()
                bar.update(report.rows)
                _count(name.split()[0], report)
                clock.note_memory()

        run_watched(work, name, stall_s, wanted)


def _made_with(resources: ResourcesConfig, actors: Collection[str]) -> dict[str, str]:
    """Return what a manifest notes beside the versions: what the translators computed in."""
    return (
        {"dtype": describe_dtype(resources.dtype, on_gpu=resources.translator.num_gpus > 0)}
        if "translator" in actors
        else {}
    )


def _count(stage: str, report: WriteReport) -> None:
    """Count a part file in Ray's metrics."""
    for status, rows in report.by_status.items():
        count("roundtrip_rows", rows, stage=stage, status=status)
    for metric, amount in report.counters.items():
        count(metric, amount, stage=stage)


def demands(resources: ResourcesConfig, actors: Iterable[str]) -> ActorRequests:
    """Return what a plan with these pools asks of a cluster, the share for reading and writing included."""
    pools: dict[str, PoolConfig] = {name: getattr(resources, name) for name in actors}
    return {name: (pool.actors, pool.needs) for name, pool in pools.items()} | {
        "reader and writer": (1, {"CPU": LIGHT})
    }


def _cause(error: Exception) -> Exception:
    """Return what one of our own parts raised in a worker: Ray hands it on as the last line of a traceback, as text alone."""
    if "ray::" not in str(error):
        return error
    named = re.findall(r"factory\.(?:\w+\.)+(?:ActorError|StoreError|CorpusError): (.+)$", str(error), re.MULTILINE)
    return ActorError(named[-1]) if named else error
