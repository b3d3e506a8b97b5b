"""On three nodes: a node that disappears costs only time, GPUs are free after a pass, and Ray serves the counters."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from factory.runtime.counters import NAMES
from factory.storage.dataset import DatasetDir
from tests.cluster.nodes import ENVIRONMENT, add_node, remove_worker_node
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def light_run(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The folder, the last line and the log of `light.py`; a node was killed during the first pass."""
    folder = tmp_path_factory.mktemp("light")
    command = [sys.executable, str(ROOT / "tests/cluster/light.py"), str(folder)]
    environment = os.environ | ENVIRONMENT | {"RAY_ADDRESS": cluster.address}
    with (folder / "log").open("w") as log:
        driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        end = time.monotonic() + HANG_S
        while len(list((folder / "first").glob("part-*"))) < 3 and time.monotonic() < end and driver.poll() is None:
            time.sleep(0.1)
        add_node(cluster, remove_worker_node(cluster, folder))
        out, _ = driver.communicate(timeout=HANG_S)
    assert driver.returncode == 0, (folder / "log").read_text()[-3000:]
    return folder, json.loads(out.splitlines()[-1]), (folder / "log").read_text()


@pytest.mark.slow
def test_a_node_that_disappears_costs_no_row(light_run: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, _ = light_run
    ids = DatasetDir(str(folder / "first")).rows(["utt_id"], status="ok")["utt_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 160


@pytest.mark.slow
def test_gpus_are_free_again_before_training(light_run: tuple[Path, dict[str, Any], str]) -> None:
    _, result, _ = light_run
    assert result["gpus"] == 1


@pytest.mark.slow
def test_progress_off_a_terminal_is_lines(light_run: tuple[Path, dict[str, Any], str]) -> None:
    _, _, log = light_run
    assert "\r" not in log
    assert re.search(r"^  first: 0 of 160 rows$", log, re.MULTILINE)
    assert re.search(r"^  first: 160 of 160 rows after \d+ s, \S+ rows/s", log, re.MULTILINE)


@pytest.mark.slow
def test_ray_serves_the_counters_of_all_stages(cluster: Any, light_run: tuple[Path, dict[str, Any], str]) -> None:
    expected = {
        ("roundtrip_rows", "first"): 160.0,
        ("roundtrip_tokens", "first"): 480.0,
        ("roundtrip_audio_seconds", "second"): 160.0,
    }
    end = time.monotonic() + HANG_S
    while not expected.items() <= (metrics := read_counters(cluster)).items() and time.monotonic() < end:
        time.sleep(1)  # Ray's nodes collect them every few seconds
    assert expected.items() <= metrics.items()


def test_preflight_checks_every_node(cluster: Any, tmp_path: Path) -> None:
    def preflight(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "factory.planning.preflight", "--round", "1", *options]
        environment = os.environ | ENVIRONMENT | {"RAY_ADDRESS": cluster.address}
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)

    small = preflight("--run", str(tmp_path / "run"))
    assert small.returncode == 0, small.stderr
    large = preflight("--run", f"file://{tmp_path}/run", "--set", "expected.parameters=1e15")
    assert large.returncode == 2
    assert len(re.findall(r"^.*disk: .* 4656612\.9 GiB .*$", large.stderr, re.MULTILINE)) == 3, large.stderr


def read_counters(cluster: Any) -> dict[tuple[str, str], float]:
    """Return the head's counters by name and stage."""
    url = f"http://127.0.0.1:{cluster.head_node.metrics_export_port}/metrics"
    text = urllib.request.urlopen(url, timeout=HANG_S).read().decode()
    lines = re.findall(r"^ray_(\w+?)(?:_total)?\{(.*)\} (\S+)$", text, re.MULTILINE)
    tags = [
        (name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
        for name, labels, value in lines
        if name in NAMES
    ]
    return {(name, tag["stage"]): value for name, tag, value in tags}
