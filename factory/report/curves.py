"""The curves of a finished round: its scores with their intervals by round, and the log of its training by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from factory.planning.places import Round
from factory.report.summary import read_summary
from factory.report.summary_types import Summary
from factory.report.table import LABELS, MEANS, OTHER_LABELS, SPEECH_LABELS, means_by_direction, scores_by_direction
from factory.report.training_log import LogLine, read_training_log


class Scalar(NamedTuple):
    """A point of a curve."""

    tag: str
    step: int
    value: float


class Curves(NamedTuple):
    """All points of a round."""

    run: str
    """The name of the run."""
    round: int
    scores: list[Scalar]
    training: list[Scalar]


def read_curves(round_: Round) -> Curves:
    """Return the curves of a finished round."""
    scores = list(list_scores(read_summary(round_.run, round_.number)))
    return Curves(run_name(round_), round_.number, scores, list(list_training(read_training_log(round_))))


def run_name(round_: Round) -> str:
    """Return the name of a round's run: the last part of its URI."""
    return round_.run.uri.rstrip("/").rsplit("/", 1)[-1]


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


def group_by_step(scalars: Iterable[Scalar]) -> dict[int, dict[str, float]]:
    """Return the values of each step by their tags."""
    steps: dict[int, dict[str, float]] = defaultdict(dict)
    for tag, step, value in scalars:
        steps[step][tag] = value
    return steps
