"""Trainings on Ray: several workers learn as one, and a training survives its workers and its driver."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

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

from factory.recipe.resources import PoolConfig, ResourcesConfig
from factory.recipe.training import InterleaveConfig, PreferenceConfig, SftConfig
from factory.runtime.watch import Stalled
from tests.limits import HANG_S
from tests.trainers.toys import interrupt_sft, read_curve
from trainers.errors import TrainingError
from trainers.launch import Workers, fit_with_retry, free_placement_groups, launch, pulse
from trainers.preference import train_preference
from trainers.sft import train_sft
from trainers.workers import device, is_first_on_node, mean_over_workers, rank, wait_for_all, world_size

CONFIG = SftConfig(epochs=60, tokens=512, save_every=20, log_every=20, compile=False)
TWO = Workers(PoolConfig(actors=2))


def report_worker(folder: Path) -> None:
    """Write what this worker knows of the others to `folder`."""
    total = torch.ones(1) * (rank() + 1)
    if world_size() > 1:
        torch.distributed.all_reduce(total)
    mean = mean_over_workers([1.0] if rank() == 0 else [4.0, 4.0], device())
    (folder / f"{rank()}").write_text(f"{world_size()} {int(total)} {mean:g} {is_first_on_node()}")
    wait_for_all()
    (folder / f"{rank()} after").write_text(str(len(list(folder.glob("?")))))


def report_status(work: Path) -> None:
    """Write a status, and wait until it has been read."""
    pulse(work, "step 3 of 9")
    time.sleep(3)


@pytest.mark.usefixtures("local_ray")
def test_the_status_of_a_training_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    launch(partial(report_status, work), work=work, workers=Workers())
    assert capsys.readouterr().err.count("  train: step 3 of 9\n") == 1


def test_the_default_stall_time_is_that_of_recipes() -> None:
    assert Workers().stall_s == ResourcesConfig().stall_s == 1800


def test_without_workers_the_training_runs_here(tmp_path: Path) -> None:
    launch(partial(report_worker, tmp_path), work=tmp_path / "work")
    assert (tmp_path / "0").read_text() == "1 1 1 True"
    with pytest.raises(FileNotFoundError):
        launch(partial(report_worker, tmp_path / "nowhere"), work=tmp_path / "work")


def test_workers_are_connected(local_ray: None, tmp_path: Path) -> None:
    launch(partial(report_worker, tmp_path), work=tmp_path / "work", workers=TWO)
    assert [(tmp_path / name).read_text() for name in "01"] == ["2 3 3 True", "2 3 3 False"]
    assert [(tmp_path / f"{name} after").read_text() for name in "01"] == ["2", "2"]


def test_the_error_of_a_worker_is_raised_here_and_its_place_is_free_again(local_ray: None, tmp_path: Path) -> None:
    def fail() -> None:
        raise TrainingError("no pair fits")

    with pytest.raises(TrainingError, match="^no pair fits$"):
        launch(fail, work=tmp_path / "work", workers=Workers())
    launch(partial(report_worker, tmp_path), work=tmp_path / "work", workers=Workers())
    assert (tmp_path / "0").read_text() == "1 1 1 True"


def test_a_training_without_progress_is_ended_with_its_process(local_ray: None, tmp_path: Path) -> None:
    def freeze() -> None:
        (tmp_path / f"{os.getpid()}").touch()
        time.sleep(HANG_S)

    with pytest.raises(Stalled, match=r"^training .* 8 s .*resources.stall_s.* 1 trainer"):
        launch(freeze, work=tmp_path, workers=Workers(stall_s=8))
    await_end([int(path.name) for path in tmp_path.iterdir()])


def test_the_process_of_a_training_ends_with_it(local_ray: None, tmp_path: Path) -> None:
    launch(lambda: (tmp_path / f"{os.getpid()}").touch(), work=tmp_path, workers=Workers())
    await_end([int(path.name) for path in tmp_path.iterdir()])


def await_end(processes: list[int]) -> None:
    """Return when these processes have ended."""
    end = time.monotonic() + HANG_S
    while any(psutil.pid_exists(process) for process in processes):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_training_whose_process_dies_twice_ends(local_ray: None, tmp_path: Path) -> None:
    def die() -> None:
        (tmp_path / f"{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(Stalled, match=r"^training could not continue, its process died twice.* requested: 1 trainer"):
        launch(die, work=tmp_path, workers=Workers())
    assert len(list(tmp_path.iterdir())) == 2


def test_ray_train_is_for_several_workers() -> None:
    pools = (PoolConfig(), PoolConfig(max_actors=1), PoolConfig(max_actors=2), PoolConfig(actors=2))
    assert [Workers(pool).is_alone for pool in pools] == [True, True, False, False]
    assert [Workers(pool).is_elastic for pool in pools] == [False, False, True, False]


def test_a_training_that_lost_an_actor_of_ray_starts_once_more_with_the_resources_of_the_first(local_ray: None) -> None:
    """Ray keeps what the failed training reserved: without freeing it, the second one could not start."""
    job, tries = ray.get_runtime_context().get_job_id(), []

    def train(progress: Callable[[], None]) -> None:
        everything = placement_group([{"CPU": 4}], name=f"training-{job}")
        tries.append(everything.wait(HANG_S))
        if len(tries) == 1:
            raise ControllerError(RayActorError())

    fit_with_retry(train, HANG_S, {})
    assert tries == [True, True]
    free_placement_groups()


@pytest.mark.parametrize(("error", "tries"), [(RayActorError(), 2), (RuntimeError("no disk"), 1)])
def test_a_training_that_fails_again_or_for_another_reason_ends(local_ray: None, error: Exception, tries: int) -> None:
    calls = []

    def train(progress: Callable[[], None]) -> None:
        calls.append(1)
        raise ControllerError(error)

    with pytest.raises(Stalled, match=r"^training could not continue: .*(actor|no disk)"):
        fit_with_retry(train, HANG_S, {})
    assert len(calls) == tries


def test_two_workers_learn_supervised_as_one_does(local_ray: None, tiny: Path, spoken: Path, tmp_path: Path) -> None:
    """The curves agree to the four digits that they keep; only the order of sums of gradients differs."""
    interleave = InterleaveConfig(every=5)
    config = replace(CONFIG, epochs=8, batches=2, precision="fp32", log_every=10, interleave=interleave)
    summary = train_sft(spoken, tiny, tmp_path / "both", config, dev=spoken, seed=1, workers=TWO)
    train_sft(spoken, tiny, tmp_path / "alone", config, dev=spoken, seed=1)
    both, alone = read_curve(tmp_path / "both"), read_curve(tmp_path / "alone")
    assert summary["step"] > 30 and both[-1]["loss"] < 0.8 * both[0]["loss"]
    for key in ("step", "of", "loss", "dev_loss", "words", "text_share"):
        assert [line.get(key) for line in both] == pytest.approx([line.get(key) for line in alone], abs=2e-4)


def test_two_workers_learn_preferences_as_one_does(
    local_ray: None, tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    """The tolerance is wider here: each worker's divergence is a mean over the speech of its own pairs.

    The share is 1, because a smaller one takes its pairs from each worker's part of a batch.
    """
    first, pairs = tmp_path / "first", tmp_path / "pairs.parquet"
    train_sft(sequences, tiny, first, replace(CONFIG, epochs=8, batches=2, precision="fp32"), seed=1)
    rows = pq.read_table(sequences).to_pylist()
    made = [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": other["completion"]}
        for row, other in zip(rows[:16], rows[16:])
    ]
    pq.write_table(pa.Table.from_pylist(made), pairs)
    config = PreferenceConfig(
        batch=8, epochs=3, lr=5e-3, unit_kl=0.1, unit_kl_share=1.0, warmup=0.0, held_out=0.0, precision="fp32"
    )
    summary = train_preference(pairs, first, tmp_path / "both", config, workers=TWO)
    train_preference(pairs, first, tmp_path / "alone", config)
    assert summary["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert summary["step"] == 6  # 16 pairs, 4 of them in each worker at once
    both, alone = read_curve(tmp_path / "both")[:6], read_curve(tmp_path / "alone")[:6]
    assert both[4]["rewards/margins"] > 0.1
    assert [line["loss"] for line in both] == pytest.approx([line["loss"] for line in alone], abs=2e-3)


def test_workers_that_share_the_weights_learn_as_one_does(
    local_ray: None, tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    """FSDP resumes from the checkpoint of one worker, ends with the same weights, and publishes a whole policy."""
    config = replace(CONFIG, epochs=4, batches=2, precision="fp32", log_every=5, save_every=5)
    train_sft(sequences, tiny, tmp_path / "alone", config, dev=sequences, seed=1)
    with interrupt_sft(step=7):
        train_sft(sequences, tiny, tmp_path / "shared", config, dev=sequences, seed=1)
    sharded = replace(config, sharded=True)
    train_sft(sequences, tiny, tmp_path / "shared", sharded, dev=sequences, seed=1, workers=TWO)
    shared, alone = (load_file(tmp_path / name / "model.safetensors") for name in ("shared", "alone"))
    assert shared.keys() == alone.keys()
    for name, weight in alone.items():
        torch.testing.assert_close(shared[name], weight, atol=1e-3, rtol=1e-3)
    losses = [[line["loss"] for line in read_curve(tmp_path / name)] for name in ("shared", "alone")]
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)


def test_workers_that_cannot_be_placed_are_refused_at_once(local_ray: None, tmp_path: Path) -> None:
    train = partial(report_worker, tmp_path)
    with pytest.raises(Stalled, match=r"^training cannot be placed: .*2 trainer \(64 CPU, 0 GPU each\).* 4 CPU"):
        launch(train, work=tmp_path / "work", workers=Workers(PoolConfig(actors=2, num_cpus=64)))
    with pytest.raises(Stalled, match=r"^training cannot be placed: .*1 trainer"):
        launch(train, work=tmp_path / "work", workers=Workers(PoolConfig(memory_gib=2**20)))


def test_the_memory_of_a_worker_is_reserved(local_ray: None, tmp_path: Path) -> None:
    def report_memory() -> None:
        memory = ray.get_runtime_context().get_assigned_resources()["memory"]
        (tmp_path / "memory").write_text(str(memory))

    launch(report_memory, work=tmp_path / "work", workers=Workers(PoolConfig(memory_gib=0.125)))
    assert float((tmp_path / "memory").read_text()) == 2**27


def test_a_killed_training_resumes_from_its_checkpoint(
    local_ray: None, tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    """The driver is killed, then the worker on Ray; the third process ends the training, as if none had been killed."""
    out, checkpoint = tmp_path / "policy", tmp_path / "policy.work/checkpoint.pt"
    paths = f"--data {sequences} --start {tiny} --out {out} --seed 1".split()
    settings = [f"{key}={asdict(CONFIG)[key]}" for key in ("epochs", "tokens", "save_every", "log_every", "compile")]
    driver = subprocess.Popen([sys.executable, "-m", "trainers.sft", *paths, *settings], env=os.environ.copy())
    steps = wait_for_steps(checkpoint, 20)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not out.exists()

    thread = threading.Thread(target=kill_worker_after, args=(checkpoint, steps + 20))
    thread.start()
    summary = train_sft(sequences, tiny, out, CONFIG, seed=1, workers=Workers())
    thread.join()
    assert [line["step"] for line in read_curve(out)] == [*range(20, summary["of"], 20), summary["of"]]
    assert summary["step"] == summary["of"]
    assert not checkpoint.parent.exists()
    train_sft(sequences, tiny, tmp_path / "whole", CONFIG, seed=1)
    whole, parts = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", out))
    for name, weight in whole.items():
        assert torch.equal(weight, parts[name]), name


def kill_worker_after(checkpoint: Path, steps: int) -> None:
    """Kill the training's worker, which belongs to the Ray of this process, once a checkpoint has this many steps."""
    wait_for_steps(checkpoint, steps)
    for process in psutil.process_iter(["name", "cmdline"]):
        named = "ray::training" in " ".join(process.info["cmdline"] or [])
        if named and process.parent().parent() == psutil.Process():
            process.kill()


def wait_for_steps(checkpoint: Path, steps: int) -> int:
    """Wait until a checkpoint has this many steps; return its number."""
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        if checkpoint.exists():
            reached = int(torch.load(checkpoint, weights_only=True)["step"])
            if reached >= steps:
                return reached
        time.sleep(0.02)
    raise TimeoutError(f"{checkpoint} never had {steps} steps")
