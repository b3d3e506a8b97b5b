"""Measure the cost of resuming with many light rows: `python benchmarks/chaos.py --bookkeeping 100000`."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from chaos_world import POOL, ToyEncoder, make_corpus

from factory.passes.execute import map_actor
from factory.runtime.local_ray import start_here
from factory.storage import lease
from factory.storage.dataset import DatasetDir
from factory.storage.ids import exclude_ids
from schemas.datasets import UNITS, Row

Result = TypeVar("Result")

BLOCK, FILE, CONTENT = 64, 5_000, {"stage": "light"}
ROW_S = 0.001
"""Seconds of work per row: a hundredth of the fastest real stage."""


def measure(rows: int) -> Row:
    """Write `rows` light rows as a pass does, then time the steps of resuming and publishing with all rows done."""
    import ray

    start_here(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    table = make_corpus(rows)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "source"), DatasetDir(f"{folder}/out", UNITS)
        source.mkdir()
        for start in range(0, rows, FILE):
            pq.write_table(table.slice(start, FILE), source / f"{start:09}.parquet")
        start_s = time.monotonic()
        out.start(CONTENT)
        read = out.unfinished(ray.data.read_parquet(str(source)), BLOCK)
        written = sum(report.rows for report in out.write(map_actor(read, partial(ToyEncoder, row_s=ROW_S), POOL)))
        pass_s = time.monotonic() - start_s
        ray.shutdown()
        assert written == rows
        seconds, memory = _time_bookkeeping(out, table)
    total = sum(seconds.values())
    return {
        "rows": rows,
        "pass_s": round(pass_s, 1),
        "bookkeeping_s": round(total, 2),
        "share": round(total / pass_s, 4),
        **{name: round(value, 2) for name, value in seconds.items()},
        "bytes_a_row_done": round(memory / rows),
    }


def _filter_blocks(exclude: Callable[[pa.Table], pa.Table], file: pa.Table) -> list[pa.Table]:
    return [exclude(file.slice(start, BLOCK)) for start in range(0, file.num_rows, BLOCK)]


def _time_bookkeeping(out: DatasetDir, table: pa.Table) -> tuple[dict[str, float], int]:
    """Return the seconds of each step of the bookkeeping, and the bytes of the ids of finished rows."""
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Result]) -> Result:
        """Run a step, note its seconds, and return its result."""
        start_s = time.monotonic()
        result = step()
        seconds[name] = time.monotonic() - start_s
        return result

    timed("start", lambda: out.start(CONTENT))
    before = psutil.Process().memory_info().rss
    done = timed("done_ids", out.done_ids)
    memory = psutil.Process().memory_info().rss - before
    files = [table.slice(start, FILE) for start in range(0, table.num_rows, FILE)]
    filters = timed("plan", lambda: pickle.dumps(partial(exclude_ids, key="utt_id", ids=frozenset(done))))
    # each task gets a copy of the filter, and a file
    timed("leave_out", lambda: [_filter_blocks(pickle.loads(filters), file) for file in files])
    timed("lease", lambda: _check_lease(out))
    timed("publish", lambda: out.publish(table["utt_id"].to_pylist()))
    return seconds, memory


def _check_lease(out: DatasetDir) -> None:
    """Check the lease as often as the writers of all part files do."""
    mine = lease.current(out.path)
    assert mine is not None
    for _ in out.parts():
        lease.check(out.fs, out.path, mine.token)
