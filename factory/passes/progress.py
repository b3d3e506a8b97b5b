"""Shows the progress of a stage and its remaining time, and records the time and memory of each stage."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
from tqdm import tqdm

from factory.storage.files import filesystem, get_json, put_json

READ_EVERY_S = 3.0
"""Seconds between two readings of the memory in use: one reading takes as long as one part file."""
LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where the output is no terminal: in a file, or in `ray job logs`."""
SHARE_FOR_ESTIMATE = 0.01
"""Share (0..1) of the rows that must be finished after the first ones for an estimate."""
WAITING = ": models are loading, or the first batch runs"
"""What a line says while no row is finished."""
BAR_EVERY_S = 1.0
"""Seconds between two looks at the rows where the output is a terminal."""


class Clock:
    """Wall time of each stage (seconds), and peak memory (MB) of this process and its descendants (Ray's workers).

    Both are written to `_stages.json` after each stage, so that a round that was killed and run again counts all its
    attempts.
    """

    def __init__(self, folder: str) -> None:
        """Read the times of earlier attempts from `folder`, a URI, where the times will be written."""
        self.fs, path = filesystem(folder)
        self.path = f"{path}/_stages.json"
        kept = get_json(self.fs, self.path) or {"wall_s": {}, "peak_rss_mb": 0.0}
        self.wall_s: dict[str, float] = kept["wall_s"]
        self.peak_rss_mb: float = kept["peak_rss_mb"]
        self._read_at = -READ_EVERY_S

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as stage `name`, and print its start."""
        print(f"● {name}", flush=True)
        began = time.monotonic()
        try:
            yield
        finally:
            self.wall_s[name] = round(self.wall_s.get(name, 0.0) + time.monotonic() - began, 1)
            self.note_memory()
            put_json(self.fs, self.path, {"wall_s": self.wall_s, "peak_rss_mb": self.peak_rss_mb})

    def note_memory(self) -> None:
        """Read the memory in use, unless it was read in the last `READ_EVERY_S` seconds.

        Shared pages are counted once where the system reports the proportional set size.
        """
        if time.monotonic() - self._read_at < READ_EVERY_S:
            return
        self._read_at = time.monotonic()
        self.peak_rss_mb = max(self.peak_rss_mb, _family_memory_mb())

    def bar(self, name: str, total: int, done: int = 0, count_running: Callable[[], int] = lambda: 0) -> Lines:
        """Return what shows the progress of a stage: a bar on a terminal, else lines.

        Args:
            name: of the stage.
            total: its rows.
            done: rows that an earlier run has finished.
            count_running: returns how many rows are finished in batches that still run.
        """
        kind = Bar if sys.stderr.isatty() else Lines
        return kind(name, total, done, count_running)


class Lines:
    """Progress as lines on stderr: one at the start, one every `LINE_EVERY_S` seconds, one at the end.

    While no row is finished, every third of them is printed. The rate and the remaining time count from the first
    finished rows on: the time before is that of loading models.

    A thread prints them, so that a batch of minutes is not silent. Rows count when they are written, and before that
    while their batch runs: between the end of the batch and the write the number stands still.
    """

    looks_while_waiting = 3
    """Number of looks at the rows between two lines while no row is finished."""

    def __init__(self, name: str, total: int, done: int = 0, count_running: Callable[[], int] = lambda: 0) -> None:
        """Describe a stage: see `Clock.bar`."""
        self.name, self.total, self.written, self.done_before = name, total, done, done
        self.began = time.monotonic()
        self._shown, self._count_running = done, count_running
        self._first: tuple[float, int] | None = None  # when the first rows were finished, and how many
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=f"progress of {name}", daemon=True)

    def __enter__(self) -> Lines:
        self._show(self.written)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._show(self.written)

    def update(self, rows: int) -> None:
        """Count `rows` more that are written."""
        self.written += rows
        self._note_first(self.written)

    @property
    def every_s(self) -> float:
        """Seconds between two looks at the rows."""
        return LINE_EVERY_S

    def _repeat(self) -> None:
        for look in itertools.count(1):
            if self._ended.wait(self.every_s):
                return
            self._shown = max(self._shown, min(self.total, self.written + self._count_running()))
            self._note_first(self._shown)
            if self._first or look % self.looks_while_waiting == 0:
                self._show(self._shown)

    def _note_first(self, rows: int) -> None:
        if self._first is None and rows > self.done_before:
            self._first = time.monotonic(), rows

    def _show(self, rows: int) -> None:
        """Show that so many rows are finished."""
        now = time.monotonic()
        since = f" after {now - self.began:.0f} s" if now - self.began >= 1 else ""
        if self._first:
            at, before = self._first
            new = self.total - self.done_before
            since += describe_rate(rows - before, self.total - rows, now - at, least=SHARE_FOR_ESTIMATE * new)
        elif since and not self._ended.is_set():
            since += WAITING
        print(f"  {self.name}: {rows:,} of {self.total:,} rows{since}", file=sys.stderr, flush=True)


def describe_rate(rows: int, left: int, seconds: float, least: float) -> str:
    """Return the rate of `rows` in `seconds` and the time of the rows that are left; nothing for `least` rows."""
    if rows <= least:
        return ""
    rate = rows / max(seconds, 1e-3)
    return f", {rate:.3g} rows/s, about {left / rate:.0f} s to go"


class Bar(Lines):
    """Progress as a bar of tqdm."""

    looks_while_waiting = 1

    def __enter__(self) -> Lines:
        self._tqdm = tqdm(
            total=self.total,
            initial=self.done_before,
            desc=f"  {self.name}",
            unit="row",
            mininterval=0.0,
            ncols=100,
            smoothing=0.1,
        )
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._tqdm.close()

    @property
    def every_s(self) -> float:
        """Seconds between two looks at the rows."""
        return BAR_EVERY_S

    def _show(self, rows: int) -> None:
        self._tqdm.update(rows - self._tqdm.n)


def _family_memory_mb() -> float:
    process = psutil.Process()
    return sum(map(_memory, [process, *process.children(recursive=True)])) / 2**20


def _memory(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(info, "pss", 0) or info.rss)
