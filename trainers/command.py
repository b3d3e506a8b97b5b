"""The command line of a training, as in `python -m trainers.sft` and `python -m trainers.preference`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from factory.arguments import print_any_text, run_command
from factory.recipe.resources import PoolConfig
from factory.recipe.typed import build, override
from trainers.launch import Workers

C = TypeVar("C")


def parse_arguments(
    prog: str,
    description: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    argv: Sequence[str] | None = None,
) -> argparse.Namespace:
    """Return the arguments of a training.

    Args:
        prog: the command, for its help.
        description: what it does, for its help.
        required: options that name a path or a URI.
        optional: the same, but they may be left out.
        argv: the words of the command line; None takes those of this process.

    Returns:
        The paths by name, `seed`, `workers` (Workers or None) and `settings` (a list of key=value).
    """
    print_any_text()
    parser = argparse.ArgumentParser(prog=prog, description=description)
    for name in (*required, *optional):
        parser.add_argument(f"--{name}", required=name in required)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="workers on Ray; 0: train in this process")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    arguments = parser.parse_args(argv)
    arguments.workers = Workers(PoolConfig(actors=arguments.workers)) if arguments.workers else None
    return arguments


def build_config(cls: type[C], section: str, settings: Sequence[str]) -> C:
    """Return a section of a recipe from `key=value` texts; raises RecipeError for a wrong key or value."""
    values: dict[str, object] = {}
    for text in settings:
        override(values, text)
    return build(cls, values, section)


def run_training(prog: str, train: Callable[[], object]) -> int:
    """Print what a training returns as JSON; return 0, or 2 with one sentence on stderr for an error of the user."""

    def run() -> int:
        print(json.dumps(train(), indent=2))
        return 0

    return run_command(prog, run)
