"""Runs a training loop on Ray Train, with one worker or many, or in this process; and where a loop keeps its state until it is done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

Loop = Callable[[dict[str, Any]], None]


def launch(loop: Loop, config: dict[str, Any], *, work: Path, workers: int, cpus: float = 1.0, gpus: float = 0.0) -> None:
    """Call `loop(config)` in each of `workers` Ray Train workers (0: here, without Ray), which torch.distributed connects.

    Each worker gets `cpus` cores and, where `gpus` is above 0, one GPU. A worker that dies is started again once, with all others; the
    loop itself goes on from its own checkpoint in `work`, which all workers must see. Raises what the loop raised.
    """
    _quiet()
    if workers == 0:
        loop(config)
        return
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchTrainer

    resources = {"CPU": cpus} | ({"GPU": 1.0} if gpus else {})
    trainer = TorchTrainer(
        _quietly,
        train_loop_config={"loop": loop, "config": config},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(name="ray", storage_path=str(work.absolute()), failure_config=FailureConfig(max_failures=1)),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise next(iter(error.worker_failures.values())) from error


def work_folder(out: Path, identity: dict[str, Any]) -> Path:
    """Return (and make) the folder beside `out` that holds a training until it is published.

    `identity` is what the result depends on. Raises ValueError when an unfinished training of another identity lies there.
    """
    work = out.with_name(f"{out.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    note = work / "identity.json"
    wanted = json.loads(json.dumps(identity))
    begun = json.loads(note.read_text()) if note.exists() else wanted
    if differing := sorted(key for key in {**begun, **wanted} if begun.get(key) != wanted.get(key)):
        told = ", ".join(f"{key} ({begun.get(key)} there, {wanted.get(key)} now)" for key in differing)
        raise ValueError(f"{work} holds an unfinished training with another {told}; delete it to begin anew")
    replace(note, json.dumps(wanted, indent=2))
    return work


def replace(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)


def digest(path: Path) -> str:
    """Return 16 hexadecimal digits of what a file, or a policy's weights and tokenizer, hold."""
    files = [path] if path.is_file() else [path / "tokenizer.json", *sorted(path.glob("*.safetensors"))]
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:16]


def publish(model: Any, tokenizer: Any, work: Path, out: Path, curve: list[dict[str, Any]], told: dict[str, Any]) -> None:
    """Write a policy folder with its `training.jsonl` (the curve) and `training.json` in `work` and rename it: it is there whole or not
    at all. The first worker does it, the others do nothing.
    """
    if rank() != 0:
        return
    whole = work / "policy"
    shutil.rmtree(whole, ignore_errors=True)
    model.config.use_cache = True
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    (whole / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curve))
    (whole / "training.json").write_text(json.dumps(told, indent=2))
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
    given["loop"](given["config"])
