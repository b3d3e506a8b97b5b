"""A training whose policy is to lie in an object store: it works on its machine's disk, and the store gets what is whole.

    with at_hand(config) as near:      # inputs fetched, `out` and `work` folders of this machine, the last checkpoint in place
        loop(near)

While the loop runs, each new checkpoint goes to `OUT.work` in the store, and a pulse when there was one; so a training that loses its
machine goes on from there on another. When the loop is through, the policy goes to `OUT`: nobody takes it for one before its
`config.json`, which is written last, is there.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import distributed

from factory.models.weights import local_training_folder, resolve
from factory.storage.files import filesystem, put
from factory.storage.manifest import StoreError
from factory.storage.transfer import download, push, remove, upload

log = logging.getLogger(__name__)

Place = Path | str
"""Where something lies: a path on this disk, or a URI."""
INPUTS = ("data", "dev", "start", "pairs", "policy")
"""What a loop's configuration may name that it reads."""
PULSE = "pulse"
"""A file in a training's folder that it touches at every step."""
STATE = "trainer_state.json"
"""The file of a checkpoint folder that is written last."""
POLICY_LAST = "config.json"
"""The file of a policy by which it is known to be whole."""
RAY = "ray"
"""The folder in which Ray Train notes what it needs, in `work`."""
EVERY_S = 5.0
"""Seconds between two looks for what is new."""


def place_of(name: Place) -> Place:
    """Return a URI as it is, and anything else as a whole path."""
    return name if "://" in str(name) else Path(name).absolute()


def name_of(place: Place) -> str:
    """Return by which name a worker finds an input: a whole path for what is on a disk, else (a URI, a name of weights) as it is."""
    return str(Path(place).absolute()) if Path(place).exists() else str(place)


@contextmanager
def at_hand(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the configuration of a loop with its inputs, `out` and `work` on this disk, and bring what comes of it to where they lie.

    All workers call it; the first of each machine fetches, the first of all uploads. Raises StoreError when the store does not take it.
    """
    near = config | {name: resolve(str(config[name])) for name in INPUTS if config.get(name) is not None}
    if not isinstance(config.get("out"), str):
        yield near
        return
    folder = local_training_folder(config["out"])
    out, work = folder / "policy", folder / "policy.work"
    if _first_here():
        shutil.rmtree(folder, ignore_errors=True)
        work.mkdir(parents=True)
        download(config["work"], work, without=RAY)
    _together()
    with _keeping(work, config["work"]):
        yield near | {"out": out, "work": work}
    if _first():
        upload(out, config["out"], POLICY_LAST)
        shutil.rmtree(folder)


def last_checkpoint(work: Path) -> str | None:
    """Return the newest whole checkpoint: a kill may have left one that is not finished (its state is written last)."""
    whole = []
    for state in work.glob(f"checkpoint-*/{STATE}"):
        try:
            whole.append((json.loads(state.read_text())["global_step"], str(state.parent)))
        except (ValueError, KeyError):
            continue
    return max(whole)[1] if whole else None


@contextmanager
def _keeping(work: Path, uri: str) -> Iterator[None]:
    """Keep in the store what the first worker leaves in `work`, until the block ends; once more then, also when it raises."""
    if not _first():
        yield
        return
    keeper, over = Keeper(work, uri), threading.Event()

    def keep() -> None:
        while not over.wait(EVERY_S):
            keeper.keep()

    thread = threading.Thread(target=keep, name=f"keeps {uri}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        keeper.keep()


class Keeper:
    """Copies what is new and whole in a training's folder into the store."""

    def __init__(self, work: Path, uri: str) -> None:
        """What lies in `work` now is taken for what the store has."""
        self.work, self.uri = work, uri
        self.fs, self.path = filesystem(uri)
        self.sent = {name: self._stamp(name) for name in self._names()}

    def keep(self) -> None:
        """Copy checkpoint and pulse where they are new; what the store does not take is tried again the next time."""
        for name in self._names():
            try:
                if (stamp := self._stamp(name)) != self.sent.get(name):
                    self._copy(name)
                    self.sent[name] = stamp
            except FileNotFoundError:
                continue  # a newer checkpoint has just taken its place
            except StoreError as error:
                log.warning("the training goes on, but the store has not got its %s yet: %s", name, error)

    def _names(self) -> list[str]:
        """Name what there is to copy: the pulse, a checkpoint in one file, the last file of the newest checkpoint folder."""
        newest = last_checkpoint(self.work)
        names = [PULSE, "checkpoint.pt", *([f"{Path(newest).name}/{STATE}"] if newest else [])]
        return [name for name in names if (self.work / name).exists()]

    def _stamp(self, name: str) -> int:
        return (self.work / name).stat().st_mtime_ns

    def _copy(self, name: str) -> None:
        folder = name.removesuffix(f"/{STATE}")
        if name == PULSE:
            put(self.fs, f"{self.path}/{PULSE}", b".")
        elif folder == name:
            push(self.work / name, self.fs, f"{self.path}/{name}")
        else:
            upload(self.work / folder, f"{self.uri}/{folder}", STATE)
            for before in [other for other in self.sent if other.endswith(STATE) and other != name]:
                remove(f"{self.uri}/{before.removesuffix(f'/{STATE}')}")
                del self.sent[before]


def _first() -> bool:
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _first_here() -> bool:
    """Whether this process is the first worker of its machine."""
    if not distributed.is_initialized():
        return True
    from ray.train import get_context

    return bool(get_context().get_local_rank() == 0)


def _together() -> None:
    if distributed.is_initialized():
        distributed.barrier()
