"""Runs a training loop on Ray Train, with one worker or many, or in this process; and where a loop keeps its state until it is done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle

from factory.recipe.sections import PoolConfig
from factory.runtime.watch import (
    ACCELERATOR_PREFIX,
    ActorRequests,
    Stalled,
    await_resources,
    describe_cluster,
    describe_requests,
    run_watched,
)
from factory.storage.files import filesystem
from trainers.publish import clear, is_published, summary_of, work_folder
from trainers.remote import EVERY_S, PULSE, RAY, Place, at_hand, name_of, place_of

STALL_S = 1800.0
"""Seconds without a pulse after which a training ends with an error."""
PLACEMENTS = 5
"""How often Ray Train may fail to get its workers placed (it waits a minute each time)."""
Loop = Callable[[dict[str, Any]], None]


def launch(
    loop: Loop,
    config: dict[str, Any],
    *,
    work: Place,
    pool: PoolConfig | None = None,
    stall_s: float = STALL_S,
) -> None:
    """Call `loop(config)` in each of the `pool`'s Ray Train workers (None: here, without Ray), which torch.distributed connects.

    With `max_actors` there are as many as the cluster has room for; all of them start again where that changes (Ray Train looks every
    minute), and where a node is lost those that are left go on. A worker that dies is started again once, with all others; the loop itself
    goes on from its own checkpoint in `work`, which all workers must see (in an object store `trainers.remote` brings it to them), and
    calls `pulse(work)` as it goes. Raises what the loop raised, and Stalled when the workers cannot be placed or there was no pulse for
    `stall_s` seconds.
    """
    _quiet()
    if pool is None:
        _train(loop, config)
        return
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    wanted = {"trainer": (pool.actors, pool.needs)}
    await_resources("training", wanted)
    each = {name: amount for name, amount in pool.needs.items() if amount and not name.startswith(ACCELERATOR_PREFIX)}
    failures = FailureConfig(max_failures=1, controller_failure_limit=PLACEMENTS)  # type: ignore[call-arg]  # the stub is of version 1
    number: Any = (pool.actors, pool.max_actors) if (pool.max_actors or 0) > pool.actors else pool.actors
    kind = (
        DataParallelTrainer if number == 1 else TorchTrainer
    )  # torch's meeting place for several listens on every interface
    scaling = ScalingConfig(
        num_workers=number, use_gpu=pool.num_gpus > 0, resources_per_worker=each, accelerator_type=pool.accelerator
    )
    trainer = kind(
        _quietly,
        train_loop_config={
            "call": cloudpickle.dumps((loop, config))
        },  # bytes: Ray's controller need not import what trains
        scaling_config=scaling,
        run_config=RunConfig(name=RAY, storage_path=str(place_of(work)), failure_config=failures),
    )
    _outlive(lambda moved: _fit(trainer, work, moved), stall_s, wanted)


def train_policy(
    loop: Loop,
    inputs: Mapping[str, Place | None],
    out: Place,
    identity: dict[str, Any],
    config: dict[str, Any],
    *,
    pool: PoolConfig | None,
    stall_s: float,
) -> dict[str, Any]:
    """Train until the policy `out` is published, unless it is; return its training.json.

    `identity` is what the policy depends on. The loop gets `config`, and the places of `inputs`, of `out` and of `work`, where it keeps
    its state. Raises what `is_published`, `work_folder` and `launch` raise.
    """
    if not is_published(out, identity):
        work = work_folder(out, identity)
        places = {name: place and name_of(place) for name, place in inputs.items()}
        launch(loop, config | places | {"out": out, "work": work}, work=work, pool=pool, stall_s=stall_s)
        clear(work)
    return summary_of(out)


def _outlive(
    fit: Callable[[Callable[[], None]], None], stall_s: float, wanted: ActorRequests, again: bool = True
) -> None:
    """Train; once more where a lost node had one of Ray Train's own helpers, for whom it starts nothing again itself."""
    from ray.exceptions import RayActorError
    from ray.train import ControllerError, WorkerGroupError

    try:
        run_watched(fit, "training", stall_s, wanted)
    except WorkerGroupError as error:
        raise next(iter(error.worker_failures.values())) from error
    except ControllerError as error:
        if not again or not isinstance(error.controller_failure, RayActorError):
            raise Stalled(
                f"training could not go on: {error.controller_failure}; {describe_requests(wanted)}; {describe_cluster()}"
            ) from error
        _free_places()
        _outlive(fit, stall_s, wanted, again=False)


def _free_places() -> None:
    """Give back what a training that broke had reserved: Ray keeps it until the whole job ends, and the next would wait for it."""
    import ray
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    for name, group in placement_group_table().items():
        if name.endswith(job) and group["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))


def pulse(work: Path) -> None:
    """Show that the training in `work` moves."""
    (work / PULSE).touch()


def _fit(trainer: Any, work: Place, moved: Callable[[], None]) -> None:
    """Train, and call `moved` whenever there was a pulse."""
    done, (fs, heart) = threading.Event(), filesystem(f"{work}/{PULSE}")

    def listen() -> None:
        """Look for a pulse now and then."""
        last = None
        while not done.wait(1.0 if isinstance(work, Path) else EVERY_S):
            with suppress(OSError):  # a store that does not answer tells nothing of the training
                beat = fs.get_file_info(heart).mtime_ns
                if beat != last:
                    moved()
                last = beat

    threading.Thread(target=listen, name="pulse", daemon=True).start()
    try:
        trainer.fit()
    finally:
        done.set()


def _quiet() -> None:
    """Keep libraries from asking the network, from telling it anything, and from starting threads of their own."""
    os.environ.update(
        TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1", DISABLE_TELEMETRY="YES", TQDM_DISABLE="1"
    )


def _quietly(given: dict[str, Any]) -> None:
    _quiet()
    loop, config = cloudpickle.loads(given["call"])
    _train(loop, config)


def _train(loop: Loop, config: dict[str, Any]) -> None:
    with at_hand(config) as here:
        loop(here)
