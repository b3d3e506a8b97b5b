"""Two light passes and a training on the cluster that RAY_ADDRESS names: `python tests/cluster/light.py FOLDER`.

The last line of the output is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import pyarrow as pa  # noqa: E402
import ray  # noqa: E402

from factory.actors.base import RowActor  # noqa: E402
from factory.passes.execute import map_actor, run_plan  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.recipe.resources import PoolConfig, ResourcesConfig  # noqa: E402
from factory.runtime.local_ray import start_ray  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import UNITS, Row  # noqa: E402
from tests.cluster.nodes import write_own_node  # noqa: E402
from tests.limits import HANG_S  # noqa: E402

ROWS = 160
RESOURCES = ResourcesConfig(
    encoder=PoolConfig(actors=2, max_actors=3, num_cpus=1.5, memory_gib=0.1, batch_size=4),
    translator=PoolConfig(num_cpus=0.5, num_gpus=1, accelerator="T4", batch_size=16),
)


class Light(RowActor):
    """Gives each row units, `row_s` seconds per row."""

    schema = UNITS

    def __init__(self, row_s: float) -> None:
        self.row_s = row_s

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with units."""
        time.sleep(self.row_s * len(rows))
        return [row | {"units": [1, 2, 3], "durations": [10, 20, 20]} for row in rows]


def run_pass(out: DatasetDir, pool: str, row_s: float, clock: Clock) -> None:
    """Run a pass on the pool of that name."""
    ids, name = [f"u{number:03}" for number in range(ROWS)], out.uri.rpartition("/")[2]
    table = pa.Table.from_pylist([{"utt_id": utt_id, "lang": "fr", "status": "ok"} for utt_id in ids], schema=UNITS)
    out.start({"stage": name})
    unfinished = out.unfinished(ray.data.from_arrow(table), rows_per_block=8)
    rows = map_actor(unfinished, partial(Light, row_s=row_s), getattr(RESOURCES, pool))
    run_plan(rows, out, ids, clock, name, RESOURCES, [pool])


def write_gpus(file: Path) -> None:
    """Write the number of GPUs that Ray has given to this worker."""
    file.write_text(str(len(ray.get_gpu_ids())))


def main() -> None:
    """Run both passes and the training, and print the number of GPUs of the training."""
    from trainers.launch import Workers, launch

    folder = Path(sys.argv[1]).absolute()
    start_ray()
    write_own_node(folder)
    clock = Clock(str(folder))
    run_pass(DatasetDir(f"{folder}/first", UNITS), "encoder", 0.1, clock)
    run_pass(DatasetDir(f"{folder}/second", UNITS), "translator", 0.0, clock)
    (folder / "work").mkdir()
    workers = Workers(PoolConfig(num_cpus=0.5, num_gpus=1, accelerator="T4"), stall_s=HANG_S)
    launch(partial(write_gpus, folder / "gpus"), work=folder / "work", workers=workers)
    print(json.dumps({"gpus": int((folder / "gpus").read_text())}))


if __name__ == "__main__":
    main()
