"""A Ray of this machine starts though the machine is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent
SLOW_ONCE = """
import os, sys, time

if any(word.endswith("dashboard/agent.py") for word in sys.orig_argv):
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
        time.sleep(40)
    except FileExistsError:
        pass
"""
"""Every Python process reads it: the first agent of a Ray comes late, as on a busy machine."""


@pytest.mark.slow
def test_a_raylet_that_did_not_wait_for_its_agent_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_ONCE.format(mark=str(tmp_path / "late")))
    script = "from factory.local_ray import start_ray; start_ray(); import ray; print(ray.cluster_resources()['CPU'])"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "RAY_raylet_start_wait_time_s": "20"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=HANG_S)
    assert told.returncode == 0, told.stderr[-3000:]
    assert (tmp_path / "late").exists() and float(told.stdout.split()[-1]) >= 4
