"""Run one round: produce candidates, select pairs, train the next policy, evaluate it.

    python factory/run_round.py --round 1
    python factory/run_round.py --round 1-3
    ray job submit -- python factory/run_round.py --round 2 --recipe recipes/phrasebook.yaml --set select.delta=0.2

Round 0 trains the first policy on paired speech. Run again, a finished round says so and an unfinished one goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if sys.path and Path(sys.path[0] or ".").resolve() == ROOT / "factory":
    sys.path[0] = str(ROOT)  # a script's own folder comes first: `factory/` there would shadow libraries


def round_parser(prog: str, told_of: str | None) -> argparse.ArgumentParser:
    """Return the parser of a command that names a round."""
    parser = argparse.ArgumentParser(prog=prog, description=told_of, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "0: supervised training; N: a preference round; N-M: several in turn, until one lowers the test score (rounds.stop)"
    parser.add_argument("--round", type=numbers, required=True, metavar="N|N-M", help=told)
    parser.add_argument("--recipe", default="recipes/phrasebook.yaml", help="the experiment (default: %(default)s)")
    parser.add_argument("--run", metavar="URI", help="folder or object-store prefix of the run (default: runs/<the recipe's name>)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="print the plan: stages, rows, actors, what is already done")
    return parser


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    return round_parser("run_round.py", __doc__).parse_args(argv)


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


def main(argv: list[str] | None = None) -> int:
    """Run the round; returns 0, or 2 with one sentence on stderr when something the user can mend is wrong."""
    asked = arguments(argv)
    stay_local()
    from factory.recipe import load
    from factory.redact import redact

    try:
        recipe = load(asked.recipe, asked.set)
        from factory.plan import describe
        from factory.rounds import run_rounds
        from factory.runs import Run

        run = Run(asked.run or f"runs/{recipe.name}")
        if asked.dry_run:
            print(describe(run, asked.round, recipe))
        else:
            run_rounds(run, asked.round, recipe)
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("ROUNDTRIP_TRACEBACK"):
            raise
        print(f"run_round: {redact(str(error))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
