"""The simulation of produce: several waiting actors in one process are as fast as actors in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent
PROFILE = "{translator: 0.05, vocoder: 0.05, scorer: 0.03}"


@pytest.mark.slow
def test_the_actors_of_a_crew_keep_the_rate_of_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text(PROFILE)
    command = [sys.executable, "benchmarks/simulate.py", "--gpus", "1", "3", "--rows", "48", "--crew", "4"]
    command += ["--slower", "4", "--profile", str(tmp_path / "profile.yaml")]
    command += ["--set", "resources.translator.batch_size=16"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    one, three = summary["runs"]
    assert three["pools"] == {"translator": 3, "vocoder": 4, "scorer": 2}
    assert one["rows_per_s"] < 1 / 0.2, "one GPU is not faster than its translator"
    assert three["rows_per_s"] > 1.2 * one["rows_per_s"], "three GPUs are faster than three translators in turns"
    assert all(0 <= share < 1 for run in summary["runs"] for share in run["idle"].values())
