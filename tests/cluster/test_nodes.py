"""On three nodes: a node that disappears costs nothing but time, GPUs are free again after a pass, and what is counted is seen."""

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
from tests.cluster.nodes import BESIDE, add, lose
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def passed(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The folder, the last line and the log of `light.py`; a node was killed while the first pass was under way."""
    folder = tmp_path_factory.mktemp("light")
    command = [sys.executable, str(ROOT / "tests/cluster/light.py"), str(folder)]
    environment = os.environ | BESIDE | {"RAY_ADDRESS": cluster.address}
    with (folder / "log").open("w") as log:
        driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        end = time.monotonic() + HANG_S
        while len(list((folder / "first").glob("part-*"))) < 3 and time.monotonic() < end and driver.poll() is None:
            time.sleep(0.1)
        add(cluster, lose(cluster, folder))
        out, _ = driver.communicate(timeout=HANG_S)
    assert driver.returncode == 0, (folder / "log").read_text()[-3000:]
    return folder, json.loads(out.splitlines()[-1]), (folder / "log").read_text()


@pytest.mark.slow
def test_a_node_that_disappears_costs_no_row(passed: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, _ = passed
    ids = DatasetDir(str(folder / "first")).rows(["utt_id"], status="ok")["utt_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 160


@pytest.mark.slow
def test_gpus_are_free_again_before_training(passed: tuple[Path, dict[str, Any], str]) -> None:
    _, told, _ = passed
    assert told["gpus"] == 1


@pytest.mark.slow
def test_progress_off_a_terminal_is_lines(passed: tuple[Path, dict[str, Any], str]) -> None:
    _, _, log = passed
    assert "\r" not in log
    assert re.search(r"^  first: 0 of 160 rows$", log, re.MULTILINE)
    assert re.search(r"^  first: 160 of 160 rows, \S+ rows/s", log, re.MULTILINE)


@pytest.mark.slow
def test_what_was_made_stands_in_rays_metrics(cluster: Any, passed: tuple[Path, dict[str, Any], str]) -> None:
    wanted = {
        ("roundtrip_rows", "first"): 160.0,
        ("roundtrip_tokens", "first"): 480.0,
        ("roundtrip_audio_seconds", "second"): 160.0,
    }
    end = time.monotonic() + HANG_S
    while not wanted.items() <= (found := _metrics(cluster)).items() and time.monotonic() < end:
        time.sleep(1)  # Ray's nodes gather them every few seconds
    assert wanted.items() <= found.items()


def test_every_node_is_asked_what_it_sees_and_has_room_for(cluster: Any, tmp_path: Path) -> None:
    def told(*asked: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "factory.planning.preflight", "--round", "1", *asked]
        environment = os.environ | BESIDE | {"RAY_ADDRESS": cluster.address}
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)

    seen = told("--run", str(tmp_path / "run"))
    assert seen.returncode == 0, seen.stderr
    large = told("--run", f"file://{tmp_path}/run", "--set", "expected.parameters=1e15")
    assert large.returncode == 2
    assert large.stderr.count("disk: the training takes some 4656612.9 GiB on its node") == 3, large.stderr


def _metrics(cluster: Any) -> dict[tuple[str, str], float]:
    """Return the head's counters by name and stage."""
    url = f"http://127.0.0.1:{cluster.head_node.metrics_export_port}/metrics"
    told = urllib.request.urlopen(url, timeout=HANG_S).read().decode()
    lines = re.findall(r"^ray_(\w+?)(?:_total)?\{(.*)\} (\S+)$", told, re.MULTILINE)
    tags = [
        (name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
        for name, labels, value in lines
        if name in NAMES
    ]
    return {(name, tag["stage"]): value for name, tag, value in tags}
