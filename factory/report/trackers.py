"""Writes the curves of a round for MLflow, Weights & Biases and Trackio: into a folder, so nothing leaves this machine.

A round is a run `round-N` of a project with the name of the Roundtrip run. Written again, it replaces itself.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from factory.report.curves import Curves, group_by_step

MLFLOW_SERVER = "MLFLOW_TRACKING_URI"
"""The variable that names MLflow's server, or another database, in place of one in the folder of the run."""
MLFLOW_BATCH = 1_000
"""Most metrics that MLflow takes in one call."""


class Tracker(NamedTuple):
    """A tracker that is not installed with Roundtrip."""

    packages: dict[str, str]
    """The modules it needs, and the packages that have them."""
    write: Callable[[Curves, Path], None]
    """Writes curves into a folder, in a process of its own: the environment is changed, threads and hooks stay."""


def write_mlflow(curves: Curves, folder: Path) -> None:
    """Write a run of an experiment into the database `mlflow.db`, or where MLFLOW_TRACKING_URI says.

    A server belongs to several people, so that a run of the same name is left there.
    """
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    if not (server := os.environ.get(MLFLOW_SERVER)):
        folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(server or f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name(curves.run)
    # by default MLflow names a folder where the command runs
    files = None if server else (folder / "artifacts").absolute().as_uri()
    number = experiment.experiment_id if experiment else client.create_experiment(curves.run, files)
    name, now = f"round-{curves.round}", int(time.time() * 1000)
    for old in [] if server else client.search_runs([number], f"attributes.run_name = '{name}'"):
        client.delete_run(old.info.run_id)
    run = client.create_run(number, run_name=name).info.run_id
    metrics = [Metric(tag, value, now, step) for tag, step, value in (*curves.scores, *curves.training)]
    for first in range(0, len(metrics), MLFLOW_BATCH):
        client.log_batch(run, metrics[first : first + MLFLOW_BATCH])
    client.set_terminated(run)


def write_wandb(curves: Curves, folder: Path) -> None:
    """Write an offline run; the x-axis of scores is `round`, that of the training `training/step`."""
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    name = f"round-{curves.round}"
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir(parents=True)
    settings = wandb.Settings(silent=True, console="off", disable_git=True)
    with wandb.init(project=curves.run, name=name, dir=folder / name, mode="offline", settings=settings) as run:
        for tag, _, _ in curves.scores:
            run.define_metric(tag, step_metric="round")
        run.define_metric("training/*", step_metric="training/step")
        for step, values in group_by_step(curves.training).items():
            run.log({"training/step": step, **values})
        for step, values in group_by_step(curves.scores).items():
            run.log({"round": step, **values})


def write_trackio(curves: Curves, folder: Path) -> None:
    """Write a run into the database of a project; the step of scores is the round."""
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        os.environ.pop(variable, None)
    import trackio

    name = f"round-{curves.round}"
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        run = trackio.init(project=curves.run, name=name, embed=False, auto_log_gpu=False, auto_log_cpu=False)
        for scalars in (curves.scores, curves.training):
            for step, values in group_by_step(scalars).items():
                run.log(values, step=step)
        trackio.finish()
    for old in trackio.Api().runs(curves.run):
        if old.name == name and old.id != run.id:
            old.delete()


TRACKERS = {
    "mlflow": Tracker({"mlflow": "mlflow-skinny", "sqlalchemy": "sqlalchemy", "alembic": "alembic"}, write_mlflow),
    "wandb": Tracker({"wandb": "wandb"}, write_wandb),
    "trackio": Tracker({"trackio": "trackio"}, write_trackio),
}
