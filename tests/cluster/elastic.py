"""A training of one or two workers on the cluster that RAY_ADDRESS names: `python tests/cluster/elastic.py FOLDER`.

Each start of the workers writes their number as a line to FOLDER/sizes. The training ends when there are two workers
and the file FOLDER/end exists.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from factory.recipe.resources import PoolConfig  # noqa: E402
from factory.runtime.local_ray import start_ray  # noqa: E402
from tests.cluster.nodes import write_own_node  # noqa: E402


def train(folder: Path) -> None:
    """Write the number of workers, and wait for the end."""
    from trainers.launch import pulse
    from trainers.workers import rank, world_size

    if rank() == 0:
        with (folder / "sizes").open("a") as sizes:
            print(world_size(), file=sizes)
    while not ((folder / "end").exists() and world_size() == 2):
        time.sleep(0.2)
        pulse(folder)


def main() -> None:
    """Train with one worker or two."""
    import ray.train

    from trainers.launch import Workers, launch

    # Ray Train looks for new nodes every minute
    ray.train.ScalingConfig = partial(ray.train.ScalingConfig, elastic_resize_monitor_interval_s=2.0)  # type: ignore
    folder = Path(sys.argv[1]).absolute()
    start_ray()
    write_own_node(folder)
    launch(partial(train, folder), work=folder, workers=Workers(PoolConfig(max_actors=2, num_cpus=1.5)))


if __name__ == "__main__":
    main()
