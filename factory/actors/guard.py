"""Runs an actor in a process of its own, so that a row that crashes or hangs it costs that process and not the pass.

Ray Data tries a batch whose worker died again and again, without end. Here the worker only watches: the model lives in a child process
(`factory.actors.child`). When the child dies, hangs or computes for too long, a new one is started and the batch's rows are
tried one by one; the row with which it dies again is `failed` (`killed: …` or `timeout: …`) after these two tries, and its batch
mates are kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pyarrow as pa

from factory.actors.base import RowActor, failed, written
from factory.runtime.redact import redact
from schemas.datasets import OK
from schemas.errors import RoundtripError

STARTS = 3
"""How often in a row a child may die while it loads its model."""
MATES = 32
"""So many rows of a batch have together the time of one that stands alone."""


LOOK_S = 0.5
"""Seconds between two looks at the child."""
IDLE_S = 10.0
"""A child none of whose threads wanted a core for so many seconds hangs: one that only waits for its turn is seen to want one."""


class ActorError(RoundtripError):
    """An actor that cannot work at all, on any row."""


class _Died(Exception):
    """The child died or was cut off; its text is the reason."""


def guarded(
    actor: type[RowActor], arguments: dict[str, Any], row_timeout_s: float, threads: int = 1
) -> tuple[type[Guard], dict[str, Any]]:
    """Return a class with the actor's name that runs it guarded, and that class's arguments, for `map_batches`.

    `threads` is how many the actor computes with at once.
    """
    import cloudpickle

    recipe = cloudpickle.dumps((actor, arguments))
    kind: type[Guard] = type(actor.__name__, (Guard,), {"name": actor.__name__})
    return kind, {"recipe": recipe, "schema": actor.schema, "row_timeout_s": row_timeout_s, "threads": threads}


class _Work:
    """What a child does with its time, by which one that hangs is told from one that is slow, or that other processes keep from the cores.

    Beyond `limit` seconds of the clock it may go on as long as it wants a core and has used less than `limit` seconds of one with each
    of its threads.
    """

    def __init__(self, child: int, limit: float, threads: int) -> None:
        self.child, self.limit, self.most = child, limit, limit * threads
        self.end, self.used, self.wanted = time.monotonic() + limit, _cpu_s(child), time.monotonic()

    def excess(self) -> str:
        """Say how the child exceeds its limit; an empty text while it does not."""
        now = time.monotonic()
        if now < self.end - IDLE_S:
            return ""
        if _wants_core(self.child):
            self.wanted = now
        if now < self.end:
            return ""
        if now - self.wanted >= IDLE_S:
            return f"was cut off after {self.limit:g} s"
        return f"was cut off after {self.most:g} s of computing" if _cpu_s(self.child) - self.used > self.most else ""


def _wants_core(child: int) -> bool:
    """Whether a thread of the process runs or waits for a core (state R)."""
    for state in Path(f"/proc/{child}/task").glob("*/stat"):
        with suppress(OSError):  # the thread has ended
            if state.read_text().rpartition(")")[2].split()[0] == "R":
                return True
    return False


def _cpu_s(child: int) -> float:
    """Return the seconds that the process has spent on cores, all its threads together."""
    with suppress(psutil.Error):
        times = psutil.Process(child).cpu_times()
        return float(times.user + times.system)
    return 0.0


class Guard:
    """Maps tables through an actor's child process; as an actor does, it returns every row, with the actor's schema."""

    name: ClassVar[str]

    def __init__(self, recipe: bytes, schema: pa.Schema, row_timeout_s: float, threads: int = 1) -> None:
        """`recipe`: the pickled actor class and its arguments; `row_timeout_s`: seconds that a row may take when it stands alone, of the
        clock for a child that hangs, of each of its `threads` on a core for one that computes.

        Raises ActorError when the actor cannot be made.
        """
        self.recipe, self.schema, self.row_timeout_s, self.threads = recipe, schema, row_timeout_s, threads
        self._start()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table's rows as the actor leaves them; a row that kills the child twice, or takes too long, is `failed`."""
        try:
            return self._ask(table)
        except _Died:
            return pa.concat_tables([self._alone(table.slice(place, 1)) for place in range(table.num_rows)])

    def __del__(self) -> None:
        if hasattr(self, "child"):
            self._end()

    def _alone(self, table: pa.Table) -> pa.Table:
        try:
            return self._ask(table)
        except _Died as reason:
            return written([failed(table.to_pylist()[0], str(reason))], self.schema)

    def _ask(self, table: pa.Table) -> pa.Table:
        if self.child.poll() is not None:  # killed while it had nothing to do: no row's fault
            self._start()
        rows = (
            sum(row == OK for row in table["status"].to_pylist()) if "status" in table.column_names else table.num_rows
        )
        try:
            self.channel.send(table)
        except OSError:
            raise _Died(self._cause()) from None
        kind, answer = self._answer(self.row_timeout_s * (1 + (rows - 1) / MATES))
        if kind == "error":
            raise ActorError(f"{self.name} failed on a whole batch: {answer}")
        return answer

    def _answer(self, limit: float | None = None) -> tuple[str, Any]:
        """Wait for what the child says; raises _Died when it dies first, or exceeds a limit in seconds (`_Work`)."""
        work = None if limit is None else _Work(self.child.pid, limit, self.threads)
        try:
            while not self.channel.poll(LOOK_S):
                if self.child.poll() is not None and not self.channel.poll():  # a grandchild may hold the channel open
                    raise EOFError
                if work is not None and (excess := work.excess()):
                    self._end()
                    raise _Died(f"timeout: {self.name} {excess} with this row")
            return self.channel.recv()
        except (EOFError, OSError):
            raise _Died(self._cause()) from None

    def _start(self) -> None:
        for _ in range(STARTS):
            self._spawn()
            try:
                kind, told = self._answer()
            except _Died as died:
                told = f"its process died while it loaded, {STARTS} times ({died})"
                continue
            if kind == "ready":
                return
            break
        raise ActorError(f"{self.name} could not start: {redact(told)}")

    def _spawn(self) -> None:
        if hasattr(self, "child"):
            self._end()
        self.channel, theirs = Pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "factory.actors.child", str(theirs.fileno()), str(os.getpid())]
        self.child = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)
        theirs.close()
        with suppress(OSError):  # it is dead already; the answer will say so
            self.channel.send(self.recipe)

    def _end(self) -> None:
        self.child.kill()
        self.child.wait()
        self.channel.close()

    def _cause(self) -> str:
        code = self.child.wait()
        if code >= 0:
            how = f"ended with code {code}"
        else:
            how = f"died of {signal.Signals(-code).name}" + (
                ", as when memory runs out" if -code == signal.SIGKILL else ""
            )
        return f"killed: {self.name}'s process {how} with this row"
