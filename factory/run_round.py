"""Run rounds: produce candidates, select pairs, train the next policy, evaluate it.

    python factory/run_round.py --round 1
    python factory/run_round.py --round 1-3
    ray job submit -- python factory/run_round.py --round 2 --recipe recipes/station.yaml --set select.delta=0.2

Round 0 trains the first policy on paired speech. The same command again continues an unfinished round. For a finished
round it only writes samples, report or history if they are missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
if sys.path and Path(sys.path[0] or ".").resolve() == CHECKOUT / "factory":
    # Python puts the folder of a script first: there, our folders would hide libraries of the same name
    sys.path[0] = str(CHECKOUT)

from factory.arguments import INCOMPLETE, run_command, run_parser, stay_local  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run rounds; return 0, or 2 after an error that the user can fix.

    Returns 5 (INCOMPLETE) if the rounds are finished, but samples, a report or the history could not be written.
    """
    arguments = run_parser("run_round.py", __doc__).parse_args(argv)
    stay_local()
    return run_command("run_round", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from factory.planning.places import rounds_from
    from factory.planning.plan import describe
    from factory.rounds import run_rounds

    rounds = rounds_from(arguments)
    if arguments.dry_run:
        print(describe(rounds))
        return 0
    return 0 if run_rounds(rounds) else INCOMPLETE


if __name__ == "__main__":
    sys.exit(main())
