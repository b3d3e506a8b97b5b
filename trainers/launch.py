"""Runs a training in one process of Ray, in the workers of Ray Train, or in this process.

A worker that is alone is a plain Ray task: it needs nobody to connect it to others. Several workers are those of Ray
Train. A worker that dies, or whose node is lost, starts again once. What Ray Train does not survive is the loss of one
of its own actors; then the whole training is started a second time. A training without progress ends with an error.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cloudpickle

from factory.models.imports import skip_scikit_learn
from factory.recipe.resources import PoolConfig, ResourcesConfig
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
from trainers.job import Location, absolute_location
from trainers.status import StatusLine

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

log = logging.getLogger(__name__)

PULSE = "pulse"
"""A file in the work folder that a training touches at every step; it may hold a line that says what it does."""
TASK = "training"
"""The name of the task of a worker that is alone, in Ray's dashboard and in the list of processes (`ray::training`)."""
RAY = "ray"
"""The folder in the work folder where Ray Train keeps its own notes."""
POLL_S = 5.0
"""Seconds between two looks into an object store; on a disk it is one second."""
MAX_PLACEMENTS = 5
"""How often Ray Train may fail to place its workers; it waits a minute each time."""


@dataclass(frozen=True)
class Workers:
    """The workers of a training, on Ray."""

    pool: PoolConfig = PoolConfig()
    stall_s: float = ResourcesConfig.stall_s
    """Seconds without a step after which the training ends with an error."""

    @property
    def is_elastic(self) -> bool:
        """Return True if their number follows the room in the cluster."""
        return self.pool.max_actors is not None and self.pool.max_actors > self.pool.actors

    @property
    def is_alone(self) -> bool:
        """Return True if there is always one worker."""
        return self.pool.actors == 1 and not self.is_elastic

    @property
    def requests(self) -> ActorRequests:
        """Return the workers and the resources of one, as the watchdog names them."""
        return {"trainer": (self.pool.actors, self.pool.needs)}


def launch(train: Callable[[], None], *, work: Location, workers: Workers | None = None) -> None:
    """Call `train()` in every worker; torch.distributed connects the workers.

    With `pool.max_actors` there are as many workers as the cluster has room for. When that number changes (Ray Train
    looks every minute), all workers start again. A worker that dies is started again once, together with all others.
    `train` resumes from its own checkpoint in `work` and calls `pulse` at every step.

    Args:
        train: the training of one worker; it is pickled.
        work: the folder that keeps the state of the training; all workers must see it.
        workers: None trains in this process, without Ray.

    Raises:
        Stalled: the workers cannot be placed, or there was no pulse for `stall_s` seconds.
        Exception: whatever `train` raises.
    """
    silence_libraries()
    if workers is None:
        train()
        return
    await_resources("training", workers.requests)
    if workers.is_alone:
        _run_alone(train, work, workers)
        return
    trainer = _trainer(train, workers, work)
    fit_with_retry(lambda progress: _follow(trainer.fit, work, progress), workers.stall_s, workers.requests)


def pulse(work: Path, status: str | None = None) -> None:
    """Show that the training in `work` makes progress, and what it does now; None leaves the status as it is."""
    if status is None:
        (work / PULSE).touch()
        return
    part = work / f"{PULSE}.{os.getpid()}"  # a reader sees a whole status or the one before
    part.write_text(status)
    os.replace(part, work / PULSE)


def silence_libraries() -> None:
    """Stop libraries from asking the network, from sending telemetry, and from starting threads of their own."""
    os.environ.update(
        TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1", DISABLE_TELEMETRY="YES", TQDM_DISABLE="1"
    )


