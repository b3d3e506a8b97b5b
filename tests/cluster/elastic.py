"""A training that takes what room there is, on the cluster that RAY_ADDRESS names: `python tests/cluster/elastic.py FOLDER`.

Each start of its workers is a line in FOLDER/sizes: how many there were. It ends when two workers have seen the file `end`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from factory.recipe.sections import PoolConfig  # noqa: E402
from factory.runtime.local_ray import start_ray  # noqa: E402
from tests.cluster.nodes import note_own_node  # noqa: E402


def wait(config: dict[str, Any]) -> None:
    """Note how many workers there are, and wait to be told to end."""
    from trainers.launch import pulse
    from trainers.workers import rank, world_size

    if rank() == 0:
        with (config["folder"] / "sizes").open("a") as sizes:
            print(world_size(), file=sizes)
    while not ((config["folder"] / "end").exists() and world_size() == 2):
        time.sleep(0.2)
        pulse(config["folder"])


def main() -> None:
    """Train with one worker or two."""
    from trainers.launch import launch

    folder = Path(sys.argv[1]).absolute()
    start_ray()
    note_own_node(folder)
    launch(wait, {"folder": folder}, work=folder, pool=PoolConfig(max_actors=2, num_cpus=1.5))


if __name__ == "__main__":
    main()
