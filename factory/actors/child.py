"""The process of a guarded actor: `python -m factory.actors.child CHANNEL PARENT`; `factory.actors.guard` starts it."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection

from factory.actors.base import RowActor
from schemas.datasets import Row

_PR_SET_PDEATHSIG = 1


class _Finished:
    """Sends how many rows of a batch are finished; a row that the actor processes again counts once."""

    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._rows: dict[int, Row] = {}  # kept, so that no other row gets the identity of one

    def __call__(self, row: Row) -> None:
        if id(row) not in self._rows:
            self._rows[id(row)] = row
            self._channel.send(("finished", len(self._rows)))


def serve(channel: Connection) -> None:
    """Make the actor of the first message, then answer each table with a table until the channel is closed."""
    try:
        actor = _load(channel.recv())
    except Exception as error:  # the parent raises it, where the user sees it
        channel.send(("error", f"{type(error).__name__}: {error}"))
        return
    channel.send(("ready", ""))
    while True:
        try:
            table = channel.recv()
        except EOFError:
            return
        try:
            actor.on_finished = _Finished(channel)
            channel.send(("table", actor(table)))
        except Exception as error:  # an error of one row stays inside the actor: this one concerns the batch
            channel.send(("error", f"{type(error).__name__}: {error}"))


def _load(pickled: bytes) -> RowActor:
    """Make the actor of a message."""
    gc.disable()  # what is made while libraries and models load stays: the search for garbage in it takes seconds
    actor: RowActor = pickle.loads(pickled)()  # from our own parent, through a pipe that no other process has
    gc.freeze()
    gc.enable()
    return actor


def main() -> None:
    """Ask the kernel to kill this process with its parent, even in a hang, and serve."""
    channel, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    os.set_inheritable(channel.fileno(), False)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        serve(channel)


if __name__ == "__main__":
    main()