def _run_alone(train: Callable[[], None], work: Location, workers: Workers, retry: bool = True) -> None:
    """Train in one Ray task, and once more if its process dies or its node is lost.

    Ray's own retries are off: it would repeat a task without end that needs more memory than its node has.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    task = _submit(cloudpickle.dumps(train), workers.pool)
    try:
        run_watched(
            lambda progress: _follow(lambda: ray.get(task), work, progress),
            "training",
            workers.stall_s,
            workers.requests,
        )
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        if not retry:
            situation = f"{describe_requests(workers.requests)}; {describe_cluster()}"
            death = "its process died twice, as when memory runs out"
            raise Stalled(f"training could not continue, {death}: {error}; {situation}") from error
        log.warning("the training continues from its last checkpoint, its process died: %s", error)
        _run_alone(train, work, workers, retry=False)
    finally:
        ray.cancel(task, force=True)  # after an error of the driver; a task that has ended stays as it is


def _submit(train: bytes, pool: PoolConfig) -> Any:
    """Start a training as a Ray task with the resources of one worker; its process ends with it, and frees its memory.

    Returns:
        Ray's reference to the result.
    """
    import ray

    needs = dict(pool.needs)
    task = ray.remote(max_calls=1)(_train_pickled).options(
        name=TASK,
        num_cpus=needs.pop("CPU"),
        num_gpus=needs.pop("GPU"),
        memory=needs.pop("memory"),
        resources=needs,
        max_retries=0,
    )
    return task.remote({"train": train})


def fit_with_retry(
    fit: Callable[[Callable[[], None]], None], stall_s: float, requests: ActorRequests, retry: bool = True
) -> None:
    """Call `fit(progress)`, and a second time when Ray Train lost one of its own actors, which it does not start again.

    Args:
        fit: the training; it calls `progress()` whenever it makes progress.
        stall_s: seconds without progress after which the training ends with an error.
        requests: the workers and their resources, for the message.
        retry: False raises the error of the first call.

    Raises:
        Stalled: there was no progress, or the second call failed like the first one.
        Exception: whatever a worker raised.
    """
    from ray.exceptions import RayActorError
    from ray.train import ControllerError, WorkerGroupError

    try:
        run_watched(fit, "training", stall_s, requests)
    except WorkerGroupError as error:
        raise next(iter(error.worker_failures.values())) from error
    except ControllerError as error:
        if not retry or not isinstance(error.controller_failure, RayActorError):
            situation = f"{describe_requests(requests)}; {describe_cluster()}"
            raise Stalled(f"training could not continue: {error.controller_failure}; {situation}") from error
        free_placement_groups()
        fit_with_retry(fit, stall_s, requests, retry=False)


def free_placement_groups() -> None:
    """Free the resources that a failed training of this Ray job reserved.

    Ray keeps them until the job ends, and the next training would wait for them.
    """
    import ray
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    for name, group in placement_group_table().items():
        if name.endswith(job) and group["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))


def _trainer(train: Callable[[], None], workers: Workers, work: Location) -> TorchTrainer:
    """Return Ray's trainer; the training travels as bytes, so that Ray's controller need not import its modules."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    pool = workers.pool
    resources = {
        name: amount for name, amount in pool.needs.items() if amount and not name.startswith(ACCELERATOR_PREFIX)
    }
    # the stubs of Ray are those of its older API, which knows no tuple here and no limit below
    number = cast(int, (pool.actors, pool.max_actors) if workers.is_elastic else pool.actors)
    scaling = ScalingConfig(
        num_workers=number,
        use_gpu=pool.num_gpus > 0,
        resources_per_worker=resources,
        accelerator_type=pool.accelerator,
    )
    failures = FailureConfig(max_failures=1, controller_failure_limit=MAX_PLACEMENTS)  # type: ignore[call-arg]
    return TorchTrainer(
        _train_pickled,
        train_loop_config={"train": cloudpickle.dumps(train)},
        scaling_config=scaling,
        run_config=RunConfig(name=RAY, storage_path=str(absolute_location(work)), failure_config=failures),
    )


def _train_pickled(settings: dict[str, bytes]) -> None:
    silence_libraries()
    skip_scikit_learn()
    cloudpickle.loads(settings["train"])()


def _follow(train: Callable[[], object], work: Location, progress: Callable[[], None]) -> None:
    """Call `train()`, call `progress` after every pulse, and print its status."""
    done, (fs, path), shown = threading.Event(), filesystem(f"{work}/{PULSE}"), StatusLine()

    def follow_pulse() -> None:
        """Look for a new pulse now and then."""
        last = None
        while not done.wait(1.0 if isinstance(work, Path) else POLL_S):
            with suppress(OSError):  # an error of the object store says nothing about the training
                touched = fs.get_file_info(path).mtime_ns
                if touched != last:
                    progress()
                    with fs.open_input_stream(path) as stream:
                        shown.show(stream.read().decode().strip())
                last = touched

    threading.Thread(target=follow_pulse, name="pulse", daemon=True).start()
    try:
        train()
    finally:
        done.set()
        shown.close()
