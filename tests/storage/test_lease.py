"""Leases: one writer per folder, refused while another is alive, and its successor when the other is dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from factory.storage import lease
from factory.storage.manifest import StoreError
from tests.limits import HANG_S

DISK = pafs.LocalFileSystem()
HOLD = """
import sys, time
import pyarrow.fs as pafs
from factory.storage import lease
open("/proc/self/comm", "w").write("a) Z 1")  # a name that reads like the state of a dead process
lease.take(pafs.LocalFileSystem(), sys.argv[1])
print("taken", flush=True)
time.sleep(600)
"""
BEAT = """
import itertools, json, os, sys, time
path = sys.argv[1]
for beat in itertools.count():
    record = json.load(open(path)) | {"beat": beat}
    with open(path + ".new", "w") as stream:
        json.dump(record, stream)
    os.replace(path + ".new", path)
    time.sleep(0.2)
"""
OTHER_MACHINE: dict[str, object] = {"machine": "boot-of-another", "host": "node-7", "token": "t"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    """A folder whose lease, if this process has it, ends with the test."""
    yield str(tmp_path)
    if (mine := lease.current(str(tmp_path))) is not None:
        mine.release()


def record(folder: str) -> dict[str, object]:
    """Return the content of the lease file."""
    return dict(json.loads(Path(folder, lease.NAME).read_text()))


def change(folder: str, **changes: object) -> None:
    """Change the lease file, as another process would."""
    temporary = Path(folder, "new")
    temporary.write_text(json.dumps(record(folder) | changes))
    os.replace(temporary, Path(folder, lease.NAME))


def await_true(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def start_holder(folder: str) -> subprocess.Popen[str]:
    """Start a process that takes the lease, and wait until it has it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    return process


def test_a_lease_names_its_owner(folder: str) -> None:
    mine = lease.take(DISK, folder)
    owner = record(folder)
    assert (owner["token"], owner["pid"], owner["host"]) == (mine.token, os.getpid(), socket.gethostname())
    assert owner["beat"] == 0 and str(owner["since"]).endswith("+00:00")
    assert lease.current(folder) is mine and lease.current(f"{folder}/other") is None
    lease.check(DISK, folder, mine.token)


def test_the_lease_of_a_deleted_folder_can_be_released(folder: str) -> None:
    mine = lease.take(DISK, folder)
    Path(folder, lease.NAME).unlink()
    mine.release()
    assert lease.current(folder) is None and not Path(folder, lease.NAME).exists()


def test_a_second_run_is_refused_while_the_first_is_alive(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    first = start_holder(folder)
    message = (
        f"is being written by another run \\(process {first.pid} on {socket.gethostname()}, since 20.*: wait until"
    )
    with pytest.raises(StoreError, match=message):
        lease.take(DISK, folder)
    first.send_signal(signal.SIGSTOP)  # stopped is not dead
    with pytest.raises(StoreError, match="is being written by another run"):
        lease.take(DISK, folder)
    assert lease.current(folder) is None and record(folder)["pid"] == first.pid
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    second = lease.take(DISK, folder)  # the first is a zombie, which is dead
    assert record(folder)["token"] == second.token
    assert "waiting" not in caplog.text, "the operating system knows processes of this machine"
    first.wait()


def test_a_dead_owner_on_this_machine_is_replaced_at_once(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    lease.take(DISK, folder).stop()
    for changes in ({"pid": 2**22 + 1}, {"started": "1"}):  # no such process; another process with the same id
        change(folder, token="t", **changes)
        second = lease.take(DISK, folder)
        assert record(folder)["token"] == second.token
    assert "waiting" not in caplog.text


def test_an_owner_on_another_machine_is_dead_when_it_does_not_renew(
    folder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "PATIENCE_S", 1.5)
    lease.take(DISK, folder)
    change(folder, **OTHER_MACHINE)
    began = time.monotonic()
    second = lease.take(DISK, folder)
    assert record(folder)["token"] == second.token and time.monotonic() - began >= 1.5
    assert f"on node-7: waiting up to {lease.PATIENCE_S:g} s for a sign of life" in caplog.text


def test_an_owner_on_another_machine_is_alive_while_it_renews(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE_S", HANG_S)
    lease.take(DISK, folder)
    change(folder, **OTHER_MACHINE)
    beats = subprocess.Popen([sys.executable, "-c", BEAT, str(Path(folder, lease.NAME))])
    try:
        with pytest.raises(StoreError, match="on node-7"):
            lease.take(DISK, folder)
    finally:
        beats.kill()
        beats.wait()


def test_an_owner_on_another_machine_that_releases_is_no_longer_waited_for(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PATIENCE_S", HANG_S)
    lease.take(DISK, folder).stop()
    change(folder, **OTHER_MACHINE)
    threading.Timer(0.5, Path(folder, lease.NAME).unlink).start()
    second = lease.take(DISK, folder)
    assert record(folder)["token"] == second.token


def test_of_two_runs_that_take_over_at_once_the_last_to_write_has_the_lease(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 1.0)
    path = Path(folder, lease.NAME)

    def other_run() -> None:
        await_true(path.exists)
        change(folder, **OTHER_MACHINE)

    thread = threading.Thread(target=other_run)
    thread.start()
    with pytest.raises(StoreError, match=r"was taken over from this run \(process .* on node-7 has it since"):
        lease.take(DISK, folder)
    thread.join()
    assert lease.current(folder) is None


def test_a_writer_notices_that_it_was_replaced(folder: str) -> None:
    mine = lease.take(DISK, folder)
    change(folder, **OTHER_MACHINE)
    message = rf"was taken over from this run \(process {os.getpid()} on node-7 has it since 20.*\): this run ends, its"
    with pytest.raises(StoreError, match=message):
        lease.check(DISK, folder, mine.token)
    Path(folder, lease.NAME).unlink()
    with pytest.raises(StoreError, match=r"was taken over from this run \(no process has it now\)"):
        lease.check(DISK, folder, mine.token)


def test_a_lease_is_renewed_until_it_is_released(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    mine = lease.take(DISK, folder)
    await_true(lambda: int(str(record(folder)["beat"])) >= 3)
    assert record(folder)["token"] == mine.token
    mine.release()
    time.sleep(0.2)
    assert os.listdir(folder) == [] and lease.current(folder) is None


def test_a_replaced_owner_neither_renews_nor_deletes_the_lease(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    mine = lease.take(DISK, folder)
    change(folder, **OTHER_MACHINE)
    time.sleep(0.3)
    before = record(folder)
    assert before["token"] == "t"
    mine.release()
    assert record(folder) == before and lease.current(folder) is None


def test_a_renewal_that_fails_is_tried_again(
    folder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    lease.take(DISK, folder)
    path = Path(folder, lease.NAME)
    whole = path.read_text()
    path.write_text("{")
    await_true(lambda: "could not be renewed" in caplog.text)
    path.write_text(whole)
    beat = int(str(record(folder)["beat"]))
    await_true(lambda: int(str(record(folder)["beat"])) > beat)


def test_one_process_may_take_its_lease_again_without_waiting(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lease.take(DISK, folder)
    monkeypatch.setattr(lease, "SETTLE_S", HANG_S)
    second = lease.take(DISK, folder)
    assert lease.current(folder) is second and second.token != first.token
    with pytest.raises(StoreError, match="taken over"):
        lease.check(DISK, folder, first.token)
    lease.check(DISK, folder, second.token)
