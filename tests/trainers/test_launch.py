"""Trainings on Ray Train: several workers learn as one, and a training outlives its workers and its driver."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
from ray.exceptions import RayActorError
from ray.train import ControllerError
from ray.util.placement_group import placement_group
from safetensors.torch import load_file
from transformers import AutoTokenizer

from factory.recipe.sections import PoolConfig
from factory.runtime.watch import Stalled
from tests.limits import HANG_S
from trainers.batches import Batch, Batches
from trainers.launch import Loop, _free_places, _outlive, launch, pulse
from trainers.preference import train_preference
from trainers.publish import work_folder
from trainers.sft import Sft, train_sft
from trainers.workers import rank, world_size

SETTINGS = {"epochs": 60, "tokens": 512, "save_every": 20, "log_every": 20, "compile": False}


@pytest.fixture
def loop() -> Loop:
    """A loop in which the workers add up their numbers, and write what they know to `folder`."""

    def note(config: dict[str, Any]) -> None:
        total = torch.ones(1) * (rank() + 1)
        if world_size() > 1:
            torch.distributed.all_reduce(total)
        (config["folder"] / f"{rank()}").write_text(f"{world_size()} {int(total)}")

    return note


def test_without_workers_the_loop_runs_here(loop: Loop, tmp_path: Path) -> None:
    launch(loop, {"folder": tmp_path}, work=tmp_path / "work")
    assert (tmp_path / "0").read_text() == "1 1"
    with pytest.raises(FileNotFoundError):
        launch(loop, {"folder": tmp_path / "nowhere"}, work=tmp_path / "work")


def test_workers_are_connected(local_ray: None, loop: Loop, tmp_path: Path) -> None:
    launch(loop, {"folder": tmp_path}, work=tmp_path / "work", pool=PoolConfig(actors=2))
    assert {(tmp_path / name).read_text() for name in "01"} == {"2 3"}


def test_what_a_worker_raises_is_raised_here_and_the_next_try_is_free(
    local_ray: None, loop: Loop, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        launch(loop, {"folder": tmp_path / "nowhere"}, work=tmp_path / "work", pool=PoolConfig())
    launch(loop, {"folder": tmp_path}, work=tmp_path / "work", pool=PoolConfig())
    assert (tmp_path / "0").read_text() == "1 1"


def test_a_training_that_stands_still_is_ended(local_ray: None, tmp_path: Path) -> None:
    def freeze(config: dict[str, Any]) -> None:
        pulse(config["folder"])
        while not (config["folder"] / "end").exists():
            time.sleep(0.2)

    (tmp_path / "work").mkdir()
    with pytest.raises(
        Stalled, match=r"^training made no progress for 25 s \(resources.stall_s\): requested: 1 trainer"
    ):
        launch(freeze, {"folder": tmp_path / "work"}, work=tmp_path / "work", pool=PoolConfig(), stall_s=25)
    (tmp_path / "work/end").touch()


def test_a_training_that_lost_a_helper_of_rays_starts_once_more_where_the_broken_one_left_room(local_ray: None) -> None:
    """Ray keeps the places of a training that broke: the second could not begin beside them."""
    job, tries = ray.get_runtime_context().get_job_id(), []

    def train(moved: Callable[[], None]) -> None:
        everything = placement_group([{"CPU": 4}], name=f"training-{job}")
        tries.append(everything.wait(HANG_S))
        if len(tries) == 1:
            raise ControllerError(RayActorError())

    _outlive(train, HANG_S, {})
    assert tries == [True, True]
    _free_places()


def test_a_training_that_loses_a_helper_every_time_ends(local_ray: None) -> None:
    tries = []

    def train(moved: Callable[[], None]) -> None:
        tries.append(1)
        raise ControllerError(RayActorError())

    with pytest.raises(
        Stalled,
        match=r"^training could not go on: .*actor experienced an error.*; requested: no actors; the cluster has",
    ):
        _outlive(train, HANG_S, {})
    assert len(tries) == 2


def test_two_workers_learn_as_one(local_ray: None, tiny: Path, sequences: Path, tmp_path: Path) -> None:
    """Supervised training, then preference training: two workers and one have the same curve at the same number of batches, or pairs.

    The tolerance is that of the curve's four digits: the sums of gradients differ in their order alone. That of the preference loss is
    wider: each worker's divergence is a mean over its own pairs' speech.
    """
    settings = SETTINGS | {"epochs": 8, "batches": 2, "precision": "fp32", "log_every": 10}
    told = train_sft(
        sequences, tiny, tmp_path / "first", settings=settings, dev=sequences, seed=1, pool=PoolConfig(actors=2)
    )
    train_sft(sequences, tiny, tmp_path / "alone", settings=settings, dev=sequences, seed=1)
    both, alone = curve(tmp_path / "first"), curve(tmp_path / "alone")
    plan = [
        some
        for epoch in range(8)
        for some in Batches(sequences, AutoTokenizer.from_pretrained(tiny), 128).plan(512, 1, epoch)
    ]
    assert told["step"] == len(plan) // 2 > 30
    assert both[-1]["loss"] < 0.8 * both[0]["loss"]
    for key in ("step", "loss", "dev_loss"):
        assert [line.get(key) for line in both] == pytest.approx([line.get(key) for line in alone], abs=2e-4)

    rows = pq.read_table(sequences).to_pylist()
    pairs = [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": other["completion"]}
        for row, other in zip(rows[:16], rows[16:])
    ]
    pq.write_table(pa.Table.from_pylist(pairs), tmp_path / "pairs.parquet")
    settings = {
        "batch": 8,
        "epochs": 3,
        "lr": 5e-3,
        "unit_kl": 0.1,
        "warmup": 0.0,
        "held_out": 0.0,
        "precision": "fp32",
    }
    told = train_preference(
        tmp_path / "pairs.parquet",
        tmp_path / "first",
        tmp_path / "second",
        settings=settings,
        pool=PoolConfig(actors=2),
    )
    train_preference(tmp_path / "pairs.parquet", tmp_path / "first", tmp_path / "second-alone", settings=settings)
    assert told["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert told["step"] == 6  # 16 pairs, 4 of them in each worker at once
    both, alone = curve(tmp_path / "second")[:6], curve(tmp_path / "second-alone")[:6]
    assert both[4]["rewards/margins"] > 0.1
    assert [line["loss"] for line in both] == pytest.approx([line["loss"] for line in alone], abs=2e-3)


def test_workers_that_share_out_the_weights_learn_as_one(
    local_ray: None, tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    """FSDP, through a checkpoint that one worker wrote by itself: to where it would have come, and a policy that is whole."""
    settings = SETTINGS | {"epochs": 4, "batches": 2, "precision": "fp32", "log_every": 5, "save_every": 5}
    train_sft(sequences, tiny, tmp_path / "alone", settings=settings, dev=sequences, seed=1)
    with pytest.MonkeyPatch.context() as patched:
        learn = Sft._learn

        def until(self: Sft, batches: list[Batch]) -> list[float]:
            if self.step == 7:
                raise KeyboardInterrupt
            return learn(self, batches)

        patched.setattr(Sft, "_learn", until)
        with pytest.raises(KeyboardInterrupt):
            train_sft(sequences, tiny, tmp_path / "shares", settings=settings, dev=sequences, seed=1)
    train_sft(
        sequences,
        tiny,
        tmp_path / "shares",
        settings=settings | {"sharded": True},
        dev=sequences,
        seed=1,
        pool=PoolConfig(actors=2),
    )
    shares, alone = (load_file(tmp_path / name / "model.safetensors") for name in ("shares", "alone"))
    assert shares.keys() == alone.keys()
    for name, weight in alone.items():
        torch.testing.assert_close(shares[name], weight, atol=1e-3, rtol=1e-3)
    told = [[line["loss"] for line in curve(tmp_path / name)] for name in ("shares", "alone")]
    assert told[0] == pytest.approx(told[1], abs=2e-4)


def curve(policy: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (policy / "training.jsonl").read_text().splitlines()]


def test_a_work_folder_belongs_to_one_training(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "policy", {"lr": 1.0, "seed": 1})
    assert work == work_folder(tmp_path / "policy", {"lr": 1.0, "seed": 1}) == tmp_path / "policy.work"
    with pytest.raises(
        ValueError, match=r"policy.work holds .* another seed \(1 there, 2 now\); delete it to begin anew"
    ):
        work_folder(tmp_path / "policy", {"lr": 1.0, "seed": 2})


def test_a_published_policy_is_left_alone_and_not_taken_for_another(
    tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    settings, out = SETTINGS | {"epochs": 1}, tmp_path / "policy"
    told = train_sft(sequences, tiny, out, settings=settings, seed=1)
    made = (out / "model.safetensors").stat().st_mtime_ns
    assert train_sft(sequences, tiny, out, settings=settings | {"save_every": 7, "threads": 2}, seed=1) == told
    assert (out / "model.safetensors").stat().st_mtime_ns == made
    with pytest.raises(ValueError, match=r"policy was trained with another lr \(0.0015 there, 0.1 now\)"):
        train_sft(sequences, tiny, out, settings=settings | {"lr": 0.1}, seed=1)


def test_workers_that_cannot_be_placed_are_refused_at_once(local_ray: None, loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(
        Stalled, match=r"^training cannot be placed: requested: 2 trainer \(64 CPU, 0 GPU each\); .* 4 CPU"
    ):
        launch(loop, {"folder": tmp_path}, work=tmp_path / "work", pool=PoolConfig(actors=2, num_cpus=64))
    with pytest.raises(Stalled, match=r"^training cannot be placed: requested: 1 trainer"):
        launch(loop, {"folder": tmp_path}, work=tmp_path / "work", pool=PoolConfig(memory_gib=2**20))


def test_a_worker_has_its_memory_set_aside(local_ray: None, tmp_path: Path) -> None:
    def note(config: dict[str, Any]) -> None:
        (config["folder"] / "told").write_text(str(ray.get_runtime_context().get_assigned_resources()["memory"]))

    launch(note, {"folder": tmp_path}, work=tmp_path / "work", pool=PoolConfig(memory_gib=0.125))
    assert float((tmp_path / "told").read_text()) == 2**27


def test_a_killed_training_goes_on_from_its_checkpoint(
    local_ray: None, tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    """The driver is killed, then on Ray the worker; the third process ends the training, each step once."""
    out, work = tmp_path / "policy", tmp_path / "policy.work"
    command = [sys.executable, "-m", "trainers.sft", "--data", sequences, "--start", tiny, "--out", out, "--seed", "1"]
    driver = subprocess.Popen(
        [*map(str, command), *(f"{key}={value}" for key, value in SETTINGS.items())], env=os.environ.copy()
    )
    before = _killed_after(driver.pid, work / "checkpoint.pt", steps=20)
    driver.wait()
    assert not out.exists()

    first_worker: list[int] = []
    thread = threading.Thread(
        target=lambda: first_worker.append(_kill_worker_after(work / "checkpoint.pt", steps=before + 20))
    )
    thread.start()
    told = train_sft(sequences, tiny, out, settings=SETTINGS, seed=1, pool=PoolConfig())
    thread.join()
    assert first_worker[0] > before
    assert [line["step"] for line in curve(out)] == [*range(20, told["of"], 20), told["of"]]
    assert told["step"] == told["of"]
    assert not work.exists()


def _killed_after(pid: int, checkpoint: Path, steps: int) -> int:
    reached = _wait_for(checkpoint, steps)
    os.kill(pid, signal.SIGKILL)
    return reached


def _kill_worker_after(checkpoint: Path, steps: int) -> int:
    reached = _wait_for(checkpoint, steps)
    for process in psutil.process_iter(["name", "cmdline"]):
        if (
            "RayTrainWorker" in " ".join(process.info["cmdline"] or [])
            and process.parent().parent() == psutil.Process()
        ):
            process.kill()
    return reached


def _wait_for(checkpoint: Path, steps: int) -> int:
    """Wait until a checkpoint holds so many steps; return how many."""
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        if checkpoint.exists():
            reached = int(torch.load(checkpoint, weights_only=True)["step"])
            if reached >= steps:
                return reached
        time.sleep(0.02)
    raise TimeoutError(f"{checkpoint} never held {steps} steps")
