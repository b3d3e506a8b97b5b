"""How a plan is run: it is placed or refused, watched, and ends with its own parts' sentences."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest

from factory.actors.base import RowActor
from factory.actors.guard import ActorError
from factory.passes.execute import act, finish
from factory.passes.progress import Clock
from factory.recipe.resources import PoolConfig, ResourcesConfig
from factory.runtime.watch import GROWTH_S, Stalled
from factory.storage.dataset import DatasetDir
from schemas.datasets import FAILED, UNITS, Row
from tests.limits import HANG_S

LIGHT_POOL = PoolConfig(num_cpus=0.5, batch_size=4)
RESOURCES = ResourcesConfig(encoder=LIGHT_POOL)

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the actors' processes do not find tests


class Toy(RowActor):
    """Writes a unit for each row; some rows do it harm."""

    schema = UNITS

    def __init__(self, fail: bool = False, sleep: float = 0.0) -> None:
        if fail:
            raise FileNotFoundError("there are no weights at nowhere")
        self.sleep = sleep

    def process(self, rows: list[Row]) -> list[Row]:
        time.sleep(self.sleep)
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


def source(number: int, killers: frozenset[int] = frozenset()) -> pa.Table:
    rows = [
        {"utt_id": f"u{n:03}", "lang": "fr", "text": "kill" if n in killers else "", "status": "ok"}
        for n in range(number)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def run(folder: Path, table: pa.Table, resources: ResourcesConfig = RESOURCES, **arguments: Any) -> DatasetDir:
    import ray

    out = DatasetDir(str(folder), UNITS)
    if out.start({"stage": "toy"}):
        rows = act(out.unfinished(ray.data.from_arrow(table), rows_per_block=8), Toy, arguments, resources.encoder)
        finish(out, rows, table["utt_id"].to_pylist(), Clock(str(folder.parent)), "toy", resources, "encoder")
    return out


def test_rows_that_kill_their_process_do_not_end_the_pass(local_ray: None, tmp_path: Path) -> None:
    out = run(tmp_path / "out", source(40, frozenset({5, 6, 31})))
    assert out.manifest().by_status == {"ok": 37, FAILED: 3} and out.manifest().by_reason == {"killed": 3}
    assert out.failures().to_pylist() == [
        {"status": FAILED, "reason": "killed", "count": 3, "ids": ["u005", "u006", "u031"]}
    ]


def test_a_pool_grows_while_work_waits_as_far_as_it_may(local_ray: None, tmp_path: Path) -> None:
    import ray

    def took(pool: PoolConfig, number: int, mates: int) -> int:
        """How many processes took the rows, four of them at a time, when each waits for so many."""
        folder = tmp_path / str(mates)
        folder.mkdir()
        asked = ray.data.from_arrow(source(number)).repartition(number // 4)
        rows = act(asked, Signed, {"folder": folder, "mates": mates}, pool).to_pandas()
        assert sorted(rows["utt_id"]) == source(number)["utt_id"].to_pylist()
        return int(rows["text"].nunique())

    assert took(LIGHT_POOL, 32, mates=1) == 1
    assert 2 <= took(replace(LIGHT_POOL, max_actors=3, row_timeout_s=HANG_S), 120, mates=2) <= 3


def test_actors_that_do_not_fit_are_refused_at_once(local_ray: None, tmp_path: Path) -> None:
    large = replace(RESOURCES, encoder=replace(LIGHT_POOL, actors=2, num_gpus=1))
    began = time.monotonic()
    with pytest.raises(
        Stalled,
        match=r"^toy cannot be placed: requested: 2 encoder \(0.5 CPU, 1 GPU each\), 1 reader .*4 CPU, 0 GPU",
    ):
        run(tmp_path / "out", source(4), large)
    assert time.monotonic() - began < GROWTH_S / 2, "a Ray of this machine does not grow, and is not waited for"
    assert run(tmp_path / "out", source(4)).manifest().attempts == 2  # the lease was released


def test_a_manifest_notes_what_translators_computed_in(local_ray: None, tmp_path: Path) -> None:
    import ray

    out, resources = (
        DatasetDir(str(tmp_path / "out"), UNITS),
        replace(RESOURCES, translator=LIGHT_POOL, dtype="float32"),
    )
    out.start({"stage": "toy"})
    rows = act(out.unfinished(ray.data.from_arrow(source(4))), Toy, {}, resources.translator)
    finish(out, rows, source(4)["utt_id"].to_pylist(), Clock(str(tmp_path)), "toy", resources, "translator")
    assert out.manifest().versions["dtype"] == "float32" and "ray" in out.manifest().versions
    assert "dtype" not in run(tmp_path / "other", source(4)).manifest().versions


def test_an_actor_that_cannot_start_ends_the_pass_with_its_sentence(local_ray: None, tmp_path: Path) -> None:
    with pytest.raises(ActorError, match=r"^Toy could not start: FileNotFoundError: there are no weights at nowhere$"):
        run(tmp_path / "out", source(4), fail=True)


def test_a_pass_whose_folder_is_taken_over_stops(local_ray: None, tmp_path: Path) -> None:
    import ray

    out = DatasetDir(str(tmp_path / "out"), UNITS)
    out.start({"stage": "toy"})
    rows = out.write(ray.data.from_arrow(source(4)))
    lease = tmp_path / "out/_lease.json"
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"token": "another"}))
    with pytest.raises(Exception, match="was taken over from this run"):
        list(rows)
    with pytest.raises(ActorError, match="was taken over from this run"):
        finish(out, ray.data.from_arrow(source(4)), ["u0"], Clock(str(tmp_path)), "toy", RESOURCES)


def test_a_pass_that_nothing_is_asked_of_publishes_at_once_and_loads_no_model(local_ray: None, tmp_path: Path) -> None:
    manifest = run(tmp_path / "out", source(0), fail=True).manifest()
    assert (manifest.rows, manifest.by_status) == (0, {})
