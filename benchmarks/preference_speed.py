"""Measure preference training: CPU seconds per pair and epoch, with the settings of a recipe.

    python benchmarks/preference_speed.py [--pairs 64] [--rounds 2] [--set preference.precision=fp32] [--set ...]

The pairs are made from shipped candidates by `select`. Each round trains the shipped policy once for one epoch and once
for three; the difference of the CPU times of the process is the time of two epochs, without loading and start-up. The
last line is JSON: the median, and every round. The held-out figures are of the training of three epochs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa
import pyarrow.parquet as pq

from factory.passes.select import make_pair
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, PAIR
from trainers.preference import train_preference

ROOT = Path(__file__).resolve().parents[1]
SCORED = ROOT / "assets/reproduce/com-s1-bleu/round-1/scored"
POLICY = ROOT / "assets/phrasebook/policy"
SHORT, LONG = 1.0, 3.0
"""Epochs of the two trainings of a round."""


def write_pairs(recipe: Recipe, count: int, out: Path) -> None:
    """Write the first `count` pairs of the shipped candidates."""
    rows = DatasetDir(str(SCORED)).rows(status=OK).to_pylist()
    pairs = (make_pair(row, recipe.select, recipe.policy.variant, recipe.scorer.metrics) for row in rows)
    usable = [pair for pair in pairs if pair["status"] == OK][:count]
    pq.write_table(pa.Table.from_pylist(usable, schema=PAIR), out)


def train(recipe: Recipe, pairs: Path, epochs: float) -> tuple[float, dict[str, object]]:
    """Train once, and return the CPU seconds of this process and the summary of the training."""
    config = replace(recipe.preference, epochs=epochs, threads=1, warmup=0.0)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        summary = train_preference(str(pairs), str(POLICY), f"{folder}/policy", config, seed=recipe.seed)
        return time.process_time() - start, dict(summary)


def main() -> None:
    """Measure, and print the result as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    recipe = load(ROOT / "recipes/phrasebook.yaml", options.set)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder, "pairs.parquet")
        write_pairs(recipe, options.pairs, pairs)
        train(recipe, pairs, SHORT)  # the first training of a process also imports and initialises libraries
        for _ in range(options.rounds):
            short, _summary = train(recipe, pairs, SHORT)
            long, summary = train(recipe, pairs, LONG)
            trained = options.pairs * (1 - recipe.preference.held_out)
            seconds.append(round((long - short) / (LONG - SHORT) / trained, 4))
            print(f"{seconds[-1]} CPU s per pair and epoch", flush=True)
    held_out = summary.get("held_out")
    print(json.dumps({"cpu_s_per_pair_and_epoch": statistics.median(seconds), "rounds": seconds, "held_out": held_out}))


if __name__ == "__main__":
    main()
