"""Trains a policy until it is published: complete and with its identity, or not at all.

The identity is what a policy depends on: settings, seed, data and weights. It is written before the first step, so that
an unfinished training never continues with other settings, and a published policy is never taken for another one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from factory.recipe.part import StageTraining
from factory.recipe.training import PreferenceConfig, SftConfig
from factory.storage import lease
from factory.storage.files import filesystem, get_json, look, put_json
from factory.storage.transfer import remove
from trainers.errors import TrainingError
from trainers.job import C, Job, LocalJob, Location
from trainers.launch import Workers, launch
from trainers.remote import POLICY_LAST, local_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IDENTITY, SUMMARY, CURVE = "identity.json", "training.json", "training.jsonl"
ADAPTER = "adapter"
"""The folder with the LoRA adapter inside a policy that was merged from it."""
Identity = dict[str, object]
"""The content of identity.json: settings, seed, number of workers, and the digests of data and weights."""


def make_identity(
    config: SftConfig | PreferenceConfig | StageTraining, ignored: Collection[str], **others: object
) -> Identity:
    """Return what a policy depends on: the settings except the `ignored` ones, which change no result, and `others`."""
    return {key: value for key, value in asdict(config).items() if key not in ignored} | others


def train_policy(
    train: Callable[[LocalJob[C]], None], job: Job[C], identity: Identity, workers: Workers | None
) -> object:
    """Train until the policy is published, and return the content of its training.json; a published policy is kept.

    Args:
        train: the training of one worker; its first worker calls `publish`.
        job: what the training reads and writes.
        identity: what the policy depends on.
        workers: the workers on Ray; None trains in this process.

    Raises:
        TrainingError: the policy, or an unfinished training of it, has another identity.
        StoreError: another process that is alive trains this policy.
        Stalled: the training makes no progress.
    """
    if not is_published(job.out, identity):
        open_work_folder(job.work, identity)
        launch(partial(_train_locally, train, job), work=job.work, workers=workers)
        remove_work_folder(job.work)
    return read_summary(job.out)


def open_work_folder(work: Location, identity: Identity) -> None:
    """Make the folder that keeps the state of a training, and take its lease.

    Raises:
        TrainingError: an unfinished training with another identity is there.
        StoreError: another process that is alive trains there.
    """
    fs, path = filesystem(str(work))
    lease.take(fs, path)
    if difference := _difference(get_json(fs, f"{path}/{IDENTITY}"), identity):
        raise TrainingError(f"{work} holds an unfinished training with another {difference}; delete it to start again")
    put_json(fs, f"{path}/{IDENTITY}", identity)


def is_published(out: Location, identity: Identity) -> bool:
    """Return True if the policy is there. The number of workers does not count then; a missing identity is accepted.

    Raises:
        TrainingError: the policy was trained with another identity.
    """
    fs, path = filesystem(str(out))
    if not look(fs, f"{path}/{POLICY_LAST}").is_file:
        return False
    if difference := _difference(get_json(fs, f"{path}/{IDENTITY}"), identity, ignored=("workers",)):
        raise TrainingError(f"{out} was trained with another {difference}; give another folder, or undo these changes")
    return True


def read_summary(out: Location) -> object:
    """Return the content of the training.json of a published policy."""
    fs, path = filesystem(str(out))
    return get_json(fs, f"{path}/{SUMMARY}")


def remove_work_folder(work: Location) -> None:
    """Remove the work folder of a policy that is published, and release its lease."""
    if (own := lease.current(filesystem(str(work))[1])) is not None:
        own.release()
    remove(str(work))


def publish(
    save: Callable[[Path], None],
    job: LocalJob[C],
    curve: Sequence[Mapping[str, object]],
    summary: Mapping[str, object],
) -> None:
    """Write the policy folder in `work` and rename it to `out`; the first worker does it, the others do nothing.

    Args:
        save: writes the whole policy, LoRA merged, and its tokenizer into a folder.
        job: the training; a LoRA adapter in its work folder becomes part of the policy folder.
        curve: the lines of training.jsonl.
        summary: the content of training.json.
    """
    from trainers.workers import rank

    if rank() != 0:
        return
    folder = job.work / "policy"
    shutil.rmtree(folder, ignore_errors=True)
    save(folder)
    if (job.work / ADAPTER).exists():
        os.replace(job.work / ADAPTER, folder / ADAPTER)
    (folder / CURVE).write_text("".join(json.dumps(line) + "\n" for line in curve))
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2))
    shutil.copy(job.work / IDENTITY, folder / IDENTITY)
    _sync(folder)
    shutil.rmtree(job.out, ignore_errors=True)  # a folder without a policy, or the training would not have started
    os.replace(folder, job.out)


def saver(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Callable[[Path], None]:
    """Return what writes a language model and its tokenizer into a folder."""

    def save(folder: Path) -> None:
        model.config.use_cache = True
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return save


def _train_locally(train: Callable[[LocalJob[C]], None], job: Job[C]) -> None:
    with local_files(job) as local:
        train(local)


def _difference(recorded: Identity | None, identity: Identity, ignored: Collection[str] = ()) -> str:
    """Return the keys in which two identities differ, with both values; an empty text if nothing differs."""
    if recorded is None:
        return ""
    current = json.loads(json.dumps(identity))
    differing = sorted(
        key for key in {**recorded, **current} if key not in ignored and recorded.get(key) != current.get(key)
    )
    return ", ".join(f"{key} ({recorded.get(key)} there, {current.get(key)} now)" for key in differing)


def _sync(folder: Path) -> None:
    """Write the files of a folder to the disk, so that a power failure cannot keep their names and lose their bytes."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
