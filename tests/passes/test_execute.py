"""How a plan is run: it is placed or refused, watched, and ends with the message of its own parts."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest

from factory.actors.base import RowActor
from factory.passes.errors import PassError
from factory.passes.execute import fit_pool, list_demands, map_actor, run_plan
from factory.passes.progress import Clock
from factory.recipe.resources import PoolConfig, ResourcesConfig
from factory.runtime.light_tasks import LIGHT
from factory.runtime.watch import GROWTH_S, Stalled
from factory.storage.dataset import DatasetDir
from schemas.datasets import FAILED, UNITS, Row
from schemas.errors import RoundtripError
from tests.limits import HANG_S

LIGHT_POOL = PoolConfig(num_cpus=0.5, batch_size=4)
RESOURCES = ResourcesConfig(encoder=LIGHT_POOL)

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the actors' processes cannot import the tests


class Toy(RowActor):
    """Writes a unit for each row; a row with the text `kill` ends the process."""

    schema = UNITS

    def __init__(self, fail: bool = False) -> None:
        if fail:
            raise FileNotFoundError("there are no weights at nowhere")

    def process(self, rows: list[Row]) -> list[Row]:
        if any(row["text"] == "kill" for row in rows):
            os.abort()
        return [row | {"units": [1]} for row in rows]


class Signed(RowActor):
    """Writes as a row's text which process took it, once `mates` processes have rows to take."""

    schema = UNITS

    def __init__(self, folder: Path, mates: int) -> None:
        self.folder, self.mates = folder, mates

    def process(self, rows: list[Row]) -> list[Row]:
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < self.mates:
            time.sleep(0.1)
        return [row | {"text": str(os.getpid()), "units": [1]} for row in rows]


class WrongUtterance(RoundtripError):
    """An error that a user can fix, which no other part knows."""


