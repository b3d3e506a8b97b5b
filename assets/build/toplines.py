"""Compute the toplines of the shipped test set, which every run of the embedded world takes from there.

    python -m assets.build.toplines
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from factory.passes.progress import Clock
from factory.passes.toplines import SHIPPED, digest_toplines, judge_toplines, write_toplines
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.rounds import tokenize_corpora
from factory.runtime.local_ray import start_ray
from schemas.datasets import OK

ALL = 100
"""Test utterances of each language."""


def main() -> None:
    """Tokenize the test set, judge its recordings and their resynthesis, and write the rows with their digest."""
    recipe = load("recipes/phrasebook.yaml", [f"evaluate.{name}_utterances={ALL}" for name in ("s2t", "asr")])
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        run, clock = Run(folder), Clock(folder)
        tokenize_corpora(Round(run, 0, recipe), clock)
        units = run.units("test")
        judge_toplines(units, recipe, run.toplines, clock)
        write_toplines(Path(SHIPPED), digest_toplines(units, recipe), run.toplines.rows(status=OK))


if __name__ == "__main__":
    main()
