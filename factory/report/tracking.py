"""Writes the curves of a finished round for what shows them: TensorBoard, MLflow, Weights & Biases or Trackio.

Each has a folder of the run, `RUN/TRACKER`; TensorBoard takes each folder in its own for a run. A round is written as a
whole: written again, it replaces itself, and no curve is there twice.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pyarrow.fs as pafs

from factory.planning.places import Round
from factory.report.curves import Scalar, read_curves, run_name
from factory.report.summary import summary_uri
from factory.report.trackers import MLFLOW_SERVER, TRACKERS
from factory.storage.files import filesystem, look, put
from schemas.errors import RoundtripError

WANDB_REFUSES = frozenset("/\\#?%:")
"""What the name of a project of W&B may not hold."""


class TrackingError(RoundtripError):
    """A tracker that is not installed, or that cannot write where the run is."""


def check_trackers(round_: Round, names: Iterable[str]) -> None:
    """Raise TrackingError if trackers cannot write the curves of a round: one sentence for each reason."""
    if problems := [problem for name in names for problem in list_problems(round_, name)]:
        raise TrackingError("; ".join(problems))


def list_problems(round_: Round, name: str) -> Iterator[str]:
    """Yield why a tracker cannot write the curves of a round: what is not installed, and what is wrong with the run."""
    packages = TRACKERS[name].packages if name in TRACKERS else {}
    if missing := [package for module, package in packages.items() if importlib.util.find_spec(module) is None]:
        yield f"tracking: [{name}] needs what is not installed: pip install {' '.join(missing)}"
    if name == "mlflow" and os.environ.get(MLFLOW_SERVER):
        return
    uri = f"{round_.run.uri}/{name}"
    fs, path = filesystem(uri)
    if look(fs, path).is_file:
        yield f"tracking: [{name}] writes into the folder {uri}, and a file is there: move it away"
    if name != "tensorboard" and not isinstance(fs, pafs.LocalFileSystem):
        more = f", or set {MLFLOW_SERVER}" if name == "mlflow" else ""
        yield f"tracking: [{name}] writes into a folder, and {round_.run.uri} is in a store: use tensorboard{more}"
    if name == "wandb" and (refused := WANDB_REFUSES.intersection(run_name(round_))):
        yield f"tracking: [wandb] refuses {' '.join(sorted(refused))} in the name of a run: give another --run"


def is_tracked(round_: Round, name: str) -> bool:
    """Return True if the curves of a round were written for a tracker after its summary."""
    uris = (summary_uri(round_.run, round_.number), _last_uri(round_, name))
    times = [look(*filesystem(uri)).mtime_ns for uri in uris]
    return times[1] is not None and times[0] <= times[1]


def track(round_: Round, name: str) -> None:
    """Write the curves of a finished round for a tracker. Raises TrackingError if that is impossible here."""
    check_trackers(round_, [name])
    curves = read_curves(round_)
    if name == "tensorboard":
        write_events(training_uri(round_), curves.training)
        write_events(_last_uri(round_, name), curves.scores)
        return
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
