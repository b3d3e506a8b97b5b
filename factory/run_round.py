"""Run one round: produce candidates, select pairs, train the next policy, evaluate it.

    python factory/run_round.py --round 1
    python factory/run_round.py --round 1-3
    ray job submit -- python factory/run_round.py --round 2 --recipe recipes/phrasebook.yaml --set select.delta=0.2

Round 0 trains the first policy on paired speech. Run again, a finished round says so and an unfinished one goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if sys.path and Path(sys.path[0] or ".").resolve() == ROOT / "factory":
    sys.path[0] = str(ROOT)  # a script's own folder comes first: `factory/` there would shadow libraries

from factory.arguments import UNMADE, run_command, running_parser, stay_local  # noqa: E402


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    return running_parser("run_round.py", __doc__).parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the round; returns 0, or 2 with one sentence on stderr when something the user can fix is wrong.

    5 (UNMADE) says that the rounds are finished and that samples, a report or the history could not be made of them.
    """
    asked = arguments(argv)
    stay_local()
    return run_command("run_round", lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    from factory.planning.places import Run
    from factory.planning.plan import describe
    from factory.recipe.loading import load
    from factory.rounds import run_rounds

    recipe = load(asked.recipe, asked.set)
    run = Run(asked.run or f"runs/{recipe.name}")
    if asked.dry_run:
        print(describe(run, asked.round, recipe))
        return 0
    return 0 if run_rounds(run, asked.round, recipe) else UNMADE


if __name__ == "__main__":
    sys.exit(main())
