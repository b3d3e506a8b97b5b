"""Does the language of units tell a wrong candidate? Units of a voice that nothing was learned from, by trigrams.

    python benchmarks/unit_language.py --units runs/phrasebook/units/mono --learn 250

The filter `wrong_language` judges candidates without text by their units. A voice could betray the language instead of
the words, so the English of one voice is learned and the English of another one is identified, and the other way round.
The last line of the output is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from factory.passes.unit_languages import UnitLanguages
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, Row

LENGTHS = (10, 20, 1000)
"""First units of an utterance that are looked at."""


def group_by_voice(units: str) -> dict[tuple[str, str], list[list[int]]]:
    """Return the units of utterances by language and voice, the last part of their ids."""
    rows: list[Row] = DatasetDir(units).rows(["utt_id", "lang", "units"], status=OK).to_pylist()
    groups: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["utt_id"]):
        groups[row["lang"], row["utt_id"].rpartition("-")[2]].append(row["units"])
    return groups


def main() -> None:
    """Learn from each choice of one voice per language, and identify the utterances of all others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", required=True, help="a dataset of units of a corpus whose ids end in -VOICE")
    parser.add_argument("--learn", type=int, default=250, help="utterances of each language that are learned")
    options = parser.parse_args()
    groups = group_by_voice(options.units)
    langs = sorted({lang for lang, _ in groups})
    cells = []
    for chosen in product(*([key for key in groups if key[0] == lang] for lang in langs)):
        known = UnitLanguages((key[0], units) for key in chosen for units in groups[key][: options.learn])
        for key, utterances in groups.items():
            unheard = utterances[options.learn :] if key in chosen else utterances
            for length in LENGTHS if unheard else ():
                wrong = [known.wrong_language_probability(units[:length], langs, key[0]) > 0.5 for units in unheard]
                cell = {"learned": [voice for _, voice in chosen], "lang": key[0], "voice": key[1], "units": length}
                cells.append(cell | {"utterances": len(wrong), "taken_for_another": sum(wrong)})
                print("  ".join(f"{name} {value}" for name, value in cells[-1].items()))
    print(json.dumps({"cells": cells}))


if __name__ == "__main__":
    main()
