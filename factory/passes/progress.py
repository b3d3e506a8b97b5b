"""Shows how far a stage is and how long it will take, and keeps what each stage took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from tqdm import tqdm

from factory.storage.files import filesystem, get_json, put_json

READ_EVERY_S = 3.0
LINE_EVERY_S = 10.0
"""Seconds between two lines of progress where nobody sits before a terminal: in a file, or in what `ray job logs` shows."""


class Clock:
    """Wall time of each stage (s) and the peak memory of this process and all its descendants, Ray's workers among them (MB).

    Both are kept in `place/_stages.json` after each stage, so that a round that was killed and run again counts all its attempts.
    """

    def __init__(self, place: str) -> None:
        self.fs, folder = filesystem(place)
        self.path = f"{folder}/_stages.json"
        kept = get_json(self.fs, self.path) or {"wall_s": {}, "peak_rss_mb": 0.0}
        self.wall_s: dict[str, float] = kept["wall_s"]
        self.peak_rss_mb: float = kept["peak_rss_mb"]
        self._read_at = -READ_EVERY_S

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as stage `name` and say that it began."""
        print(f"● {name}", flush=True)
        began = time.monotonic()
        try:
            yield
        finally:
            self.wall_s[name] = round(self.wall_s.get(name, 0.0) + time.monotonic() - began, 1)
            self.note_memory()
            put_json(self.fs, self.path, {"wall_s": self.wall_s, "peak_rss_mb": self.peak_rss_mb})

    def note_memory(self) -> None:
        """Take a reading of the memory in use, unless there was one in the last `READ_EVERY_S` seconds: it takes as long as a part file.

        Shared pages are counted once (proportional set size where the system tells it).
        """
        if time.monotonic() - self._read_at < READ_EVERY_S:
            return
        self._read_at = time.monotonic()
        self.peak_rss_mb = max(self.peak_rss_mb, _family_memory_mb())

    def bar(self, name: str, total: int, done: int = 0) -> tqdm | Lines:
        """Return a progress bar over `total` rows, `done` of which an earlier run has finished; off a terminal it writes lines."""
        if not sys.stderr.isatty():
            return Lines(name, total, done)
        return tqdm(total=total, initial=done, desc=f"  {name}", unit="row", mininterval=0.5, ncols=100, smoothing=0.1)


class Lines:
    """Progress as whole lines on stderr: one at the start, one every `LINE_EVERY_S` seconds, one at the end."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self.name, self.total, self.n, self.first = name, total, done, done
        self.began = self.told = time.monotonic()

    def __enter__(self) -> Lines:
        self._tell()
        return self

    def __exit__(self, *_: object) -> None:
        self._tell()

    def update(self, rows: int) -> None:
        """Count `rows` more."""
        self.n += rows
        if time.monotonic() - self.told >= LINE_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self.told = time.monotonic()
        rate = (self.n - self.first) / max(self.told - self.began, 1e-3)
        left = f", {rate:.3g} rows/s, {max(0.0, self.total - self.n) / rate:.0f} s to go" if rate else ""
        print(f"  {self.name}: {self.n:,} of {self.total:,} rows{left}", file=sys.stderr, flush=True)


def _family_memory_mb() -> float:
    process = psutil.Process()
    return sum(map(_memory, [process, *process.children(recursive=True)])) / 2**20


def _memory(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(info, "pss", 0) or info.rss)
