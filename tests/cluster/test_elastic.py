"""A training with a least and a most of workers: what is left goes on when a node is lost, and a new node is used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.nodes import BESIDE, NODE, add, lose, nodes
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_a_training_shrinks_and_grows_with_the_cluster(tmp_path: Path) -> None:
    with nodes(NODE | {"num_cpus": 1}, NODE, NODE) as cluster, (tmp_path / "log").open("w") as log:
        environment = os.environ | BESIDE | {"RAY_ADDRESS": cluster.address}
        command = [sys.executable, str(ROOT / "tests/cluster/elastic.py"), str(tmp_path)]
        driver = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        _await(tmp_path, [2], driver)
        shape = lose(cluster, tmp_path)
        _await(tmp_path, [2, 1], driver)
        add(cluster, shape)
        (tmp_path / "end").touch()
        assert driver.wait(timeout=HANG_S) == 0, (tmp_path / "log").read_text()[-3000:]
    assert _sizes(tmp_path) == [2, 1, 2]


def _sizes(folder: Path) -> list[int]:
    """Return how many workers there were at each start."""
    return [int(line) for line in (folder / "sizes").read_text().split()] if (folder / "sizes").exists() else []


def _await(folder: Path, sizes: list[int], driver: subprocess.Popen[bytes]) -> None:
    """Wait until the workers have started so often, and with these numbers."""
    end = time.monotonic() + HANG_S
    while _sizes(folder) != sizes and time.monotonic() < end and driver.poll() is None:
        time.sleep(0.2)
    assert _sizes(folder) == sizes, (folder / "log").read_text()[-3000:]
