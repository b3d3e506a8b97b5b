"""Runs an actor in a process of its own, so that a row that crashes or hangs it costs that process and not the pass.

Ray Data tries a batch whose worker died again and again, without end. Here the worker only watches: the model lives in a child process
(`factory.actors.child`). When the child dies or is too slow, a new one is started and the batch's rows are tried one by one; the row
with which it dies again is `failed` (`killed: …` or `timeout: …`) after these two tries, and its batch mates are kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any, ClassVar

import pyarrow as pa

from factory.actors.base import RowActor, failed, written
from factory.redact import redact
from schemas.datasets import OK

STARTS = 3
"""How often in a row a child may die while it loads its model."""
MATES = 32
"""So many rows of a batch have together the time of one that stands alone."""


class ActorError(RuntimeError):
    """An actor that cannot work at all, on any row."""


class _Died(Exception):
    """The child died or was cut off; its text is the reason."""


def guarded(actor: type[RowActor], arguments: dict[str, Any], row_timeout_s: float) -> tuple[type[Guard], dict[str, Any]]:
    """Return a class with the actor's name that runs it guarded, and that class's arguments, for `map_batches`."""
    import cloudpickle

    recipe = cloudpickle.dumps((actor, arguments))
    kind: type[Guard] = type(actor.__name__, (Guard,), {"name": actor.__name__})
    return kind, {"recipe": recipe, "schema": actor.schema, "row_timeout_s": row_timeout_s}


class Guard:
    """Maps tables through an actor's child process; as an actor does, it returns every row, with the actor's schema."""

    name: ClassVar[str]

    def __init__(self, recipe: bytes, schema: pa.Schema, row_timeout_s: float) -> None:
        """`recipe`: the pickled actor class and its arguments; `row_timeout_s`: seconds that a row may take when it stands alone.

        Raises ActorError when the actor cannot be made.
        """
        self.recipe, self.schema, self.row_timeout_s = recipe, schema, row_timeout_s
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
        rows = sum(row == OK for row in table["status"].to_pylist()) if "status" in table.column_names else table.num_rows
        try:
            self.channel.send(table)
        except OSError:
            raise _Died(self._cause()) from None
        kind, answer = self._answer(self.row_timeout_s * (1 + (rows - 1) / MATES))
        if kind == "error":
            raise ActorError(f"{self.name} failed on a whole batch: {answer}")
        return answer

    def _answer(self, limit: float | None = None) -> tuple[str, Any]:
        """Wait for what the child says; raises _Died when it dies first, or has taken `limit` seconds."""
        end = None if limit is None else time.monotonic() + limit
        try:
            while not self.channel.poll(1.0 if end is None else max(0.0, min(1.0, end - time.monotonic()))):
                if self.child.poll() is not None and not self.channel.poll():  # a grandchild may hold the channel open
                    raise EOFError
                if end is not None and time.monotonic() > end:
                    self._end()
                    raise _Died(f"timeout: {self.name} was cut off after {limit:.0f} s with this row")
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
            how = f"died of {signal.Signals(-code).name}" + (", as when memory runs out" if -code == signal.SIGKILL else "")
        return f"killed: {self.name}'s process {how} with this row"
