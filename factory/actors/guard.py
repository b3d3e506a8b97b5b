"""Runs an actor in a process of its own, so that a row that crashes or hangs the actor does not end the pass.

Ray Data retries a batch whose worker died, without end. Here Ray's worker only supervises: the model lives in a child
process (`factory.actors.child`). If the child dies, hangs or computes for too long, a new child starts and gets the
rows of the batch one by one. A row that kills the child again is `failed` (`killed: …` or `timeout: …`) after these two
tries; all other rows are kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import ClassVar, TypedDict, cast

import psutil
import pyarrow as pa

from factory.actors.base import ActorFactory, RowActor, mark_failed, to_table
from factory.runtime.redact import redact
from factory.runtime.running_rows import RunningBatch
from schemas.datasets import OK
from schemas.errors import RoundtripError

STARTS = 3
"""How often in a row a child may die while it loads its model."""
ROWS_PER_LIMIT = 32
"""A batch may take the limit of one row once more for each `ROWS_PER_LIMIT` further rows."""
LOOK_S = 0.5
"""Seconds between two looks at the child."""
IDLE_S = 10.0
"""A child hangs if no thread of it ran or waited for a core for so many seconds."""


class ActorError(RoundtripError):
    """An actor that cannot work on any row."""


class _ChildDied(Exception):
    """The child died or was killed; the message is the reason of its row."""


class GuardArguments(TypedDict):
    """The arguments of a Guard, for `fn_constructor_kwargs` of `map_batches`."""

    actor: bytes
    schema: pa.Schema
    row_timeout_s: float
    threads: int


def guard_actor(actor: ActorFactory, row_timeout_s: float, threads: int) -> tuple[type[Guard], GuardArguments]:
    """Return a Guard class with the name of the actor's class, and its arguments, for `map_batches`.

    Args:
        actor: the actor's class with its arguments.
        row_timeout_s: seconds that one row may take (`Guard`).
        threads: the threads that the actor computes with.
    """
    import cloudpickle

    cls = cast(type[RowActor], actor.func)
    guard: type[Guard] = type(cls.__name__, (Guard,), {"name": cls.__name__})
    pickled = cloudpickle.dumps(actor)
    return guard, {"actor": pickled, "schema": cls.schema, "row_timeout_s": row_timeout_s, "threads": threads}


class _Deadline:
    """Decides when a child has had enough time.

    A hanging child is ended after `limit` seconds of the clock. A child that runs, or waits for a core that other
    processes use, is ended after it has used `limit` seconds of a core with each of its threads.
    """

    def __init__(self, child: int, limit: float, threads: int) -> None:
        self.child, self.limit, self.cpu_limit = child, limit, limit * threads
        self.end, self.cpu_at_start, self.active_at = time.monotonic() + limit, _cpu_s(child), time.monotonic()

    def explain_excess(self) -> str:
        """Return how the child exceeds its limit; an empty text if it does not."""
        now = time.monotonic()
        if now < self.end - IDLE_S:
            return ""
        if _wants_core(self.child):
            self.active_at = now
        if now < self.end:
            return ""
        if now - self.active_at >= IDLE_S:
            return f"was cut off after {self.limit:g} s"
        if _cpu_s(self.child) - self.cpu_at_start > self.cpu_limit:
            return f"was cut off after {self.cpu_limit:g} s of computing"
        return ""


def _wants_core(pid: int) -> bool:
    """Return whether a thread of the process runs or waits for a core (state R)."""
    for state in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # the thread has ended
            if state.read_text().rpartition(")")[2].split()[0] == "R":
                return True
    return False


def _cpu_s(pid: int) -> float:
    """Return the seconds that all threads of the process have spent on cores."""
    with suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


class Guard:
    """Maps tables through an actor's child process; like the actor it returns every row, with the actor's schema."""

    name: ClassVar[str]

    def __init__(self, actor: bytes, schema: pa.Schema, row_timeout_s: float, threads: int) -> None:
        """Start the child.

        Args:
            actor: the pickled actor class with its arguments.
            schema: the actor's schema.
            row_timeout_s: seconds that one row may take: of the clock for a child that hangs, of a core for each thread
                of a child that computes.
            threads: the threads that the actor computes with.

        Raises:
            ActorError: the actor cannot be made.
        """
        self.actor, self.schema, self.row_timeout_s, self.threads = actor, schema, row_timeout_s, threads
        self._start()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the rows that the actor returns; a row that kills the child twice, or takes too long, is `failed`."""
        with RunningBatch(self.name, table["utt_id"].to_pylist()) as self.batch:
            try:
                return self._process(table)
            except _ChildDied:
                return pa.concat_tables(self._process_rows(table))

    def limit_s(self, table: pa.Table) -> float:
        """Return the seconds that a batch may take: those of one row, and a share of them for each further row."""
        return self.row_timeout_s * (1 + (_count_ok(table) - 1) / ROWS_PER_LIMIT)

    def __del__(self) -> None:
        if hasattr(self, "child"):
            self._end()

    def _process_rows(self, table: pa.Table) -> Iterator[pa.Table]:
        """Process one row after the other."""
        for index in range(table.num_rows):
            self.batch.begin_at(index)
            yield self._process_row(table.slice(index, 1))

    def _process_row(self, table: pa.Table) -> pa.Table:
        try:
            return self._process(table)
        except _ChildDied as reason:
            return to_table([mark_failed(table.to_pylist()[0], str(reason))], self.schema)

    def _process(self, table: pa.Table) -> pa.Table:
        if self.child.poll() is not None:  # it was killed while it had no work: no row is the cause
            self._start()
        try:
            self.channel.send(table)
        except OSError:
            raise _ChildDied(self._explain_death()) from None
        kind, answer = self._receive(self.limit_s(table))
        if kind == "error":
            raise ActorError(f"{self.name} failed on a whole batch: {answer}")
        return answer

    def _receive(self, limit: float | None = None) -> tuple[str, pa.Table | str]:
        """Wait for a message of the child: `ready`, `table` or `error`, and its content.

        Until then, show how many rows of the batch are finished.

        Raises _ChildDied if the child dies first, or exceeds `limit` (seconds; None: no limit).
        """
        deadline = None if limit is None else _Deadline(self.child.pid, limit, self.threads)
        try:
            while (message := self._await_message(deadline))[0] == "finished":
                self.batch.show(cast(int, message[1]))
            return cast(tuple[str, pa.Table | str], message)
        except (EOFError, OSError):
            raise _ChildDied(self._explain_death()) from None

    def _await_message(self, deadline: _Deadline | None) -> tuple[str, pa.Table | str | int]:
        while not self.channel.poll(LOOK_S):
            if self.child.poll() is not None and not self.channel.poll():  # a grandchild may hold the channel open
                raise EOFError
            if deadline is not None and (excess := deadline.explain_excess()):
                self._end()
                raise _ChildDied(f"timeout: {self.name} {excess} with this row")
        return cast(tuple[str, pa.Table | str | int], self.channel.recv())

    def _start(self) -> None:
        for _ in range(STARTS):
            self._spawn()
            try:
                kind, message = self._receive()
            except _ChildDied as died:
                message = f"its process died while it loaded, {STARTS} times ({died})"
                continue
            if kind == "ready":
                return
            break
        raise ActorError(f"{self.name} could not start: {redact(message)}")

    def _spawn(self) -> None:
        if hasattr(self, "child"):
            self._end()
        self.channel, channel = Pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "factory.actors.child", str(channel.fileno()), str(os.getpid())]
        self.child = subprocess.Popen(command, pass_fds=[channel.fileno()], env=environment, stdin=subprocess.DEVNULL)
        channel.close()
        with suppress(OSError):  # the child is dead already, which _receive reports
            self.channel.send(self.actor)

    def _end(self) -> None:
        self.child.kill()
        self.child.wait()
        self.channel.close()

    def _explain_death(self) -> str:
        code = self.child.wait()
        if code >= 0:
            how = f"ended with code {code}"
        else:
            memory = ", as when memory runs out" if -code == signal.SIGKILL else ""
            how = f"died of {signal.Signals(-code).name}{memory}"
        return f"killed: {self.name}'s process {how} with this row"


def _count_ok(table: pa.Table) -> int:
    """Return how many rows the actor will process."""
    if "status" not in table.column_names:
        return int(table.num_rows)
    return sum(status == OK for status in table["status"].to_pylist())
