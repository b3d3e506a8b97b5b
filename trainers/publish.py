"""Where a training works, and how its policy is published: whole, with its identity, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from factory.models.weights import resolve
from factory.storage import lease
from factory.storage.files import filesystem, get_json, look, put_json
from factory.storage.transfer import remove
from trainers.remote import POLICY_LAST, Place
from trainers.workers import rank

IDENTITY = "identity.json"


ADAPTER = "adapter"
"""The folder of a LoRA adapter inside a policy that was merged from it."""


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
        raise ValueError(
            f"{out} was trained with another {differing}; take another folder, or change back what differs"
        )
    return True


def summary_of(out: Place) -> dict[str, Any]:
    """Return the training.json of a published policy."""
    fs, path = filesystem(str(out))
    return dict(get_json(fs, f"{path}/training.json"))


def clear(work: Place) -> None:
    """Remove the folder of a training that is published."""
    if (mine := lease.current(filesystem(str(work))[1])) is not None:
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


def policy_digest(place: Place) -> str:
    """Return 16 hexadecimal digits of what a file, or a policy's weights and tokenizer, hold."""
    path = resolve(str(place))
    files = [path] if path.is_file() else [path / "tokenizer.json", *sorted(path.glob("*.safetensors"))]
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:16]


def publish(
    model: Any, tokenizer: Any, work: Path, out: Path, curve: list[dict[str, Any]], summary: dict[str, Any]
) -> None:
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
