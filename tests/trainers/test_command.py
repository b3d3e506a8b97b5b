"""The command line of a training: what it reads, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory.recipe.training import Loss, PreferenceConfig, SftConfig
from factory.recipe.typed import RecipeError
from tests.limits import HANG_S
from trainers import preference, sft
from trainers.command import build_config, parse_arguments, run_training
from trainers.errors import TrainingError

Captured = pytest.CaptureFixture[str]


def test_paths_seed_workers_and_settings_are_read() -> None:
    words = ["--data", "s3://bucket/data", "--out", "policy", "--seed", "7", "--workers", "2", "lr=1e-3", "epochs=2"]
    arguments = parse_arguments("prog", "what it does", ("data", "out"), ("dev",), words)
    assert (arguments.data, arguments.out, arguments.dev, arguments.seed) == ("s3://bucket/data", "policy", None, 7)
    assert arguments.workers.pool.actors == 2
    assert arguments.settings == ["lr=1e-3", "epochs=2"]


def test_without_options_a_training_runs_in_this_process_with_seed_0() -> None:
    arguments = parse_arguments("prog", "what it does", ("data",), argv=["--data", "d"])
    assert (arguments.workers, arguments.seed, arguments.settings) == (None, 0, [])


def test_a_required_path_must_be_there(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        parse_arguments("prog", "what it does", ("data", "out"), argv=["--data", "d"])
    assert "the following arguments are required: --out" in capsys.readouterr().err


def test_settings_become_a_section() -> None:
    assert build_config(SftConfig, "sft", ["lr=1e-3", "weights.asr=0.5"]) == SftConfig(lr=1e-3, weights={"asr": 0.5})
    assert build_config(PreferenceConfig, "preference", ["loss=simpo"]).loss is Loss.SIMPO
    with pytest.raises(RecipeError, match="sft.learning_rate is no"):
        build_config(SftConfig, "sft", ["learning_rate=1e-3"])


def test_a_training_prints_its_summary_and_returns_0(capsys: Captured) -> None:
    assert run_training("prog", lambda: {"step": 3}) == 0
    assert json.loads(capsys.readouterr().out) == {"step": 3}


def test_an_error_of_the_user_is_one_sentence_and_2(capsys: Captured) -> None:
    def train() -> object:
        raise TrainingError("no pair fits")

    assert run_training("prog", train) == 2
    assert capsys.readouterr().err == "prog: no pair fits\n"


def test_any_other_error_keeps_its_traceback() -> None:
    def train() -> object:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run_training("prog", train)


def test_a_process_that_only_starts_trainings_imports_no_heavy_library() -> None:
    code = "import sys, trainers.part, trainers.preference, trainers.sft; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert {"trainers.sft", "trainers.preference", "trainers.part"} <= set(done.stdout.split())
    assert {"torch", "transformers", "peft", "datasets", "ray"}.isdisjoint(done.stdout.split())


def test_both_trainings_run_from_the_command_line(
    tiny: Path, sequences: Path, pairs: Path, tmp_path: Path, capsys: Captured
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    paths = f"--data {sequences} --dev {sequences} --start {tiny} --out {first} --seed 5".split()
    assert sft.main([*paths, "epochs=1", "compile=false", "tokens=2000"]) == 0
    summary = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert summary["seed"] == 5 and summary["dev_loss"] > 0 and summary["settings"]["tokens"] == 2000
    paths = f"--pairs {pairs} --policy {first} --out {second} --seed 6".split()
    assert preference.main([*paths, "batch=40", "held_out=0.0"]) == 0
    assert json.loads((second / "training.json").read_text())["seed"] == 6
    assert preference.main([*paths, "batch=20", "held_out=0.0"]) == 2
    assert "was trained with another batch (40 there, 20 now)" in capsys.readouterr().err
    assert preference.main([*paths, "btach=20"]) == 2
