"""The folders that MLflow, Weights & Biases and Trackio read: written by the real ones, and read back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from factory.planning.places import Round, Run
from factory.report import trackers
from factory.report.curves import Curves, Scalar, read_curves
from factory.report.trackers import MLFLOW_BATCH, MLFLOW_SERVER, TRACKERS, Tracker
from factory.report.tracking import TrackingError, check_trackers, is_tracked, list_problems, track
from factory.rounds import run_round
from tests.toy_run import toy_recipe, toy_run

Points = dict[str, list[set[Scalar]]]
"""The points of each run of a tracker by the name of the run; two runs may have one name."""


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("folder") / "toy run"), 1, toy_recipe())


def write(tracker: str, folder: Path, *curves: Curves) -> None:
    """Write curves in one process, as `track` does."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        for one in curves:
            process.submit(TRACKERS[tracker].write, one, folder).result()


def query(database: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def group(points: list[tuple[str, str, Scalar]]) -> Points:
    """Group the points by the name and the id of their run; no point may be there twice."""
    runs: dict[tuple[str, str], list[Scalar]] = {}
    for name, number, scalar in points:
        runs.setdefault((name, number), []).append(scalar)
    assert all(len(scalars) == len(set(scalars)) for scalars in runs.values())
    return {name: [set(scalars) for (own, _), scalars in runs.items() if own == name] for name, _ in runs}


def read_mlflow(folder: Path) -> Points:
    sql = (
        "select runs.name, runs.run_uuid, key, step, value from metrics join runs using (run_uuid)"
        " join experiments using (experiment_id)"
        " where experiments.name = 'toy run' and runs.lifecycle_stage = 'active' and runs.status = 'FINISHED'"
    )
    rows = query(folder / "mlflow.db", sql)
    return group([(name, number, Scalar(*scalar)) for name, number, *scalar in rows])


def read_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of an offline run of W&B, a log of LevelDB: checksum, length, and kind of the record."""
    assert content[:4] == b":W&B" and len(content) < 32_768, "one block, in which every record is whole"
    content = content[7:]
    while content:
        _, length, kind = struct.unpack("<IHB", content[:7])
        assert kind == 1
        yield content[7 : 7 + length]
        content = content[7 + length :]


def read_wandb(folder: Path) -> Points:
    """Read offline runs. Scores have their own x-axis, the training another one."""
    from wandb.proto.wandb_internal_pb2 import Record

    points = []
    for file in folder.glob("*/wandb/offline-run-*/*.wandb"):
        records = [Record.FromString(record) for record in read_records(file.read_bytes())]
        [run] = [record.run for record in records if record.HasField("run")]
        assert run.project == "toy run"
        metrics = [record.metric for record in records if record.HasField("metric")]
        axes = {metric.name or metric.glob_name: metric.step_metric for metric in metrics}
        assert axes["training/*"] == "training/step" and axes["s2t_bleu/fr-en"] == "round"
        for record in (one.history for one in records if one.HasField("history")):
            values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.item}
            step = values.pop("round", None) or values.pop("training/step")
            points += [
                (run.display_name, run.run_id, Scalar(key, step, value))
                for key, value in values.items()
                if not key.startswith("_")
            ]
    return group(points)


def read_trackio(folder: Path) -> Points:
    [database] = folder.glob("*.db")
    rows = query(database, "select run_name, run_id, step, metrics from metrics")
    return group(
        [
            (name, number, Scalar(key, step, value))
            for name, number, step, values in rows
            for key, value in json.loads(values).items()
        ]
    )


READERS = {"mlflow": read_mlflow, "wandb": read_wandb, "trackio": read_trackio}


@pytest.mark.parametrize("tracker", READERS)
def test_every_round_is_a_run_with_all_its_curves_and_replaces_itself(
    round_: Round, tracker: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, curves, read = Path(round_.run.uri, tracker), read_curves(round_), READERS[tracker]
    assert not is_tracked(round_, tracker)
    track(round_, tracker)
    assert is_tracked(round_, tracker) and capfd.readouterr() == ("", "")
    expected = {*curves.scores, *curves.training}
    assert Scalar("s2t_bleu/fr-en/low", 1, 11.0) in expected and Scalar("training/rewards/margins", 4, 0.4) in expected
    assert read(folder) == {"round-1": [expected]}
    fewer = curves._replace(training=curves.training[:2])
    write(tracker, folder, curves._replace(round=2, scores=curves.scores[:1]), fewer)
    assert read(folder) == {
        "round-2": [{curves.scores[0], *curves.training}],
        "round-1": [{*fewer.scores, *fewer.training}],
    }


def test_a_server_of_mlflow_keeps_earlier_runs(round_: Round, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path(round_.run.uri, "mlflow/mlflow.db").exists():  # as the test before left it; it takes long to make
        track(round_, "mlflow")
    shutil.copy(Path(round_.run.uri, "mlflow/mlflow.db"), tmp_path)
    before = read_mlflow(tmp_path)["round-1"]
    monkeypatch.setenv(MLFLOW_SERVER, f"sqlite:///{tmp_path}/mlflow.db")
    long = [Scalar("training/loss", step, 1 / step) for step in range(1, 2 * MLFLOW_BATCH)]
    curves = read_curves(round_)._replace(training=long)
    write("mlflow", tmp_path / "unused", curves)
    assert read_mlflow(tmp_path)["round-1"] == [*before, {*curves.scores, *curves.training}]
    assert not (tmp_path / "unused").exists()
    in_store = replace(round_, run=Run("memory://run"))
    assert list(list_problems(in_store, "mlflow")) == []
    monkeypatch.delenv(MLFLOW_SERVER)
    [problem] = list_problems(in_store, "mlflow")
    assert problem.endswith("is in a store: use tensorboard, or set MLFLOW_TRACKING_URI")


def test_all_that_keeps_trackers_from_a_run_is_said_at_once(tmp_path: Path) -> None:
    run = Run(str(tmp_path / "a#b"))
    for name in ("tensorboard", "wandb"):
        Path(run.uri).mkdir(exist_ok=True)
        Path(run.uri, name).write_text("a file in the way")
    with pytest.raises(TrackingError) as error:
        check_trackers(Round(run, 1, toy_recipe()), ("tensorboard", "wandb", "trackio"))
    taken = "tracking: [{0}] writes into the folder {1}/{0}, and a file is there: move it away"
    assert str(error.value).split("; ") == [
        taken.format("tensorboard", run.uri),
        taken.format("wandb", run.uri),
        "tracking: [wandb] refuses # in the name of a run: give another --run",
    ]


def test_a_round_does_not_begin_without_the_packages_of_its_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {"json": "json", "no_such_module": "mlflow-skinny", "nor_this_one": "alembic"}
    monkeypatch.setitem(TRACKERS, "mlflow", Tracker(packages, trackers.write_mlflow))
    recipe = replace(toy_recipe(), tracking=("tensorboard", "mlflow"))
    expected = r"^tracking: \[mlflow\] needs what is not installed: pip install mlflow-skinny alembic$"
    with pytest.raises(TrackingError, match=expected):  # before round 1, which round 2 needs, is missed
        run_round(Round(Run(str(tmp_path / "new")), 2, recipe))
    assert not (tmp_path / "new").exists()
