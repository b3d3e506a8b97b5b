"""Leases: a folder has one writer at a time. A second one is refused while the first is alive, else takes over.

    lease = take(fs, folder)          # StoreError, with the owner and its start, while another run is alive
    check(fs, folder, lease.token)    # a writer calls it before each file: StoreError after another run has taken over
    lease.release()

A lease is a file, `_lease.json`, which its owner renews every `BEAT_S` seconds. Storage has to replace a file as a
whole, and nothing more, so leases work in object stores too. Whether an owner is alive is decided without comparing
two clocks: the operating system knows an owner on this machine; the lease of any other owner is dead when it does not
change for `PATIENCE_S` seconds. When two runs take over at once, the last to write holds the lease, and the other
notices at its next `check`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pyarrow.fs as pafs

from factory.storage.files import delete, get_json, put_json
from factory.storage.manifest import StoreError, now

log = logging.getLogger(__name__)

NAME = "_lease.json"
BEAT_S, PATIENCE_S = 5.0, 25.0
SETTLE_S = 0.2
"""Seconds between writing a lease and reading it back: more than the difference of two runs that start together."""

_leases: dict[str, Lease] = {}
"""Folder -> the lease of this process."""


@dataclass(frozen=True)
class Owner:
    """The owner of a folder. The machine, the process id and its start identify a process.

    Attributes:
        token: Random name of the attempt to write.
        host: Host name, for messages.
        machine: Boot of the kernel and namespace of process ids, within which `pid` is unique.
        pid: Process id.
        started: Start of the process, in clock ticks since the boot.
        since: Time when the lease was taken, UTC in ISO 8601.
        beat: Number of renewals.
    """

    token: str
    host: str
    machine: str
    pid: int
    started: str
    since: str
    beat: int = 0


@dataclass
class Lease:
    """A lease of this process, renewed by a thread until it is released or another run has taken over."""

    fs: pafs.FileSystem
    folder: str
    owner: Owner
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._renew, name=f"lease of {self.folder}", daemon=True)
        self._thread.start()

    @property
    def token(self) -> str:
        """The name of this attempt to write."""
        return self.owner.token

    def release(self) -> None:
        """Give up the folder, unless another run has taken over."""
        self.stop()
        _leases.pop(self.folder, None)
        if _token(self.fs, self.folder) == self.token:
            delete(self.fs, f"{self.folder}/{NAME}")

    def stop(self) -> None:
        """End the renewals; wait for one that has begun, because it would overwrite the next owner's lease."""
        self._ended.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                if _token(self.fs, self.folder) != self.token:
                    return  # another run has taken over, or the folder is deleted: the writers notice it themselves
                self.owner = replace(self.owner, beat=self.owner.beat + 1)
                put_json(self.fs, f"{self.folder}/{NAME}", asdict(self.owner))
            except (OSError, StoreError) as error:
                log.warning("the lease on %s could not be renewed: %s", self.folder, error)


def take(fs: pafs.FileSystem, folder: str) -> Lease:
    """Take the lease on a folder for this process, again if this process has it.

    Raises StoreError while another process has it and is alive.
    """
    owner = _read(fs, folder)
    if owner is not None and not _is_this_process(owner) and _is_alive(fs, folder, owner):
        raise StoreError(
            f"{folder} is being written by another run (process {owner.pid} on {owner.host}, since {owner.since}): "
            "wait until it ends, or end it; then the same command continues from there"
        )
    if (earlier := _leases.get(folder)) is not None:
        earlier.stop()
    mine = Owner(uuid4().hex, socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()) or "", now())
    put_json(fs, f"{folder}/{NAME}", asdict(mine))
    if owner is None or not _is_this_process(owner):
        time.sleep(SETTLE_S)
    check(fs, folder, mine.token)
    lease = _leases[folder] = Lease(fs, folder, mine)
    return lease


def current(folder: str) -> Lease | None:
    """Return the lease of this process on a folder, None where it has none."""
    return _leases.get(folder)


def check(fs: pafs.FileSystem, folder: str, token: str) -> None:
    """Raise StoreError unless the attempt `token` still has the lease on a folder."""
    owner = _read(fs, folder)
    if owner is None or owner.token != token:
        holder = f"process {owner.pid} on {owner.host} has it since {owner.since}" if owner else "no process has it now"
        raise StoreError(f"{folder} was taken over from this run ({holder}): this run ends, its part files are kept")


def _read(fs: pafs.FileSystem, folder: str) -> Owner | None:
    record = get_json(fs, f"{folder}/{NAME}")
    return None if record is None else Owner(**record)


def _token(fs: pafs.FileSystem, folder: str) -> str | None:
    owner = _read(fs, folder)
    return None if owner is None else owner.token


def _is_this_process(owner: Owner) -> bool:
    return (owner.machine, owner.pid, owner.started) == (_machine(), os.getpid(), _start_of(os.getpid()))


def _is_alive(fs: pafs.FileSystem, folder: str, owner: Owner) -> bool:
    if owner.machine == _machine():
        return _start_of(owner.pid) == owner.started
    text = "%s was being written by process %d on %s: waiting up to %g s for a sign of life"
    log.warning(text, folder, owner.pid, owner.host, PATIENCE_S)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        time.sleep(min(1.0, PATIENCE_S))
        if (latest := _read(fs, folder)) != owner:
            return latest is not None
    return False


def _machine() -> str:
    """Return the boot of the kernel and the namespace of process ids."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def _start_of(pid: int) -> str | None:
    """Return the start of a process in clock ticks since the boot (ids are reused), None where it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
