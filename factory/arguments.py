"""What the commands share: the options that name a round, and how a RoundtripError becomes exit code 2."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable

from factory.runtime.redact import redact
from schemas.errors import RoundtripError

RECIPE = "recipes/station.yaml"
"""The recipe of a command that names none."""
INCOMPLETE = 5
"""Exit code of a run whose rounds are finished, but whose samples, report or history are not all written.

It is not 0, because a script would not notice; not 2, which says that a round is not finished; and none of the codes of
`roundtrip submit` (1, 3, 4).
"""


INTERRUPTED = 130
"""Exit code after Ctrl-C, as that of a shell: 128 and the number of the signal."""


def print_any_text() -> None:
    """Let stdout and stderr print `?` for what the terminal's encoding lacks. Every command calls this first."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def round_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a command that names rounds."""
    print_any_text()
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--round",
        type=parse_rounds,
        required=True,
        metavar="N|N-M",
        help="0: supervised training; N: a preference round; N-M: several rounds, until one lowers the test score "
        "(rounds.stop)",
    )
    recipe = "the experiment (default: %(default)s)"
    parser.add_argument("--recipe", default=RECIPE, metavar="PATH", help=recipe)
    run = "folder or object-store prefix of the run (default: runs/NAME, with the recipe's name)"
    parser.add_argument("--run", metavar="URI", help=run)
    change = "change a key of the recipe; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=change)
    return parser


def run_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a command that runs rounds, here or on a cluster."""
    parser = round_parser(prog, description)
    plan = "print the plan and exit: stages, rows, actors, and what is done"
    parser.add_argument("--dry-run", action="store_true", help=plan)
    return parser


def parse_rounds(text: str) -> range:
    """Return the rounds of `2` or `1-3`; raise ValueError, which argparse reports as an invalid argument."""
    first, _, last = text.partition("-")
    if int(last or first) < int(first):
        raise ValueError(text)
    return range(int(first), int(last or first) + 1)


def parse_count(text: str) -> int:
    """Return a number of rows; raise ArgumentTypeError, which argparse reports, for less than one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return int(text)


def parse_name(text: str) -> str:
    """Return a name; raise ArgumentTypeError, which argparse reports, if nothing of it can be seen."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, got an empty text")
    return text


def stay_local() -> None:
    """Let a Ray that is started here listen on the loopback interface only.

    Ray's variable for this is named after other systems, and Ray reads it when it is imported.
    """
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def run_command(prog: str, command: Callable[[], int]) -> int:
    """Return the exit code of a command: its own, 2 after a RoundtripError, whose message is printed, or INTERRUPTED.

    With ROUNDTRIP_TRACEBACK set, that error or Ctrl-C is raised instead. Every other error is a bug and keeps its
    traceback.

    Args:
        prog: the name of the command, for the message.
        command: the function to call; it returns an exit code.
    """
    print_any_text()
    try:
        return command()
    except KeyboardInterrupt:
        if os.environ.get("ROUNDTRIP_TRACEBACK"):
            raise
        print(f"{prog}: stopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    except RoundtripError as error:
        if os.environ.get("ROUNDTRIP_TRACEBACK"):
            raise
        print(f"{prog}: {redact(str(error))}", file=sys.stderr)
        return 2
