"""The change of BLEU by a round, averaged over runs with different seeds.

    python benchmarks/pooled_rounds.py runs/station runs/station-2 runs/station-3

The runs have the same test set. The interval is a bootstrap over test utterances; the same utterances are drawn for all
runs. Prints a line for each direction and score; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.reproduce_changes import COLUMNS, SCORES, make_sample  # noqa: E402
from factory.metrics import bootstrap  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import Row  # noqa: E402


def read_evaluation(run: str, number: int) -> dict[str, list[Row]]:
    """Return the rows of an evaluation by direction, in the order of their ids."""
    rows = DatasetDir(f"{run}/round-{number}/evaluation").rows(status="ok").to_pylist()
    directions = sorted({f"{row['src_lang']}-{row['tgt_lang']}" for row in rows})
    ordered = sorted(rows, key=lambda row: row["utt_id"])
    return {name: [row for row in ordered if f"{row['src_lang']}-{row['tgt_lang']}" == name] for name in directions}


def main() -> None:
    """Print the mean changes by round 1 of the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--round", type=int, default=1)
    arguments = parser.parse_args()
    before = [read_evaluation(run, arguments.round - 1) for run in arguments.runs]
    after = [read_evaluation(run, arguments.round) for run in arguments.runs]
    found: dict[str, list[float]] = {}
    for direction in before[0]:
        lang = direction.split("-")[1]
        for key, score in SCORES.items():
            sides = [
                bootstrap.average([make_sample(rows[direction], COLUMNS[key], lang) for rows in side])
                for side in (after, before)
            ]
            point, low, high = bootstrap.compare(*sides).difference
            found[f"{score} {direction}"] = [round(value, 2) for value in (point, low, high)]
            print(f"{score:<9} {direction}  {point:+.2f} [{low:+.2f}, {high:+.2f}]")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
