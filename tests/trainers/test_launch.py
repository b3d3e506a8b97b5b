"""Trainings on Ray Train: several workers learn as one, and a training outlives its workers and its driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from trainers.launch import Loop, launch, rank, work_folder, world_size
from trainers.sft import train_sft

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
    launch(loop, {"folder": tmp_path}, work=tmp_path / "work", workers=0)
    assert (tmp_path / "0").read_text() == "1 1"
    with pytest.raises(FileNotFoundError):
        launch(loop, {"folder": tmp_path / "nowhere"}, work=tmp_path / "work", workers=0)


def test_workers_are_connected(local_ray: None, loop: Loop, tmp_path: Path) -> None:
    launch(loop, {"folder": tmp_path}, work=tmp_path / "work", workers=2)
    assert {(tmp_path / name).read_text() for name in "01"} == {"2 3"}


def test_a_work_folder_belongs_to_one_training(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "policy", {"lr": 1.0, "seed": 1})
    assert work == work_folder(tmp_path / "policy", {"lr": 1.0, "seed": 1}) == tmp_path / "policy.work"
    with pytest.raises(ValueError, match=r"policy.work holds .* another seed \(1 there, 2 now\); delete it to begin anew"):
        work_folder(tmp_path / "policy", {"lr": 1.0, "seed": 2})


def test_a_killed_training_goes_on_from_its_checkpoint(local_ray: None, tiny: Path, sequences: Path, tmp_path: Path) -> None:
    """The driver is killed, then on Ray the worker; the third process ends the training, each step once."""
    out, work = tmp_path / "policy", tmp_path / "policy.work"
    command = [sys.executable, "-m", "trainers.sft", "--data", sequences, "--start", tiny, "--out", out, "--seed", "1"]
    driver = subprocess.Popen([*map(str, command), *(f"{key}={value}" for key, value in SETTINGS.items())], env=os.environ.copy())
    before = _killed_after(driver.pid, work / "checkpoint.pt", steps=20)
    driver.wait()
    assert not out.exists()

    first_worker: list[int] = []
    thread = threading.Thread(target=lambda: first_worker.append(_kill_worker_after(work / "checkpoint.pt", steps=before + 20)))
    thread.start()
    told = train_sft(sequences, tiny, out, settings=SETTINGS, seed=1, workers=1)
    thread.join()
    curve = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert first_worker[0] > before
    assert [line["step"] for line in curve] == [*range(20, told["of"], 20), told["of"]]
    assert told["step"] == told["of"]
    assert not work.exists()


def _killed_after(pid: int, checkpoint: Path, steps: int) -> int:
    reached = _wait_for(checkpoint, steps)
    os.kill(pid, signal.SIGKILL)
    return reached


def _kill_worker_after(checkpoint: Path, steps: int) -> int:
    reached = _wait_for(checkpoint, steps)
    for process in psutil.process_iter(["name", "cmdline"]):
        if "RayTrainWorker" in " ".join(process.info["cmdline"] or []) and process.parent().parent() == psutil.Process():
            process.kill()
    return reached


def _wait_for(checkpoint: Path, steps: int) -> int:
    """Wait until a checkpoint holds so many steps; return how many."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if checkpoint.exists():
            reached = int(torch.load(checkpoint, weights_only=True)["step"])
            if reached >= steps:
                return reached
        time.sleep(0.02)
    raise TimeoutError(f"{checkpoint} never held {steps} steps")
