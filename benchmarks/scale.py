"""Measure if memory grows with the corpus: the real tokenize pass over light rows, with an encoder without a model.

    python benchmarks/scale.py [--rows 1000 100000] [--layout tar|parquet|folder]

A light row has 0.1 s of audio (3.2 kB of WAV). Each size runs in a process of its own with a Ray of its own: a corpus
is written to a temporary folder and goes through `open_corpus`, `unfinished`, a guarded pool of two actors, part files
and `publish`. The unique memory (USS) of the driver and of the workers is read twice per second. Ray's object store is
shared and has a fixed size, so it is not counted. The last line is JSON: `memory_ratio` is the peak of driver and
workers together at the last size divided by the peak at the first size; `rows_per_s` is the rate of the last size,
from the opening of the corpus to the manifest.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH")])
)

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from factory.actors.base import RowActor  # noqa: E402
from factory.corpora.audio import encode  # noqa: E402
from factory.corpora.opening import open_corpus  # noqa: E402
from factory.passes.execute import map_actor, run_plan  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.recipe.resources import PoolConfig, ResourcesConfig  # noqa: E402
from factory.runtime.local_ray import start_ray  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import UNITS, UTTERANCE, Row  # noqa: E402

SHARD = 1_000
RESOURCES = ResourcesConfig(encoder=PoolConfig(actors=2, num_cpus=0.5, batch_size=64))


class LightEncoder(RowActor):
    """Gives the same eight units to every row."""

    schema = UNITS

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with units; `num_samples` is the size of the audio in bytes, so the audio must arrive."""
        return [
            row | {"units": list(range(8)), "durations": [1] * 8, "num_samples": _count_bytes(row["audio"])}
            for row in rows
        ]


def _count_bytes(audio: Row) -> int:
    return len(audio["bytes"] or Path(audio["path"]).read_bytes())


def write_corpus(folder: Path, rows: int, layout: str) -> None:
    """Write light rows in shards of a thousand; the layout `folder` has a file per row.

    Args:
        folder: the folder of the corpus.
        rows: the number of rows.
        layout: a key of WRITERS.
    """
    sound = encode(np.sin(np.arange(1_600) / 5).astype(np.float32) * 0.3, "WAV")
    folder.mkdir(parents=True)
    for start in range(0, rows, SHARD):
        names = [f"u{number:07d}" for number in range(start, min(start + SHARD, rows))]
        WRITERS[layout](folder / f"{start:09d}", names, sound)


def _write_tar(path: Path, names: list[str], sound: bytes) -> None:
    with tarfile.open(f"{path}.tar", "w") as archive:
        for name in names:
            for kind, content in (("json", b'{"lang": "fr"}'), ("wav", sound)):
                member = tarfile.TarInfo(f"{name}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _write_parquet(path: Path, names: list[str], sound: bytes) -> None:
    rows = [{"utt_id": name, "lang": "fr", "audio": {"bytes": sound, "path": None}} for name in names]
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), f"{path}.parquet", row_group_size=100)


def _write_folder(path: Path, names: list[str], sound: bytes) -> None:
    folder = path.parent / "fr"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.wav").write_bytes(sound)


WRITERS = {"tar": _write_tar, "parquet": _write_parquet, "folder": _write_folder}


class Memory:
    """Peaks of the unique memory (MiB) of the driver, all workers, the largest worker, and driver and workers."""

    def __init__(self) -> None:
        self.peaks = {"driver_mb": 0.0, "workers_mb": 0.0, "largest_worker_mb": 0.0, "together_mb": 0.0}
        self.stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.stopped.wait(0.5):
            driver = psutil.Process()
            workers = [_unique_mb(process) for process in driver.children(recursive=True) if _is_worker(process)]
            now = {
                "driver_mb": _unique_mb(driver),
                "workers_mb": sum(workers),
                "largest_worker_mb": max(workers, default=0.0),
            }
            now["together_mb"] = now["driver_mb"] + now["workers_mb"]
            self.peaks = {name: max(peak, now[name]) for name, peak in self.peaks.items()}


def _unique_mb(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().uss / 2**20
    except psutil.Error:
        return 0.0


def _is_worker(process: psutil.Process) -> bool:
    """Return whether a process is a Ray worker or an actor's child, not a server of Ray."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "ray::" in command or "factory.actors.child" in command


def measure(rows: int, layout: str) -> dict[str, Any]:
    """Run the pass over `rows` rows, and return its rate and the peaks of memory."""
    with tempfile.TemporaryDirectory() as scratch:
        write_corpus(Path(scratch, "corpus"), rows, layout)
        start_ray()
        memory, start, clock = Memory(), time.monotonic(), Clock(f"{scratch}/run")
        out = DatasetDir(f"{scratch}/run/units", UNITS)
        speech = open_corpus(f"{scratch}/corpus").load_speech()
        opened = time.monotonic() - start
        out.start({"stage": "scale", "corpus": speech.digest})
        encoded = map_actor(out.unfinished(speech.rows), partial(LightEncoder), RESOURCES.encoder)
        run_plan(encoded, out, speech.ids, clock, f"{rows} rows", RESOURCES, ["encoder"])
        seconds = time.monotonic() - start
        memory.stopped.set()
        assert out.manifest().rows == rows
    figures = {
        "rows": rows,
        "seconds": round(seconds, 1),
        "opened_s": round(opened, 1),
        "rows_per_s": round(rows / seconds, 1),
    }
    return figures | {name: round(peak) for name, peak in memory.peaks.items()}


def main() -> None:
    """Measure each size in a process of its own, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000, 100_000], help="the sizes (default: 1000 100000)"
    )
    parser.add_argument("--layout", choices=WRITERS, default="tar", help="format of the corpus (default: %(default)s)")
    options = parser.parse_args()
    if len(options.rows) == 1:
        print(json.dumps(measure(options.rows[0], options.layout)))
        return
    runs = []
    for rows in options.rows:
        command = [sys.executable, __file__, "--rows", str(rows), "--layout", options.layout]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        print(runs[-1], flush=True)
    ratio = runs[-1]["together_mb"] / runs[0]["together_mb"]
    print(
        json.dumps(
            {
                "memory_ratio": round(ratio, 3),
                "rows_per_s": runs[-1]["rows_per_s"],
                "layout": options.layout,
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    import scale  # not as `__main__`: the processes of actors import the encoder by name

    scale.main()
