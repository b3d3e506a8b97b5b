"""One writer a folder: the second is refused while the first is alive, and takes over when it is dead.

    lease = take(fs, folder)     # StoreError, with who and since when, where another run is alive
    check(fs, folder, lease.token)   # a writer asks before each file: StoreError when another run has taken over
    lease.release()

The lease is a file, `_lease.json`, that its owner renews every `BEAT_S` seconds; it needs nothing of the storage but that a file is
replaced whole, so it works in an object store too. Whoever finds one asks the operating system whether the owner still runs, where it
ran on this machine; otherwise it watches the file, and one that has not changed for `PATIENCE_S` seconds is a dead owner's: no two
clocks are compared. When two take over at once, the last to write holds it, and the other finds out by `check` at the latest.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.fs as pafs

from factory.storage.files import get_json, put_json
from factory.storage.manifest import StoreError, now

log = logging.getLogger(__name__)

NAME = "_lease.json"
BEAT_S, PATIENCE_S = 5.0, 25.0
SETTLE_S = 0.2
"""Seconds between writing a lease and reading it back: longer than two runs that start together differ."""

_held: dict[str, Lease] = {}


@dataclass(frozen=True)
class Owner:
    """Who holds a folder: `token` names the attempt; a process is known by its machine's boot, its namespace, its number and its start."""

    token: str
    host: str
    machine: str
    pid: int
    started: str
    since: str
    beat: int = 0


@dataclass
class Lease:
    """A held folder, renewed by a thread until it is released or another run has taken over."""

    fs: pafs.FileSystem
    folder: str
    owner: Owner
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def token(self) -> str:
        """The name of this attempt."""
        return self.owner.token

    def release(self) -> None:
        """Give the folder free; a lease that another run has taken over stays with it."""
        self._stop()
        _held.pop(self.folder, None)
        path = f"{self.folder}/{NAME}"
        if _token(self.fs, self.folder) == self.token:
            self.fs.delete_file(path)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._renew, name=f"lease of {self.folder}", daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        """End the renewing, and wait for a renewal that is on its way: it would write over whatever comes next."""
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                if _token(self.fs, self.folder) != self.token:
                    return  # taken over, or deleted with its folder: the writers find out by themselves
                self.owner = replace(self.owner, beat=self.owner.beat + 1)
                put_json(self.fs, f"{self.folder}/{NAME}", asdict(self.owner))
            except (OSError, StoreError) as error:
                log.warning("the lease on %s could not be renewed: %s", self.folder, error)


def take(fs: pafs.FileSystem, folder: str) -> Lease:
    """Hold `folder` for this process. Raises StoreError where another process holds it and is alive; one's own is taken anew."""
    there = _read(fs, folder)
    if there is not None and not _is_mine(there) and _is_alive(fs, folder, there):
        raise StoreError(
            f"{folder} is being written by another run (process {there.pid} on {there.host}, since {there.since}): "
            "wait until it ends, or end it; this one may then go on from where it stopped"
        )
    if (earlier := _held.get(folder)) is not None:
        earlier._stop()
    owner = Owner(uuid4().hex, socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()) or "", now())
    put_json(fs, f"{folder}/{NAME}", asdict(owner))
    if there is None or not _is_mine(there):
        time.sleep(SETTLE_S)
    check(fs, folder, owner.token)
    lease = _held[folder] = Lease(fs, folder, owner)
    lease._start()
    return lease


def held(folder: str) -> Lease | None:
    """Return this process's lease on `folder`, None where it has none."""
    return _held.get(folder)


def check(fs: pafs.FileSystem, folder: str, token: str) -> None:
    """Raise StoreError unless the attempt `token` still holds `folder`."""
    there = _read(fs, folder)
    if there is None or there.token != token:
        other = (
            "nobody holds it now"
            if there is None
            else f"process {there.pid} on {there.host} holds it since {there.since}"
        )
        raise StoreError(
            f"{folder} was taken over from this run, which writes no more ({other}); what it had written is kept"
        )


def _read(fs: pafs.FileSystem, folder: str) -> Owner | None:
    found: dict[str, Any] | None = get_json(fs, f"{folder}/{NAME}")
    return None if found is None else Owner(**found)


def _token(fs: pafs.FileSystem, folder: str) -> str | None:
    there = _read(fs, folder)
    return None if there is None else there.token


def _is_mine(owner: Owner) -> bool:
    return (owner.machine, owner.pid, owner.started) == (_machine(), os.getpid(), _start_of(os.getpid()))


def _is_alive(fs: pafs.FileSystem, folder: str, owner: Owner) -> bool:
    if owner.machine == _machine():
        return _start_of(owner.pid) == owner.started
    log.warning(
        "%s was being written by process %d on %s: waiting %g s for a sign of life",
        folder,
        owner.pid,
        owner.host,
        PATIENCE_S,
    )
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        time.sleep(min(1.0, PATIENCE_S))
        if (there := _read(fs, folder)) != owner:
            return there is not None
    return False


def _machine() -> str:
    """Name the kernel's boot and the process namespace, within which process numbers mean the same."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def _start_of(pid: int) -> str | None:
    """Return when a process started (in ticks since boot), None where it does not run: numbers are given out again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
