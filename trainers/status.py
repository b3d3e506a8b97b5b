"""Says what a training does: one line that changes in a terminal, a line now and then in a file."""

from __future__ import annotations

import sys
import time
from typing import TextIO

LINE_EVERY_S = 10.0
"""Seconds between two lines where the output is no terminal."""


class StatusLine:
    """Shows the status of a training on stderr."""

    def __init__(self, stream: TextIO | None = None, every_s: float = LINE_EVERY_S) -> None:
        """Show it on `stream`, which is stderr by default; `every_s` is for an output that is no terminal."""
        self.stream, self.every_s = stream or sys.stderr, every_s
        self._shown, self._pending, self._at = "", "", -every_s

    def show(self, status: str) -> None:
        """Show a status, unless it is empty or the one that is shown."""
        if not status or status == self._shown:
            return
        self._pending = status
        if self.stream.isatty():
            print(f"\r\x1b[K  train: {status}", end="", file=self.stream, flush=True)
        elif time.monotonic() - self._at < self.every_s:
            return
        else:
            self._print()
        self._shown, self._at = status, time.monotonic()

    def close(self) -> None:
        """End the line, or print the last status that was held back."""
        if self.stream.isatty() and self._shown:
            print(file=self.stream, flush=True)
        elif self._pending != self._shown:
            self._print()

    def _print(self) -> None:
        print(f"  train: {self._pending}", file=self.stream, flush=True)


def describe_step(step: int, steps: int, loss: float, held_out_margin: float | None, seconds_per_step: float) -> str:
    """Return the status of a training after a step.

    Args:
        step: steps that are done.
        steps: steps of the whole training.
        loss: that of the last step.
        held_out_margin: the margin of the held-out pairs when it was last measured; None before.
        seconds_per_step: mean of this run.
    """
    margin = "" if held_out_margin is None else f", held-out margin {held_out_margin:.3f}"
    return f"step {step:,} of {steps:,}, loss {loss:.3f}{margin}, {(steps - step) * seconds_per_step:.0f} s to go"
