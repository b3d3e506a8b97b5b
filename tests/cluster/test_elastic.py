"""A training with a smallest and a largest number of workers: it continues when a node is lost, and uses a new node."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.nodes import ENVIRONMENT, NODE, add_node, nodes, remove_worker_node
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_a_training_shrinks_and_grows_with_the_cluster(tmp_path: Path) -> None:
    with nodes(NODE | {"num_cpus": 1}, NODE, NODE) as cluster, (tmp_path / "log").open("w") as log:
        environment = os.environ | ENVIRONMENT | {"RAY_ADDRESS": cluster.address}
        command = [sys.executable, str(ROOT / "tests/cluster/elastic.py"), str(tmp_path)]
        driver = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        wait_for_sizes(tmp_path, [2], driver)
        shape = remove_worker_node(cluster, tmp_path)
        wait_for_sizes(tmp_path, [2, 1], driver)
        add_node(cluster, shape)
        (tmp_path / "end").touch()
        assert driver.wait(timeout=HANG_S) == 0, (tmp_path / "log").read_text()[-3000:]
    assert read_sizes(tmp_path) == [2, 1, 2]


def read_sizes(folder: Path) -> list[int]:
    """Return the number of workers at each start."""
    return [int(line) for line in (folder / "sizes").read_text().split()] if (folder / "sizes").exists() else []


def wait_for_sizes(folder: Path, sizes: list[int], driver: subprocess.Popen[bytes]) -> None:
    """Wait until the workers have started this often, with these numbers."""
    end = time.monotonic() + HANG_S
    while read_sizes(folder) != sizes and time.monotonic() < end and driver.poll() is None:
        time.sleep(0.2)
    assert read_sizes(folder) == sizes, (folder / "log").read_text()[-3000:]
