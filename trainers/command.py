"""The command line of a training, as `python -m trainers.sft` and `python -m trainers.preference` have it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.arguments import print_any_text
from factory.recipe.sections import PoolConfig
from factory.recipe.typed import override


def asked(prog: str, told_of: str, places: Sequence[str], also: Sequence[str] = ()) -> dict[str, Any]:
    """Read what a training's function takes: `places` (and those that may be left out), a seed, a pool of workers, and its settings."""
    print_any_text()
    parser = argparse.ArgumentParser(prog=prog, description=told_of)
    for name in (*places, *also):
        parser.add_argument(f"--{name}", type=Path, required=name in places)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="Ray Train workers; 0: in this process")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    given = vars(parser.parse_args())
    settings: dict[str, Any] = {}
    for text in given.pop("settings"):
        override(settings, text)
    workers = given.pop("workers")
    return given | {"settings": settings, "pool": PoolConfig(actors=workers) if workers else None}
