"""Runs a training loop on Ray Train, with one worker or many, or in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Loop = Callable[[dict[str, Any]], None]


def launch(loop: Loop, config: dict[str, Any], *, storage: Path, workers: int, cpus: float = 1.0, gpus: float = 0.0) -> None:
    """Call `loop(config)` in each of `workers` Ray Train workers (0: here, without Ray), which torch.distributed connects.

    Each worker gets `cpus` cores and, where `gpus` is above 0, one GPU. A worker that dies is started again once; the loop itself goes on
    from its own checkpoint. Raises what the loop raised.
    """
    if workers == 0:
        loop(config)
        return
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": cpus} | ({"GPU": 1.0} if gpus else {})
    trainer = TorchTrainer(
        loop,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(name="train", storage_path=str(storage.absolute()), failure_config=FailureConfig(max_failures=1)),
    )
    trainer.fit()


def is_first_worker() -> bool:
    """Whether this process is the one that publishes."""
    return int(os.environ.get("RANK", "0")) == 0
