"""What resuming costs at many light rows: `python benchmarks/chaos.py --bookkeeping 100000`."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from chaos_world import POOL, ToyEncoder, corpus

from factory.passes.execute import map_actor
from factory.runtime.local_ray import start_here
from factory.storage import lease
from factory.storage.dataset import DatasetDir
from factory.storage.ids import exclude_ids
from schemas.datasets import UNITS

BLOCK, FILE, CONTENT = 64, 5_000, {"stage": "light"}
ROW_S = 0.001
"""Seconds that a row's work takes: a hundredth of what the fastest real stage takes."""


def measure(rows: int) -> dict[str, Any]:
    """Write `rows` light rows as a pass does, then time everything that resuming and publishing adds when all of them are done."""
    import ray

    start_here(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    table = corpus(rows)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "source"), DatasetDir(f"{folder}/out", UNITS)
        source.mkdir()
        for start in range(0, rows, FILE):
            pq.write_table(table.slice(start, FILE), source / f"{start:09}.parquet")
        began = time.monotonic()
        out.start(CONTENT)
        read = out.unfinished(ray.data.read_parquet(str(source)), BLOCK)
        written = sum(report.rows for report in out.write(map_actor(read, partial(ToyEncoder, row_s=ROW_S), POOL)))
        pass_s = time.monotonic() - began
        ray.shutdown()
        assert written == rows
        costs, memory = _bookkeeping(out, table)
    total = sum(costs.values())
    told = {
        "rows": rows,
        "pass_s": round(pass_s, 1),
        "bookkeeping_s": round(total, 2),
        "share": round(total / pass_s, 4),
    }
    return (
        told | {name: round(seconds, 2) for name, seconds in costs.items()} | {"bytes_a_row_done": round(memory / rows)}
    )


def _filtered(leave_out: Callable[[pa.Table], pa.Table], file: pa.Table) -> list[pa.Table]:
    return [leave_out(file.slice(start, BLOCK)) for start in range(0, file.num_rows, BLOCK)]


def _bookkeeping(out: DatasetDir, table: pa.Table) -> tuple[dict[str, float], int]:
    """Return the seconds of each part of the bookkeeping, and the bytes that the ids of what is done take."""
    costs: dict[str, float] = {}

    def timed(name: str, act: Callable[[], Any]) -> Any:
        began = time.monotonic()
        value = act()
        costs[name] = time.monotonic() - began
        return value

    timed("start", lambda: out.start(CONTENT))
    before = psutil.Process().memory_info().rss
    done = timed("done_ids", out.done_ids)
    memory = psutil.Process().memory_info().rss - before
    files = [table.slice(start, FILE) for start in range(0, table.num_rows, FILE)]
    filters = timed("plan", lambda: pickle.dumps(partial(exclude_ids, key="utt_id", ids=frozenset(done))))
    timed(
        "leave_out", lambda: [_filtered(pickle.loads(filters), file) for file in files]
    )  # a task gets its own copy, and a file
    timed("lease", lambda: [lease.check(out.fs, out.path, lease.current(out.path).token) for _ in out.parts()])
    timed("publish", lambda: out.publish(table["utt_id"].to_pylist()))
    return costs, memory
