"""A row that kills or hangs its actor is found and kept as failed; the other rows of its batch are kept."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import cloudpickle
import psutil
import pyarrow as pa
import pytest

from factory.actors import guard
from factory.actors.base import RowActor
from factory.actors.guard import ActorError, Guard, guard_actor
from factory.runtime import running_rows
from schemas.datasets import FAILED, OK, SKIPPED, UNITS, Row
from tests.limits import HANG_S

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the actors' processes cannot import the tests


class Fragile(RowActor):
    """Does what a row's text says, and notes in a file every row that it begins."""

    schema = UNITS

    def __init__(self, notes: str = os.devnull, fail: str = "") -> None:
        self.notes = Path(notes)
        if fail == "raise":
            raise FileNotFoundError("no weights at s3://KEY:SECRET@bucket/w")
        if fail == "die":
            os._exit(3)

    def process(self, rows: list[Row]) -> list[Row]:
        for row in rows:
            with self.notes.open("a") as stream:
                stream.write(f"{row['utt_id']}\n")
            getattr(self, f"on_{row['text']}")()
            self.on_finished(row)
        return [row | {"units": [len(row["utt_id"])]} for row in rows]

    def on_ok(self) -> None:
        pass

    def on_garbage(self) -> None:
        assert gc.isenabled() and gc.get_freeze_count() > 1000

    def on_raise(self) -> None:
        raise ValueError("hf_abcdefghijklmnopqrst is not welcome")

    def on_segfault(self) -> None:
        ctypes.string_at(0)

    def on_exit(self) -> None:
        os._exit(7)

    def on_look(self) -> None:
        """End the process at the first try, when the driver has seen the rows before this one."""
        tried = self.notes.with_suffix(".look")
        if not tried.exists():
            tried.touch()
            deadline = time.monotonic() + HANG_S
            while not self.notes.with_suffix(".seen").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            os._exit(7)

    def on_memory(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does when memory runs out

    def on_hang(self) -> None:
        time.sleep(3600)

    def on_spin(self) -> None:
        while True:
            pass

    def on_compute(self) -> None:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass

    def on_gil(self) -> None:
        ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock, so that no thread of the process could end it


class Broken(Fragile):
    """Raises for every batch, whatever its rows are."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise RuntimeError("the weights are corrupt")


def start(actor: partial[Fragile] | None = None, row_timeout_s: float = HANG_S, threads: int = 1) -> Guard:
    cls, arguments = guard_actor(actor or partial(Fragile), row_timeout_s, threads)
    return cls(**arguments)


def table(*texts: str) -> pa.Table:
    rows = [
        {"utt_id": f"u{n}", "lang": "fr", "text": text, "status": SKIPPED if text == "skip" else OK}
        for n, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def test_rows_that_kill_are_isolated_after_two_tries_and_the_others_are_kept(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    actor = start(partial(Fragile, notes=str(notes)))
    done = actor(table("ok", "segfault", "garbage", "raise", "exit", "skip", "memory", "ok"))
    assert done.schema == UNITS
    assert done["utt_id"].to_pylist() == [f"u{n}" for n in range(8)]
    assert done["status"].to_pylist() == [OK, FAILED, OK, FAILED, FAILED, SKIPPED, FAILED, OK]
    assert done["units"].to_pylist() == [[2], None, [2], None, None, None, None, [2]]
    reasons = done["reason"].to_pylist()
    assert reasons[1] == "killed: Fragile's process died of SIGSEGV with this row"
    assert reasons[3] == "error: ValueError: *** is not welcome"
    assert reasons[4] == "killed: Fragile's process ended with code 7 with this row"
    assert reasons[6] == "killed: Fragile's process died of SIGKILL, as when memory runs out with this row"
    tries = notes.read_text().split()
    assert all(tries.count(f"u{n}") <= 2 for n in range(8))


@pytest.mark.parametrize(
    ("how", "threads", "limit"),
    [("hang", 1, "1 s"), ("gil", 8, "1 s"), ("spin", 1, "1 s of computing"), ("spin", 2, "2 s of computing")],
)
def test_a_row_that_hangs_or_computes_without_end_is_cut_off(
    how: str, threads: int, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "IDLE_S", 2.0)  # in place of ten seconds
    monkeypatch.setattr(guard, "LOOK_S", 0.1)
    actor = start(row_timeout_s=1.0, threads=threads)
    done = actor(table(how))
    assert done["status"].to_pylist() == [FAILED]
    assert done["reason"][0].as_py() == f"timeout: Fragile was cut off after {limit} with this row"
    assert actor(table("ok"))["status"].to_pylist() == [OK]


def test_rows_inside_a_batch_are_counted_once_also_when_the_batch_is_tried_again(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_rows, "WRITE_EVERY_S", 0.0)
    running_rows.forget_running_rows()
    notes = tmp_path / "notes"
    actor, counts, ended = start(partial(Fragile, notes=str(notes))), [0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if (count := running_rows.count_running_rows()) != counts[-1]:
                counts.append(count)
            if count == 3:
                notes.with_suffix(".seen").touch()
            time.sleep(0.01)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    done = actor(table("ok", "raise", "ok", "ok", "look", "ok"))
    ended.set()
    watcher.join()
    assert done["status"].to_pylist() == [OK, FAILED, OK, OK, OK, OK]
    assert running_rows.count_running_rows() == 0
    assert 3 in counts, "the halves of a batch that raised count the first row once"
    assert max(counts) <= 6, "the rows that were tried again count once"


def test_each_further_row_to_process_gives_a_batch_more_time() -> None:
    actor = start(row_timeout_s=64.0)
    assert actor.limit_s(table("ok")) == 64
    assert actor.limit_s(table("ok", *["skip"] * 5, *["ok"] * 16)) == 64 + 16 * 64 / 32
    assert actor.limit_s(table("ok", "ok").drop_columns(["status"])) == 64 + 64 / 32


def test_an_actor_that_other_processes_keep_from_the_cores_finishes_its_rows() -> None:
    actor, core = start(row_timeout_s=1.0), min(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        for pid in (actor.child.pid, *(process.pid for process in busy)):
            os.sched_setaffinity(pid, {core})
        psutil.Process(actor.child.pid).nice(os.nice(0) + 10)  # each other process gets nine times its share
        child, start_s = actor.child.pid, time.monotonic()
        assert actor(table("compute"))["status"].to_pylist() == [OK]
        assert time.monotonic() - start_s > 1.0 and actor.child.pid == child, "it exceeded its limit, at the first try"
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_a_child_that_is_killed_while_it_has_no_work_costs_no_row() -> None:
    actor = start()
    actor.child.kill()
    assert actor(table("ok", "ok"))["status"].to_pylist() == [OK, OK]


def test_an_actor_that_cannot_start_says_why() -> None:
    message = r"^Fragile could not start: FileNotFoundError: no weights at s3://\*\*\*@bucket/w$"
    with pytest.raises(ActorError, match=message):
        start(partial(Fragile, fail="raise"))
    with pytest.raises(ActorError, match="its process died while it loaded, 3 times .*ended with code 3"):
        start(partial(Fragile, fail="die"))


def test_an_actor_that_fails_on_every_batch_ends_the_pass() -> None:
    with pytest.raises(ActorError, match="^Broken failed on a whole batch: RuntimeError: the weights are corrupt$"):
        start(partial(Broken))(table("ok", "ok"))


ORPHAN = """
import os, sys, time
sys.path.append({folder!r})
from test_guard import start, table
actor = start()
print(actor.child.pid, flush=True)
actor(table("gil"))
"""


def test_a_child_dies_with_its_parent_even_in_a_hang() -> None:
    script = ORPHAN.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)
        parent.kill()
    child.wait(timeout=HANG_S)


def test_ray_runs_it_and_keeps_every_row(local_ray: None) -> None:
    import ray

    cls, arguments = guard_actor(partial(Fragile), HANG_S, threads=1)
    rows = ray.data.from_arrow(table(*["ok"] * 20, "segfault", *["ok"] * 11))
    done = rows.map_batches(
        cls,
        fn_constructor_kwargs=dict(arguments),
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
        batch_size=16,
        batch_format="pyarrow",
    ).take_all()
    assert [row["utt_id"] for row in done if row["status"] == FAILED] == ["u20"]
    assert sorted(row["utt_id"] for row in done) == sorted(f"u{n}" for n in range(32))
