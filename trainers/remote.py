"""Trainings whose policy belongs in an object store: they work on the disk of their machine and upload complete files.

    with local_files(job) as local:    # inputs fetched, `out` and `work` on this disk, the last checkpoint in place
        train(local)

During the training each new checkpoint is uploaded to `OUT.work`, and a pulse whenever there was one. A training that
loses its machine resumes from there on another one. At the end the policy is uploaded to `OUT`. Readers take it for a
policy when its `config.json` is there, which is uploaded last.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.models.weights import local_training_folder, resolve
from factory.storage.files import filesystem, put
from factory.storage.manifest import StoreError
from factory.storage.transfer import download, push, remove, upload
from trainers.job import C, Job, LocalJob
from trainers.launch import POLL_S, PULSE, RAY

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
"""A checkpoint in one file."""
CHECKPOINT_LAST = "trainer_state.json"
"""The file of a checkpoint folder that is written last."""
BEST = "best-*.safetensors"
"""The LoRA weights of the evaluations that were the best so far, by step."""
POLICY_LAST = "config.json"
"""The file of a policy that is uploaded last: with it, the policy is complete."""


@contextmanager
def local_files(job: Job[C]) -> Iterator[LocalJob[C]]:
    """Yield the job with its files on this disk; afterwards the policy is where the job wants it.

    All workers must call this. The first worker of each machine downloads, the first worker of all uploads. Raises
    StoreError when the object store fails.
    """
    from trainers.workers import is_first_on_node, rank, wait_for_all

    inputs = {name: resolve(str(location)) for name, location in job.inputs.items()}
    if isinstance(job.out, Path):
        yield LocalJob(job.config, job.seed, inputs, job.out, Path(job.work))
        return
    folder, work_uri = local_training_folder(job.out), str(job.work)
    out, work = folder / "policy", folder / "policy.work"
    if is_first_on_node():
        shutil.rmtree(folder, ignore_errors=True)
        work.mkdir(parents=True)
        download(work_uri, work, without=RAY)
    wait_for_all()
    with _uploading(work, work_uri):
        yield LocalJob(job.config, job.seed, inputs, out, work)
    if rank() == 0:
        upload(out, job.out, POLICY_LAST)
        shutil.rmtree(folder)


def last_checkpoint(work: Path) -> str | None:
    """Return the newest complete checkpoint folder; a killed training may have left an incomplete one."""
    complete = []
    for state in work.glob(f"checkpoint-*/{CHECKPOINT_LAST}"):
        try:
            complete.append((json.loads(state.read_text())["global_step"], str(state.parent)))
        except (ValueError, KeyError):
            continue
    return max(complete)[1] if complete else None


@contextmanager
def _uploading(work: Path, uri: str) -> Iterator[None]:
    """Upload new files of `work` during the block and once after it, also when it raises; the first worker does it."""
    from trainers.workers import rank

    if rank() != 0:
        yield
        return
    uploader, done = Uploader(work, uri), threading.Event()

    def upload_now_and_then() -> None:
        while not done.wait(POLL_S):
            uploader.upload_changes()

    thread = threading.Thread(target=upload_now_and_then, name=f"upload to {uri}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        uploader.upload_changes()


class Uploader:
    """Copies new, complete files of a work folder into the object store."""

    def __init__(self, work: Path, uri: str) -> None:
        """Take the present files of `work` as already uploaded."""
        self.work, self.uri = work, uri
        self.fs, self.path = filesystem(uri)
        self.uploaded = {name: self._modified(name) for name in self._list_files()}

    def upload_changes(self) -> None:
        """Upload the pulse, the best weights and the checkpoint where they are new; after an error try the next time.

        The best weights come before the checkpoint that counts on them.
        """
        for name in self._list_files():
            try:
                if (modified := self._modified(name)) != self.uploaded.get(name):
                    self._upload(name)
                    self.uploaded[name] = modified
            except FileNotFoundError:
                continue  # a newer checkpoint has just replaced this one
            except StoreError as error:
                log.warning("the training continues, but its %s is not in the object store yet: %s", name, error)
                return

    def _list_files(self) -> list[str]:
        """Return the pulse, the best weights, the checkpoint file, and the last file of the newest folder of one."""
        newest = last_checkpoint(self.work)
        names = [PULSE, *(path.name for path in sorted(self.work.glob(BEST))), CHECKPOINT]
        names += [f"{Path(newest).name}/{CHECKPOINT_LAST}"] if newest else []
        return [name for name in names if (self.work / name).exists()]

    def _modified(self, name: str) -> int:
        return (self.work / name).stat().st_mtime_ns

    def _upload(self, name: str) -> None:
        folder, _, last = name.partition("/")
        if name == PULSE:
            content = (self.work / PULSE).read_bytes() or b"\n"  # an empty object is none in some stores
            put(self.fs, f"{self.path}/{PULSE}", content)
        elif last:
            upload(self.work / folder, f"{self.uri}/{folder}", CHECKPOINT_LAST)
            self._remove_older(name)
        else:
            push(self.work / name, self.fs, f"{self.path}/{name}")

    def _remove_older(self, name: str) -> None:
        """Remove the uploaded checkpoint folders except the one of this name."""
        for older in [other for other in self.uploaded if other.endswith(CHECKPOINT_LAST) and other != name]:
            remove(f"{self.uri}/{older.removesuffix(f'/{CHECKPOINT_LAST}')}")
            del self.uploaded[older]
