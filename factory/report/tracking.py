"""Writes the curves of a finished round for what shows them: TensorBoard, MLflow, Weights & Biases or Trackio.

Each has a folder of the run, `RUN/TRACKER`; TensorBoard takes each folder in its own for a run. A round is written as a
whole: written again, it replaces itself, and no curve is there twice.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow.fs as pafs

from factory.planning.places import Round
from factory.report.curves import Scalar, read_curves
from factory.report.summary import summary_uri
from factory.report.trackers import MLFLOW_SERVER, TRACKERS
from factory.storage.files import filesystem, look, put
from schemas.errors import RoundtripError


class TrackingError(RoundtripError):
    """A tracker that is not installed, or that cannot write where the run is."""


def check_trackers(round_: Round) -> None:
    """Raise TrackingError if a tracker of the recipe cannot write the curves of a round."""
    for name in round_.recipe.tracking:
        if name in TRACKERS:
            check_tracker(round_, name)


def check_tracker(round_: Round, name: str) -> None:
    """Raise TrackingError if one of TRACKERS is not installed, or cannot write where the run is."""
    packages = TRACKERS[name].packages
    if missing := [package for module, package in packages.items() if importlib.util.find_spec(module) is None]:
        raise TrackingError(f"tracking: [{name}] needs what is not installed: pip install {' '.join(missing)}")
    is_elsewhere = name == "mlflow" and os.environ.get(MLFLOW_SERVER)
    if not is_elsewhere and not isinstance(filesystem(round_.run.uri)[0], pafs.LocalFileSystem):
        more = f", or set {MLFLOW_SERVER}" if name == "mlflow" else ""
        raise TrackingError(
            f"tracking: [{name}] writes into a folder, and {round_.run.uri} is in a store: use tensorboard{more}"
        )


def is_tracked(round_: Round, name: str) -> bool:
    """Return True if the curves of a round were written for a tracker after its summary."""
    uris = (summary_uri(round_.run, round_.number), _last_uri(round_, name))
    times = [look(*filesystem(uri)).mtime_ns for uri in uris]
    return times[1] is not None and times[0] <= times[1]


def track(round_: Round, name: str) -> None:
    """Write the curves of a finished round for a tracker. Raises TrackingError if that is impossible here."""
    curves = read_curves(round_)
    if name == "tensorboard":
        write_events(training_uri(round_), curves.training)
        write_events(_last_uri(round_, name), curves.scores)
        return
    check_tracker(round_, name)
    folder = Path(filesystem(f"{round_.run.uri}/{name}")[1])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(TRACKERS[name].write, curves, folder).result()
    fs, path = filesystem(_last_uri(round_, name))
    put(fs, path, b"")


def training_uri(round_: Round) -> str:
    """Return the URI of TensorBoard's event file with a round's training."""
    return f"{round_.run.uri}/tensorboard/round-{round_.number}/events.out.tfevents.000000"


def _last_uri(round_: Round, name: str) -> str:
    """Return the URI of the file that is written last: TensorBoard's scores, of all rounds in one folder, or a mark."""
    file = (
        f"scores/events.out.tfevents.{round_.number:06}" if name == "tensorboard" else f"round-{round_.number}.written"
    )
    return f"{round_.run.uri}/{name}/{file}"


def write_events(uri: str, scalars: Iterable[Scalar]) -> None:
    """Write an event file of TensorBoard, whole or not at all."""
    from tensorboardX import SummaryWriter

    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder, write_to_disk=True) as writer:
            for scalar in scalars:
                writer.add_scalar(scalar.tag, scalar.value, scalar.step)
        [written] = Path(folder).iterdir()
        fs, path = filesystem(uri)
        put(fs, path, written.read_bytes())
