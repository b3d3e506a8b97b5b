"""Trainings whose policy belongs in an object store: it is complete there or absent, and survives its machine.

On Ray Train they run in `tests/test_run_round.py`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest
import torch
from safetensors.torch import load_file

from factory.models.weights import policy_digest, resolve
from factory.recipe.training import PreferenceConfig, SftConfig
from factory.storage.files import exists, filesystem
from factory.storage.manifest import StoreError
from tests.s3 import s3_server
from tests.trainers.toys import interrupt_preference, interrupt_sft, read_curve
from trainers import remote
from trainers.errors import TrainingError
from trainers.job import Job, LocalJob
from trainers.preference import train_preference
from trainers.remote import Uploader, last_checkpoint, local_files
from trainers.sft import train_sft

CONFIG = SftConfig(epochs=4, tokens=512, save_every=5, log_every=5, compile=False, threads=1)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An S3 server, and a cache folder of this test."""
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    with s3_server() as uri:
        yield uri


def list_files(uri: str) -> set[str]:
    """Return the names of all files below a URI."""
    fs, path = filesystem(uri)
    infos = fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    return {info.path.removeprefix(path + "/") for info in infos if info.is_file}


def test_a_job_on_this_disk_stays_where_it_is(tiny: Path, tmp_path: Path) -> None:
    job = Job("settings", 3, {"start": str(tiny)}, tmp_path / "policy")
    with local_files(job) as local:
        assert local == LocalJob("settings", 3, {"start": tiny}, tmp_path / "policy", tmp_path / "policy.work")


def test_a_training_that_lost_its_machine_resumes_on_another_one(
    store: str, tiny: Path, sequences: Path, tmp_path: Path
) -> None:
    train_sft(sequences, tiny, tmp_path / "whole", CONFIG, seed=4)
    out = f"{store}/run/round-0/policy"
    with interrupt_sft(step=12):
        train_sft(sequences, tiny, out, CONFIG, seed=4)
    assert {"checkpoint.pt", "identity.json", "pulse"} <= list_files(f"{out}.work")
    assert list_files(out) == set()
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(TrainingError, match=r"s3://\S+/round-0/policy.work holds .* another seed \(4 there, 5 now\)"):
        train_sft(sequences, tiny, out, CONFIG, seed=5)

    summary = train_sft(sequences, tiny, out, replace(CONFIG, log_every=1), seed=4)
    whole, made = load_file(tmp_path / "whole/model.safetensors"), load_file(resolve(out) / "model.safetensors")
    for name, weight in whole.items():
        assert torch.equal(weight, made[name]), name
    assert policy_digest(out) == policy_digest(tmp_path / "whole")
    steps = [line["step"] for line in read_curve(resolve(out))]
    assert steps[:4] == [5, 10, 11, 12]  # the two steps after the checkpoint were taken again
    assert list_files(f"{out}.work") == set() and not list((tmp_path / "cache/training").iterdir())
    assert train_sft(sequences, tiny, out, CONFIG, seed=4) == summary


def test_checkpoint_folders_are_uploaded_whole(store: str, tiny: Path, pairs: Path) -> None:
    config, out = PreferenceConfig(batch=8, epochs=2, held_out=0.0, save_every=2, precision="fp32"), f"{store}/policy"
    with interrupt_preference(step=5):
        train_preference(pairs, tiny, out, config)
    folders = {name.split("/")[0] for name in list_files(f"{out}.work") if name.startswith("checkpoint")}
    assert folders == {"checkpoint-4"}
    summary = train_preference(pairs, tiny, out, config)
    steps = [line["step"] for line in read_curve(resolve(out))]
    assert summary["step"] == 10 and steps[:10] == list(range(1, 11))
    assert exists(f"{out}/adapter/adapter_config.json")


def test_the_best_weights_are_uploaded_before_the_checkpoint(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint counts on them, so it waits where their upload fails."""
    uploader = Uploader(tmp_path, f"{store}/best")
    for name in ("best-4.safetensors", "best-12.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    write_checkpoint(tmp_path, 12)
    complete_checkpoint(tmp_path, 12)
    with monkeypatch.context() as patched:
        patched.setattr(remote, "push", fail)
        uploader.upload_changes()
    assert list_files(f"{store}/best") == set()
    uploader.upload_changes()
    best = {"best-4.safetensors", "best-12.safetensors"}
    assert list_files(f"{store}/best") == best | {"checkpoint-12/weights", "checkpoint-12/trainer_state.json"}


def write_checkpoint(work: Path, step: int) -> None:
    """Write a checkpoint folder without its last file."""
    folder = work / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * step)


def complete_checkpoint(work: Path, step: int) -> None:
    """Write the last file of a checkpoint folder."""
    (work / f"checkpoint-{step}/trainer_state.json").write_text(json.dumps({"global_step": step}))


def test_the_newest_checkpoint_replaces_the_previous_one(store: str, tmp_path: Path) -> None:
    uploader = Uploader(tmp_path, f"{store}/work")
    for step in (2, 10):
        write_checkpoint(tmp_path, step)
        uploader.upload_changes()
        assert f"checkpoint-{step}/weights" not in list_files(f"{store}/work")
        complete_checkpoint(tmp_path, step)
        uploader.upload_changes()
        assert list_files(f"{store}/work") == {f"checkpoint-{step}/weights", f"checkpoint-{step}/trainer_state.json"}


def test_only_changes_are_uploaded(store: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"old")
    uploader = Uploader(tmp_path, f"{store}/changes")
    uploader.upload_changes()
    assert list_files(f"{store}/changes") == set()
    for name, content in (("checkpoint.pt", b"new"), ("pulse", b""), ("other", b"")):
        (tmp_path / name).write_bytes(content)
    os.utime(tmp_path / "checkpoint.pt", ns=(1, 1))
    uploader.upload_changes()
    assert list_files(f"{store}/changes") == {"checkpoint.pt", "pulse"}
    fs, path = filesystem(f"{store}/changes/checkpoint.pt")
    fs.delete_file(path)
    uploader.upload_changes()
    assert list_files(f"{store}/changes") == {"pulse"}


def test_an_upload_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work, target = tmp_path / "work", tmp_path / "store"
    work.mkdir()
    uploader = Uploader(work, str(target))
    (work / "pulse").touch()
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(remote, "put", fail)
        uploader.upload_changes()
    assert "the training continues, but its pulse is not in the object store yet: full" in caplog.text
    assert not (target / "pulse").exists()
    uploader.upload_changes()
    assert (target / "pulse").exists()


def fail(*_: object) -> None:
    """Refuse a file, as a full store does."""
    raise StoreError("full")


def test_the_last_checkpoint_is_the_newest_complete_one(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (8, 9, 10, 11, 12):
        write_checkpoint(tmp_path, step)
    for step in (8, 9, 10):
        complete_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-11/trainer_state.json").write_text('{"global_st')
    (tmp_path / "checkpoint-12/trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
