"""Every process of a run on one machine listens on loopback only."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.limits import HANG_S

SCRIPT = """
import sys, tempfile
from functools import partial
from pathlib import Path
import psutil
from factory.arguments import stay_local

stay_local()

from factory.runtime.local_ray import start_ray
from trainers.launch import Workers, launch


def list_listeners(root, output):
    root = psutil.Process(root)
    for process in (root, *root.children(recursive=True)):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                print(process.name(), connection.laddr.ip, file=output.open("a"))


start_ray()
with tempfile.TemporaryDirectory() as folder:
    output = Path(folder, "listeners")
    training = partial(list_listeners, psutil.Process().pid, output)
    launch(training, work=Path(folder), workers=Workers() if sys.argv[1] == "1" else None)
    print(output.read_text())
"""


def test_ray_and_a_training_listen_on_loopback_only() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "1"], capture_output=True, text=True, timeout=HANG_S, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    listeners = [line.rsplit(" ", 1) for line in done.stdout.splitlines() if line.count(" ") and line[0] != "("]
    assert {"gcs_server", "raylet"} <= {name for name, _ in listeners}
    assert {address.removeprefix("::ffff:") for _, address in listeners} <= {"127.0.0.1", "::1"}, done.stdout
