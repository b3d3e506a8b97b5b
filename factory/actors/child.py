"""The process in which a guarded actor lives: `python -m factory.actors.child CHANNEL PARENT`, started by `factory.actors.guard` alone."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1


def serve(channel: Connection) -> None:
    """Make the actor that the first message describes, then answer tables with tables until the channel is closed."""
    try:
        kind, arguments = pickle.loads(channel.recv())  # our parent's own words, through a pipe that nobody else has
        actor = kind(**arguments)
    except Exception as error:  # said in the parent, where it is seen
        channel.send(("error", f"{type(error).__name__}: {error}"))
        return
    channel.send(("ready", ""))
    while True:
        try:
            table = channel.recv()
        except EOFError:
            return
        try:
            channel.send(("table", actor(table)))
        except Exception as error:  # rows' own errors end inside the actor: this one is about the batch
            channel.send(("error", f"{type(error).__name__}: {error}"))


def main() -> None:
    """Die with the parent, even in a hang or when it was killed; serve."""
    channel, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    os.set_inheritable(channel.fileno(), False)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        serve(channel)


if __name__ == "__main__":
    main()
