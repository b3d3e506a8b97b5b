"""Does memory stay flat when a corpus grows? The real tokenize pass over light rows, with an encoder that only looks at an id.

    python benchmarks/scale.py [--rows 1000 100000] [--layout tar|parquet|folder]

A light row has 0.1 s of audio (3.2 kB of WAV). Each size is a process of its own with a Ray of its own: a corpus is
written to a scratch folder and goes through `open_corpus`, `unfinished`, a guarded pool of two actors, part files and
`publish`. Twice a second the memory that only this process has (USS) is read, of the driver and of all that Ray started
for it; what lies in Ray's object store is shared and bounded by its size, so it is not counted. The last line is JSON:
`memory_ratio` is the peak of driver and workers together at the last size over that at the first, `rows_per_s` the rate
of the last, from the opening of the corpus to the manifest.
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
    """Gives every row the same eight units; its audio has come all the way and is counted."""

    schema = UNITS

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with units, and the bytes of their audio as their number of samples."""
        return [
            row | {"units": list(range(8)), "durations": [1] * 8, "num_samples": _size(row["audio"])} for row in rows
        ]


def _size(audio: Row) -> int:
    return len(audio["bytes"] or Path(audio["path"]).read_bytes())


def write_corpus(place: Path, rows: int, layout: str) -> None:
    """Write light rows in shards of a thousand; in a folder, each is a file."""
    sound = encode(np.sin(np.arange(1_600) / 5).astype(np.float32) * 0.3, "WAV")
    place.mkdir(parents=True)
    for start in range(0, rows, SHARD):
        names = [f"u{number:07d}" for number in range(start, min(start + SHARD, rows))]
        _WRITE[layout](place / f"{start:09d}", names, sound)


def _tar(place: Path, names: list[str], sound: bytes) -> None:
    with tarfile.open(f"{place}.tar", "w") as archive:
        for name in names:
            for kind, content in (("json", b'{"lang": "fr"}'), ("wav", sound)):
                member = tarfile.TarInfo(f"{name}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _parquet(place: Path, names: list[str], sound: bytes) -> None:
    rows = [{"utt_id": name, "lang": "fr", "audio": {"bytes": sound, "path": None}} for name in names]
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), f"{place}.parquet", row_group_size=100)


def _folder(place: Path, names: list[str], sound: bytes) -> None:
    folder = place.parent / "fr"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.wav").write_bytes(sound)


_WRITE = {"tar": _tar, "parquet": _parquet, "folder": _folder}


class Memory:
    """Peaks (MB) of the memory that the driver, all its descendants, and the largest of them have for themselves."""

    def __init__(self) -> None:
        self.peaks = {"driver_mb": 0.0, "workers_mb": 0.0, "largest_worker_mb": 0.0, "together_mb": 0.0}
        self.over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            mine = psutil.Process()
            workers = [_own(process) for process in mine.children(recursive=True) if _works(process)]
            now = {"driver_mb": _own(mine), "workers_mb": sum(workers), "largest_worker_mb": max(workers, default=0.0)}
            now["together_mb"] = now["driver_mb"] + now["workers_mb"]
            self.peaks = {name: max(peak, now[name]) for name, peak in self.peaks.items()}


def _own(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().uss / 2**20
    except psutil.Error:
        return 0.0


def _works(process: psutil.Process) -> bool:
    """Whether a process is a worker or an actor's child, and not one of Ray's servants."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "ray::" in command or "factory.actors.child" in command


def one(rows: int, layout: str) -> dict[str, Any]:
    """Run the pass over so many rows; returns its rate and the peaks."""
    with tempfile.TemporaryDirectory() as scratch:
        write_corpus(Path(scratch, "corpus"), rows, layout)
        start_ray()
        memory, began, clock = Memory(), time.monotonic(), Clock(f"{scratch}/run")
        out = DatasetDir(f"{scratch}/run/units", UNITS)
        speech = open_corpus(f"{scratch}/corpus").load_speech()
        opened = time.monotonic() - began
        out.start({"stage": "scale", "corpus": speech.digest})
        read = map_actor(out.unfinished(speech.rows), partial(LightEncoder), RESOURCES.encoder)
        run_plan(read, out, speech.ids, clock, f"{rows} rows", RESOURCES, ["encoder"])
        seconds = time.monotonic() - began
        memory.over.set()
        assert out.manifest().rows == rows
    told = {
        "rows": rows,
        "seconds": round(seconds, 1),
        "opened_s": round(opened, 1),
        "rows_per_s": round(rows / seconds, 1),
    }
    return told | {name: round(peak) for name, peak in memory.peaks.items()}


def main() -> None:
    """Measure each size in a process of its own, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000, 100_000], help="the sizes (default: 1000 100000)"
    )
    parser.add_argument(
        "--layout", choices=_WRITE, default="tar", help="how the corpus lies there (default: %(default)s)"
    )
    asked = parser.parse_args()
    if len(asked.rows) == 1:
        print(json.dumps(one(asked.rows[0], asked.layout)))
        return
    runs = []
    for rows in asked.rows:
        command = [sys.executable, __file__, "--rows", str(rows), "--layout", asked.layout]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(json.loads(told.stdout.splitlines()[-1]))
        print(runs[-1], flush=True)
    ratio = runs[-1]["together_mb"] / runs[0]["together_mb"]
    print(
        json.dumps(
            {
                "memory_ratio": round(ratio, 3),
                "rows_per_s": runs[-1]["rows_per_s"],
                "layout": asked.layout,
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    import scale  # by its own name, so that actors' processes find the encoder

    scale.main()
