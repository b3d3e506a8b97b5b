"""One writer a folder: refused while the other is alive, taken over when it is dead, on a disk and in an object store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from factory.storage import lease
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import StoreError
from schemas.datasets import UNITS
from tests.limits import HANG_S

DISK = pafs.LocalFileSystem()
HOLD = """
import sys, time
from factory.storage.dataset import DatasetDir
out = DatasetDir(sys.argv[1])
out.start({"stage": "toy"})
print("held", flush=True)
time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that writes the folder, and wait until it does."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def elsewhere(folder: Path, **changes: object) -> None:
    """Make the lease look like that of a process on another machine."""
    path = folder / lease.NAME
    path.write_text(
        json.dumps(
            json.loads(path.read_text()) | {"machine": "boot-of-another", "host": "node-7", "token": "t"} | changes
        )
    )


def test_the_second_run_is_refused_while_the_first_is_alive_and_takes_over_when_it_is_dead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, out = holder(tmp_path), DatasetDir(str(tmp_path), UNITS)
    with pytest.raises(StoreError, match=f"is being written by another run \\(process {first.pid} on .*, since 20"):
        out.start({"stage": "toy"})
    first.send_signal(signal.SIGSTOP)  # stopped is not dead
    with pytest.raises(StoreError, match="is being written by another run"):
        out.start({"stage": "toy"})
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    assert out.start({"stage": "toy"})  # a zombie, which nobody has waited for, is dead
    assert "waiting" not in caplog.text
    first.wait()
    out.publish()
    assert not (tmp_path / lease.NAME).exists()


def test_a_writer_that_was_taken_over_writes_and_publishes_no_more(tmp_path: Path) -> None:
    out = DatasetDir(str(tmp_path), UNITS)
    out.start({"stage": "toy"})
    rows = UNITS.empty_table()
    elsewhere(tmp_path)
    for act in (lambda: out.append(rows), out.publish):
        with pytest.raises(
            StoreError, match="was taken over from this run, which writes no more .*process .* on node-7"
        ):
            act()
    assert not out.is_finished() and not out.parts()


def test_an_owner_on_another_machine_is_judged_by_its_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "PATIENCE_S", 1.5)
    lease.take(DISK, str(tmp_path)).release()
    first = lease.take(DISK, str(tmp_path))
    elsewhere(tmp_path)
    second = lease.take(DISK, str(tmp_path))  # it did not beat
    assert second.token != first.token
    elsewhere(tmp_path)
    assert "waiting 1.5 s for a sign of life" in caplog.text
    monkeypatch.setattr(lease, "PATIENCE_S", HANG_S)
    beats = subprocess.Popen([sys.executable, "-c", BEATS, str(tmp_path / lease.NAME)])
    try:
        with pytest.raises(StoreError, match="on node-7"):
            lease.take(DISK, str(tmp_path))
    finally:
        beats.kill()
        beats.wait()


BEATS = """
import itertools, json, os, sys, time
path = sys.argv[1]
for beat in itertools.count():
    told = json.load(open(path)) | {"beat": beat}
    with open(path + ".new", "w") as stream:
        json.dump(told, stream)
    os.replace(path + ".new", path)
    time.sleep(0.2)
"""


def test_a_lease_is_renewed_until_it_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    mine = lease.take(DISK, str(tmp_path))
    end = time.monotonic() + HANG_S
    while json.loads((tmp_path / lease.NAME).read_text())["beat"] < 3 and time.monotonic() < end:
        time.sleep(0.05)
    assert json.loads((tmp_path / lease.NAME).read_text())["beat"] >= 3
    mine.release()
    time.sleep(0.2)
    assert os.listdir(tmp_path) == []


def test_one_process_may_begin_again(tmp_path: Path) -> None:
    first = lease.take(DISK, str(tmp_path))
    second = lease.take(DISK, str(tmp_path))
    assert lease.current(str(tmp_path)) is second
    with pytest.raises(StoreError, match="taken over"):
        lease.check(DISK, str(tmp_path), first.token)
    second.release()
