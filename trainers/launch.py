"""Runs a training loop on Ray Train, with one worker or many, or in this process; and where a loop keeps its state until it is done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import distributed

from factory import lease
from factory.files import filesystem, get_json, look, put_json
from factory.models.weights import resolve
from factory.recipe_sections import Pool
from factory.transfer import remove
from factory.watch import MARK, Stalled, Wanted, await_places, there, told, watched
from trainers.remote import EVERY_S, POLICY_LAST, PULSE, RAY, Place, at_hand, name_of, place_of

IDENTITY = "identity.json"
STALL_S = 1800.0
"""Seconds without a pulse after which a training ends with an error."""
PLACEMENTS = 5
"""How often Ray Train may fail to get its workers placed (it waits a minute each time)."""
Loop = Callable[[dict[str, Any]], None]

ADAPTER = "adapter"
"""The folder of a LoRA adapter inside a policy that was merged from it."""


def launch(
    loop: Loop,
    config: dict[str, Any],
    *,
    work: Place,
    pool: Pool | None = None,
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
    await_places("training", wanted)
    each = {name: amount for name, amount in pool.needs.items() if amount and not name.startswith(MARK)}
    failures = FailureConfig(max_failures=1, controller_failure_limit=PLACEMENTS)  # type: ignore[call-arg]  # the stub is of version 1
    number: Any = (pool.actors, pool.max_actors) if (pool.max_actors or 0) > pool.actors else pool.actors
    kind = DataParallelTrainer if number == 1 else TorchTrainer  # torch's meeting place for several listens on every interface
    scaling = ScalingConfig(num_workers=number, use_gpu=pool.num_gpus > 0, resources_per_worker=each, accelerator_type=pool.accelerator)
    trainer = kind(
        _quietly,
        train_loop_config={"call": cloudpickle.dumps((loop, config))},  # bytes: Ray's controller need not import what trains
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
    pool: Pool | None,
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


def _outlive(fit: Callable[[Callable[[], None]], None], stall_s: float, wanted: Wanted, again: bool = True) -> None:
    """Train; once more where a lost node had one of Ray Train's own helpers, for whom it starts nothing again itself."""
    from ray.exceptions import RayActorError
    from ray.train import ControllerError, WorkerGroupError

    try:
        watched(fit, "training", stall_s, wanted)
    except WorkerGroupError as error:
        raise next(iter(error.worker_failures.values())) from error
    except ControllerError as error:
        if not again or not isinstance(error.controller_failure, RayActorError):
            raise Stalled(f"training could not go on: {error.controller_failure}; {told(wanted)}; {there()}") from error
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


def work_folder(out: Place, identity: dict[str, Any]) -> Place:
    """Return (and make) the folder beside `out` that holds a training until it is published.

    `identity` is what the result depends on. Raises ValueError when an unfinished training of another identity lies there, StoreError
    when another run that is alive trains there.
    """
    work = out.with_name(f"{out.name}.work") if isinstance(out, Path) else f"{out}.work"
    fs, path = filesystem(str(work))
    lease.take(fs, path)
    if differing := _differing(get_json(fs, f"{path}/{IDENTITY}"), identity):
        raise ValueError(f"{work} holds an unfinished training with another {differing}; delete it to begin anew")
    put_json(fs, f"{path}/{IDENTITY}", identity)
    return work


def is_published(out: Place, identity: dict[str, Any]) -> bool:
    """Whether the policy `out` is there; raises ValueError when another training made it (how many workers did counts no more)."""
    fs, path = filesystem(str(out))
    if not look(fs, f"{path}/{POLICY_LAST}").is_file:
        return False
    if differing := _differing(get_json(fs, f"{path}/{IDENTITY}"), identity, ignored="workers"):
        raise ValueError(f"{out} was trained with another {differing}; take another folder, or change back what differs")
    return True


def summary_of(out: Place) -> dict[str, Any]:
    """Return the training.json of a published policy."""
    fs, path = filesystem(str(out))
    return dict(get_json(fs, f"{path}/training.json"))


def clear(work: Place) -> None:
    """Remove the folder of a training that is published."""
    if (mine := lease.held(filesystem(str(work))[1])) is not None:
        mine.release()
    remove(str(work))


def _differing(noted: dict[str, Any] | None, identity: dict[str, Any], ignored: str = "") -> str:
    """Name the keys in which `identity` differs from the one that is noted, with both values."""
    wanted = json.loads(json.dumps(identity))
    noted = wanted if noted is None else noted
    differing = sorted(key for key in {**noted, **wanted} if key != ignored and noted.get(key) != wanted.get(key))
    return ", ".join(f"{key} ({noted.get(key)} there, {wanted.get(key)} now)" for key in differing)


def _sync(folder: Path) -> None:
    """Bring a folder's files onto the disk, so that a machine that loses power cannot keep their names without what they hold."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def digest(place: Place) -> str:
    """Return 16 hexadecimal digits of what a file, or a policy's weights and tokenizer, hold."""
    path = resolve(str(place))
    files = [path] if path.is_file() else [path / "tokenizer.json", *sorted(path.glob("*.safetensors"))]
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:16]


def publish(model: Any, tokenizer: Any, work: Path, out: Path, curve: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Write a policy folder with its `training.jsonl` (the curve) and `training.json` in `work` and rename it: it is there whole or not
    at all. A LoRA adapter that lies in `work` goes along. The first worker does it, the others do nothing.
    """
    if rank() != 0:
        return
    whole = work / "policy"
    shutil.rmtree(whole, ignore_errors=True)
    model.config.use_cache = True
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    if (work / ADAPTER).exists():
        os.replace(work / ADAPTER, whole / ADAPTER)
    (whole / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curve))
    (whole / "training.json").write_text(json.dumps(summary, indent=2))
    shutil.copy(work / IDENTITY, whole / IDENTITY)
    _sync(whole)
    shutil.rmtree(out, ignore_errors=True)  # what lies there is no policy, or training would not have begun
    os.replace(whole, out)


def rank() -> int:
    """Return which worker this process is; 0 where there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many workers train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device() -> torch.device:
    """Return this worker's GPU, or the CPU where it has none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if not distributed.is_initialized():
        return torch.device("cuda")
    from ray.train.torch import get_device

    return get_device()


def _quiet() -> None:
    """Keep libraries from asking the network, from telling it anything, and from starting threads of their own."""
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1", DISABLE_TELEMETRY="YES", TQDM_DISABLE="1")


def _quietly(given: dict[str, Any]) -> None:
    _quiet()
    loop, config = cloudpickle.loads(given["call"])
    _train(loop, config)


def _train(loop: Loop, config: dict[str, Any]) -> None:
    with at_hand(config) as here:
        loop(here)
