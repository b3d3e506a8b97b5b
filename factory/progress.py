"""Shows how far a stage is and how long it will take, and keeps what each stage took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from tqdm import tqdm

from factory.files import filesystem, get_json, put_json

READ_EVERY_S = 3.0


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

    def bar(self, name: str, total: int, done: int = 0) -> tqdm:
        """Return a progress bar over `total` rows, `done` of which an earlier run has finished."""
        quiet = not sys.stderr.isatty()
        return tqdm(total=total, initial=done, desc=f"  {name}", unit="row", mininterval=10 if quiet else 0.5, ncols=100, smoothing=0.1)


def _family_memory_mb() -> float:
    process = psutil.Process()
    return sum(map(_memory, [process, *process.children(recursive=True)])) / 2**20


def _memory(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(info, "pss", 0) or info.rss)
