"""The extras of a finished round: samples, report, history, and curves if they are tracked.

A round counts as finished without them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from factory.planning.kept_recipe import kept_recipe
from factory.planning.places import Round
from factory.runtime.redact import redact


class Extra(NamedTuple):
    """Something made from a finished round, and the command that makes it alone."""

    name: str
    is_made: Callable[[], bool]
    make: Callable[[], object]
    command: str


def list_extras(round_: Round) -> Iterator[Extra]:
    """Yield the extras of a round. They are made with the recipe that the round was run with.

    Whether it is tracked is up to the recipe of the command, so that curves can be had of a finished round too.
    """
    from factory.report.history import has_history, write_history
    from factory.report.report import report_uri, write_report
    from factory.report.samples import has_samples, write_samples
    from factory.report.tracking import is_tracked, track
    from factory.storage.files import exists

    def with_kept_recipe() -> Round:
        """Return the round with its kept recipe. An unreadable one fails only the extras that need it."""
        return replace(round_, recipe=kept_recipe(round_.run, round_.number) or round_.recipe)

    names = f"--round {round_.number} --run {shlex.quote(round_.run.uri)}"
    run, report = f"python factory/run_round.py {names}", f"roundtrip report {names}"
    if round_.number:
        yield Extra("samples", lambda: has_samples(round_), lambda: write_samples(with_kept_recipe()), run)
    yield Extra("report", lambda: exists(report_uri(round_)), lambda: write_report(with_kept_recipe()), report)
    yield Extra("history", lambda: has_history(round_.run), lambda: write_history(round_.run), run)
    for name in round_.recipe.tracking:
        command = f"{run} --set 'tracking=[{name}]'"
        yield Extra(f"tracking by {name}", partial(is_tracked, round_, name), partial(track, round_, name), command)


def make_extras(round_: Round) -> list[str]:
    """Make the missing extras of a finished round; return a sentence for each one that could not be made.

    With ROUNDTRIP_TRACEBACK set the first error is raised instead.
    """
    sentences = []
    for extra in list_extras(round_):
        try:
            if not extra.is_made():
                extra.make()
        except Exception as error:  # any error: the training and the evaluation of the round must not be lost
            if os.environ.get("ROUNDTRIP_TRACEBACK"):
                raise
            problem = f"round {round_.number} of {round_.run.uri} is finished, but its {extra.name} could not be made"
            cause = f"({type(error).__name__}: {error})"
            sentences.append(redact(f"{problem} {cause}; fix that, then run: {extra.command}"))
    return sentences
