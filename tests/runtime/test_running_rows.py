"""Rows of running batches: counted once, also when a batch runs again, and gone when it ends."""

from __future__ import annotations

import pytest

from factory.runtime import running_rows
from factory.runtime.running_rows import RunningBatch, count_running_rows, forget_running_rows


@pytest.fixture(autouse=True)
def empty(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_rows, "WRITE_EVERY_S", 0.0)
    forget_running_rows()


def test_the_rows_of_all_running_batches_are_added() -> None:
    with RunningBatch("Translator", ["a", "b", "c"]) as first, RunningBatch("Encoder", ["a", "b", "c"]) as second:
        assert count_running_rows() == 0
        first.show(1)
        first.show(2)
        second.show(1)
        assert count_running_rows() == 3
        second.begin_at(1)
        second.show(1)
        assert count_running_rows() == 4, "rows that were finished one by one, and the one that is being processed"
    assert count_running_rows() == 0


def test_a_batch_whose_process_died_counts_once_when_it_runs_again() -> None:
    RunningBatch("Translator", ["a", "b", "c"]).show(2)  # without an end
    with RunningBatch("Translator", ["a", "b", "c"]) as again:
        assert count_running_rows() == 2
        again.show(1)
        assert count_running_rows() == 1
    assert count_running_rows() == 0
    RunningBatch("Translator", ["d"]).show(1)
    forget_running_rows()
    assert count_running_rows() == 0


def test_counts_are_written_once_per_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_rows, "WRITE_EVERY_S", 1e9)
    with RunningBatch("Translator", ["a", "b"]) as batch:
        batch.show(1)
        batch.show(2)
        assert count_running_rows() == 1


def test_a_worker_and_its_driver_see_the_same_batches() -> None:
    import ray

    @ray.remote(num_cpus=0.1)
    def show() -> int:
        batch = RunningBatch("Translator", ["x"])
        batch.show(5)
        return count_running_rows()

    assert ray.get(show.remote()) == 5
    assert count_running_rows() == 5
    forget_running_rows()
