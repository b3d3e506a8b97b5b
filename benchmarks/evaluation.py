"""Evaluate the shipped policy on 1,000 utterances per direction, as text alone, and print its scores and intervals.

    python benchmarks/evaluation.py [--utterances 1000] [--spoken 1]

The test set is `assets/phrasebook/mono_units.parquet`: sentences that the policy was not trained on, as units. The last
line is JSON: seconds of the evaluation by the clock, and S2T BLEU with its interval on all utterances and on the first
100 of each direction.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.passes.evaluate import evaluate  # noqa: E402
from factory.passes.paired import write_utterances  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.planning.places import Round, Run  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.report.scores import score_evaluation  # noqa: E402
from factory.runtime.local_ray import start_ray  # noqa: E402
from schemas.datasets import Row  # noqa: E402

TEST = "assets/phrasebook/mono_units.parquet"
POLICY = "assets/phrasebook/policy"
FEW = 100
"""Utterances per direction of the second score."""


def score(rows: list[Row], recipe: Recipe) -> dict[str, list[float]]:
    """Return BLEU and the ends of its interval, by direction."""
    scores = score_evaluation(rows, None, recipe)["s2t_bleu"]
    return {direction: [one["after"], *one["ci"]] for direction, one in scores.items() if one is not None}


def choose_first(rows: list[Row], count: int) -> list[Row]:
    """Return the first rows of each source language, by id."""
    chosen: list[Row] = []
    for lang in sorted({row["src_lang"] for row in rows}):
        chosen += sorted((row for row in rows if row["src_lang"] == lang), key=lambda row: str(row["utt_id"]))[:count]
    return chosen


def main() -> None:
    """Translate the utterances, score them, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1000, help="per direction (default: %(default)s)")
    parser.add_argument("--spoken", type=int, default=1, help="of them with speech (default: %(default)s)")
    options = parser.parse_args()
    sizes = [f"evaluate.s2t_utterances={options.utterances}", f"evaluate.asr_utterances={options.spoken}"]
    recipe = load(ROOT / "recipes/phrasebook.yaml", [f"corpus.test={TEST}", *sizes])
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        write_utterances(str(ROOT / TEST), "test", recipe, run.units("test"))
        out = Round(run, 0, recipe).evaluation
        began = time.monotonic()
        evaluate(run.units("test"), [(str(ROOT / POLICY), out)], recipe, Clock(folder))
        seconds = round(time.monotonic() - began, 1)
        rows = out.rows().to_pylist()
    few = score(choose_first(rows, FEW), recipe)
    print(json.dumps({"seconds": seconds, "rows": len(rows), "s2t_bleu": score(rows, recipe), f"first_{FEW}": few}))


if __name__ == "__main__":
    main()