def make_rows(number: int, killers: frozenset[int] = frozenset()) -> pa.Table:
    rows = [
        {"utt_id": f"u{n:03}", "lang": "fr", "text": "kill" if n in killers else "", "status": "ok"}
        for n in range(number)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def run(folder: Path, table: pa.Table, resources: ResourcesConfig = RESOURCES, **arguments: Any) -> DatasetDir:
    """Run a plan with the actor Toy over the table."""
    import ray

    out = DatasetDir(str(folder), UNITS)
    if out.start({"stage": "toy"}):
        unfinished = out.unfinished(ray.data.from_arrow(table), rows_per_block=8)
        rows = map_actor(unfinished, partial(Toy, **arguments), resources.encoder)
        ids = table["utt_id"].to_pylist()
        run_plan(rows, out, ids, Clock(str(folder.parent)), "toy", resources, ["encoder"])
    return out


def test_rows_that_kill_their_process_do_not_end_the_pass(local_ray: None, tmp_path: Path) -> None:
    out = run(tmp_path / "out", make_rows(24, frozenset({5, 6, 20})))
    assert out.manifest().by_status == {"ok": 21, FAILED: 3} and out.manifest().by_reason == {"killed": 3}
    assert out.failures().to_pylist() == [
        {"status": FAILED, "reason": "killed", "count": 3, "ids": ["u005", "u006", "u020"]}
    ]


def test_a_pool_grows_while_work_waits_up_to_its_limit(local_ray: None, tmp_path: Path) -> None:
    import ray

    def count_processes(pool: PoolConfig, number: int, mates: int) -> int:
        """Return how many processes took the rows, four at a time, if each waits for `mates` of them."""
        folder = tmp_path / str(mates)
        folder.mkdir()
        blocks = ray.data.from_arrow(make_rows(number)).repartition(number // 4)
        rows = map_actor(blocks, partial(Signed, folder, mates), pool).to_pandas()
        assert sorted(rows["utt_id"]) == make_rows(number)["utt_id"].to_pylist()
        return int(rows["text"].nunique())

    assert count_processes(LIGHT_POOL, 32, mates=1) == 1
    assert 2 <= count_processes(replace(LIGHT_POOL, max_actors=3, row_timeout_s=HANG_S), 60, mates=2) <= 3


def test_actors_that_do_not_fit_are_refused_at_once(local_ray: None, tmp_path: Path) -> None:
    large = replace(RESOURCES, encoder=replace(LIGHT_POOL, actors=2, num_gpus=1))
    start_s = time.monotonic()
    message = r"^toy cannot be placed: .*2 encoder \(0.5 CPU, 1 GPU each\), 1 reader .*4 CPU, 0 GPU"
    with pytest.raises(Stalled, match=message):
        run(tmp_path / "out", make_rows(4), large)
    assert time.monotonic() - start_s < GROWTH_S / 2, "the Ray of this machine does not grow: there is no wait"
    assert run(tmp_path / "out", make_rows(4)).manifest().attempts == 2, "the lease was released"


def test_the_demands_of_a_plan_are_its_pools_and_a_share_for_reading_and_writing() -> None:
    resources = replace(RESOURCES, scorer=PoolConfig(actors=3, num_cpus=2, num_gpus=0.5, memory_gib=1))
    assert list_demands(resources, ["encoder", "scorer"]) == {
        "encoder": (1, {"CPU": 0.5, "GPU": 0.0, "memory": 0.0}),
        "scorer": (3, {"CPU": 2, "GPU": 0.5, "memory": 2**30}),
        "reader and writer": (1, {"CPU": LIGHT}),
    }


def test_a_manifest_notes_the_numbers_that_translators_computed_in(local_ray: None, tmp_path: Path) -> None:
    import ray

    out = DatasetDir(str(tmp_path / "out"), UNITS)
    resources = replace(RESOURCES, translator=LIGHT_POOL, dtype="float32")
    out.start({"stage": "toy"})
    rows = map_actor(out.unfinished(ray.data.from_arrow(make_rows(4))), partial(Toy), resources.translator)
    ids = make_rows(4)["utt_id"].to_pylist()
    run_plan(rows, out, ids, Clock(str(tmp_path)), "toy", resources, ["translator"])
    assert out.manifest().versions["dtype"] == "float32" and "ray" in out.manifest().versions
    assert "dtype" not in run(tmp_path / "other", make_rows(4)).manifest().versions


def test_an_actor_that_cannot_start_ends_the_pass_with_its_message(local_ray: None, tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"^Toy could not start: FileNotFoundError: there are no weights at nowhere$"):
        run(tmp_path / "out", make_rows(4), fail=True)


def test_any_error_of_a_worker_that_a_user_can_fix_ends_the_pass_with_its_message(
    local_ray: None, tmp_path: Path
) -> None:
    import ray

    def fail(table: pa.Table) -> pa.Table:
        raise WrongUtterance("u000 is wrong: say it again")

    def crash(table: pa.Table) -> pa.Table:
        raise KeyError("u000")

    for function, error, message in (
        (fail, PassError, "^u000 is wrong: say it again$"),
        (crash, Exception, "KeyError"),
    ):
        out = DatasetDir(str(tmp_path / function.__name__), UNITS)
        out.start({"stage": "toy"})
        rows = ray.data.from_arrow(make_rows(4)).map_batches(function, batch_format="pyarrow")
        with pytest.raises(error, match=message) as caught:
            run_plan(rows, out, ["u000"], Clock(str(tmp_path)), "toy", RESOURCES)
        assert isinstance(caught.value, RoundtripError) == (function is fail), "a bug keeps its traceback"


def test_a_pass_whose_folder_is_taken_over_stops(local_ray: None, tmp_path: Path) -> None:
    import ray

    out = DatasetDir(str(tmp_path / "out"), UNITS)
    out.start({"stage": "toy"})
    lease = tmp_path / "out/_lease.json"
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"token": "another"}))
    with pytest.raises(PassError, match="was taken over from this run"):
        run_plan(ray.data.from_arrow(make_rows(4)), out, ["u0"], Clock(str(tmp_path)), "toy", RESOURCES)


def test_a_pass_without_rows_is_published_at_once_and_loads_no_model(local_ray: None, tmp_path: Path) -> None:
    manifest = run(tmp_path / "out", make_rows(0), fail=True).manifest()
    assert (manifest.rows, manifest.by_status) == (0, {})


@pytest.mark.parametrize(
    ("rows", "actors", "batch_size"),
    [(0, 1, 1), (3, 1, 3), (63, 1, 24), (64, 2, 24), (65, 2, 24), (30, 1, 24), (10_000, 3, 24)],
)
def test_few_rows_start_few_processes_and_all_of_them_get_rows(rows: int, actors: int, batch_size: int) -> None:
    pool = fit_pool(PoolConfig(actors=3, max_actors=5, batch_size=24), rows)
    largest = {64: 2, 65: 2, 10_000: 5}.get(rows, 1)
    assert (pool.actors, pool.max_actors, pool.batch_size) == (actors, largest, batch_size)
    assert fit_pool(PoolConfig(), rows).max_actors is None
