"""What a finished round has besides its numbers: samples to hear, a report, the run's history. None of them can lose
it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact


class Part(NamedTuple):
    """A thing made of a finished round: whether it is there, how it is made, and the command that makes it alone."""

    name: str
    is_made: Callable[[], bool]
    make: Callable[[], object]
    command: str


def parts(run: Run, number: int, recipe: Callable[[], Recipe]) -> Iterator[Part]:
    """Yield the parts of a round; `recipe` returns the one that it was run with, and is asked where a part is made."""
    from factory.report.history import has_history, write_history
    from factory.report.report import report_place, write_report
    from factory.report.samples import has_samples, speak_samples
    from factory.storage.files import exists

    again = f"python factory/run_round.py --round {number} --run {run.uri}"
    report = f"roundtrip report --round {number} --run {run.uri}"
    if number:
        yield Part("samples", lambda: has_samples(run, number), lambda: speak_samples(run, number, recipe()), again)
    yield Part("report", lambda: exists(report_place(run, number)), lambda: write_report(run, number, recipe()), report)
    yield Part("history", lambda: has_history(run), lambda: write_history(run), again)


def make_parts(run: Run, number: int, recipe: Callable[[], Recipe]) -> list[str]:
    """Make what a finished round lacks, and nothing else; return a sentence for each part that could not be made.

    `recipe` returns the one that the round was run with. With ROUNDTRIP_TRACEBACK set the first error is raised instead.
    """
    sentences = []
    for part in parts(run, number, recipe):
        try:
            if not part.is_made():
                part.make()
        except Exception as error:  # whatever it is: what was trained and measured is there, and counts
            if os.environ.get("ROUNDTRIP_TRACEBACK"):
                raise
            what = f"round {number} of {run.uri} is finished, and its {part.name} could not be made"
            sentences.append(
                redact(f"{what} ({type(error).__name__}: {error}); once that is fixed, this makes it: {part.command}")
            )
    return sentences
