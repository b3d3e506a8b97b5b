"""Compute the toplines of the shipped test sets, which every run of the embedded world takes from there.

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

UTTERANCES = 100
"""Test utterances of each language."""


def write_shipped_toplines(out: str) -> None:
    """Tokenize a test set, judge its recordings and their resynthesis, and write the rows with their digest.

    Args:
        out: the file, `assets/NAME/toplines.parquet` for the test set of `recipes/NAME.yaml`.
    """
    sizes = [f"evaluate.{name}_utterances={UTTERANCES}" for name in ("s2t", "asr")]
    recipe = load(f"recipes/{Path(out).parent.name}.yaml", sizes)
    with tempfile.TemporaryDirectory() as folder:
        run, clock = Run(folder), Clock(folder)
        tokenize_corpora(Round(run, 0, recipe), clock)
        units = run.units("test")
        judge_toplines(units, recipe, run.toplines, clock)
        write_toplines(Path(out), digest_toplines(units, recipe), run.toplines.rows(status=OK))


if __name__ == "__main__":
    start_ray()
    for path in SHIPPED:
        write_shipped_toplines(path)
