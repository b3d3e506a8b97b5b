"""What the commands have in common: how a round is named, and how an error that the user can mend is told."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable

from factory.runtime.redact import redact
from schemas.errors import RoundtripError

UNMADE = 5
"""Exit code of a run whose rounds are finished, and whose samples, report or history are not all made: not 0, or a
script would never know; not 2, which says that a round is not finished; and none of `roundtrip submit`'s own (1, 3,
4)."""


def print_any_text() -> None:
    """Let stdout and stderr put a `?` for what the terminal's encoding lacks; every command calls it before it prints anything."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def round_parser(prog: str, told_of: str | None) -> argparse.ArgumentParser:
    """Return the parser of a command that names a round."""
    print_any_text()
    parser = argparse.ArgumentParser(
        prog=prog, description=told_of, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    told = "0: supervised training; N: a preference round; N-M: several in turn, until one lowers the test score (rounds.stop)"
    parser.add_argument("--round", type=numbers, required=True, metavar="N|N-M", help=told)
    parser.add_argument("--recipe", default="recipes/phrasebook.yaml", help="the experiment (default: %(default)s)")
    parser.add_argument(
        "--run", metavar="URI", help="folder or object-store prefix of the run (default: runs/<the recipe's name>)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe; may be repeated"
    )
    return parser


def running_parser(prog: str, told_of: str | None) -> argparse.ArgumentParser:
    """Return the parser of a command that runs a round, here or elsewhere."""
    parser = round_parser(prog, told_of)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan: stages, rows, actors, what is already done"
    )
    return parser


def numbers(text: str) -> range:
    """Read `2` or `1-3` as rounds; raises ValueError, which argparse tells as a wrong argument."""
    first, _, last = text.partition("-")
    if int(last or first) < int(first):
        raise ValueError(text)
    return range(int(first), int(last or first) + 1)


def stay_local() -> None:
    """Let a Ray that is started here listen on loopback alone: its way to do so is named for other systems and read when it is imported."""
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def run_command(prog: str, work: Callable[[], int]) -> int:
    """Return what `work` returns; 2, with one sentence on stderr that holds no secret, where it raises what the user can mend.

    With ROUNDTRIP_TRACEBACK set the error is raised instead.
    """
    print_any_text()
    try:
        return work()
    except RoundtripError as error:
        if os.environ.get("ROUNDTRIP_TRACEBACK"):
            raise
        print(f"{prog}: {redact(str(error))}", file=sys.stderr)
        return 2
