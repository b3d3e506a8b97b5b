"""Shows the progress of a stage and its remaining time, and records the time and memory of each stage."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from tqdm import tqdm

from factory.storage.files import filesystem, get_json, put_json

READ_EVERY_S = 3.0
"""Seconds between two readings of the memory in use: one reading takes as long as one part file."""
LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where the output is no terminal: in a file, or in `ray job logs`."""


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

    def bar(self, name: str, total: int, done: int = 0) -> tqdm | Lines:
        """Return a progress bar over `total` rows (`done`: finished by an earlier run); without a terminal, lines."""
        if not sys.stderr.isatty():
            return Lines(name, total, done)
        return tqdm(total=total, initial=done, desc=f"  {name}", unit="row", mininterval=0.5, ncols=100, smoothing=0.1)


class Lines:
    """Progress as lines on stderr: one at the start, one every `LINE_EVERY_S` seconds, one at the end.

    A thread prints them, so that a batch of minutes is not silent.
    """

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self.name, self.total, self.n, self.done_before = name, total, done, done
        self.began = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=f"progress of {name}", daemon=True)

    def __enter__(self) -> Lines:
        self._print()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._print()

    def update(self, rows: int) -> None:
        """Count `rows` more."""
        self.n += rows

    def _repeat(self) -> None:
        while not self._ended.wait(LINE_EVERY_S):
            self._print()

    def _print(self) -> None:
        passed, done = time.monotonic() - self.began, self.n - self.done_before
        rate = done / max(passed, 1e-3)
        left = f", {rate:.3g} rows/s, about {max(0.0, self.total - self.n) / rate:.0f} s to go" if rate else ""
        since = f" after {passed:.0f} s" if passed >= 1 else ""
        print(f"  {self.name}: {self.n:,} of {self.total:,} rows{since}{left}", file=sys.stderr, flush=True)


def _family_memory_mb() -> float:
    process = psutil.Process()
    return sum(map(_memory, [process, *process.children(recursive=True)])) / 2**20


def _memory(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(info, "pss", 0) or info.rss)
