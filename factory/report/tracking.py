"""The curves of a finished round for TensorBoard: its scores with their intervals, and the log of its training.

`tensorboard --logdir RUN/tensorboard` shows all rounds of a run. Each round has two event files with fixed names, which
are written as a whole: written again, they replace themselves, and no curve is there twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from factory.planning.places import Round
from factory.report.summary import read_summary, summary_uri
from factory.report.summary_types import Summary
from factory.report.table import LABELS, MEANS, OTHER_LABELS, SPEECH_LABELS, means_by_direction, scores_by_direction
from factory.report.training_log import LogLine, read_training_log
from factory.storage.files import filesystem, look, put

FOLDER = "tensorboard"
"""The folder of a run that TensorBoard shows. It takes each folder in it for a run of its own."""


class Scalar(NamedTuple):
    """A point of a curve."""

    tag: str
    step: int
    value: float


def scores_uri(round_: Round) -> str:
    """Return the URI of the event file with a round's scores; those of all rounds are one run of TensorBoard."""
    return f"{round_.run.uri}/{FOLDER}/scores/events.out.tfevents.{round_.number:06}"


def training_uri(round_: Round) -> str:
    """Return the URI of the event file with a round's training."""
    return f"{round_.run.uri}/{FOLDER}/round-{round_.number}/events.out.tfevents.000000"


def is_tracked(round_: Round) -> bool:
    """Return True if the scores of a round were written after its summary."""
    times = [look(*filesystem(uri)).mtime_ns for uri in (summary_uri(round_.run, round_.number), scores_uri(round_))]
    return times[1] is not None and times[0] <= times[1]


def write_tensorboard(round_: Round) -> None:
    """Write the curves of a finished round; the scores last, by which the round is known to be written."""
    write_events(training_uri(round_), list_training(read_training_log(round_)))
    write_events(scores_uri(round_), list_scores(read_summary(round_.run, round_.number)))


def list_scores(summary: Summary) -> Iterator[Scalar]:
    """Yield the scores of a round with the ends of their 95 % intervals, and its means; the step is the round."""
    step = summary["round"]
    for name in LABELS | OTHER_LABELS | SPEECH_LABELS:
        for direction, score in scores_by_direction(summary, name).items():
            values = zip(("", "/low", "/high"), (score["after"], *score["ci"]), strict=True)
            yield from (Scalar(f"{name}/{direction}{end}", step, value) for end, value in values)
    for mean in MEANS:
        for direction, sides in means_by_direction(summary, mean).items():
            if sides["after"] is not None:
                yield Scalar(f"{mean}/{direction}", step, sides["after"])


def list_training(log: Iterable[LogLine]) -> Iterator[Scalar]:
    """Yield all numbers of a training log by step, among them the losses; a line without a step has no point."""
    for line in log:
        if "step" in line:
            yield from (Scalar(f"training/{key}", int(line["step"]), line[key]) for key in _list_curves(line))


def _list_curves(line: Mapping[str, object]) -> list[str]:
    """Return the keys of a line that hold a number: not a switch, not a null, not the step or the number of steps."""
    return [key for key, value in line.items() if type(value) in (int, float) and key not in ("step", "of")]


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
