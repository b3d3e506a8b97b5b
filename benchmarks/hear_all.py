"""Hear every test utterance of evaluations that heard a part of them: the interval of ASR-BLEU narrows with the root of their number.

    python benchmarks/hear_all.py --start RUNS/com-start/round-0 --rounds RUNS/com-s1-bleu/round-1 RUNS/com-s2-bleu/round-1

What was heard is kept beside the records of `make reproduce`, a file for each evaluation and direction; killed and
called again, it goes on with those that are missing. Prints what the rounds change, each and on average.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.reproduce_changes import DIRECTIONS, change, signed  # noqa: E402
from benchmarks.reproduce_records import SAID, Record, texts  # noqa: E402
from factory.actors.recognition import load_recognizer  # noqa: E402
from factory.passes.weights import actor_recognizer, actor_vocoders  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from factory.storage.files import put_table  # noqa: E402
from schemas.datasets import EVALUATED, Row  # noqa: E402

Hear = Callable[[list[list[int]], str], list[str]]
AT_ONCE = 50
SCHEMA = pa.schema([EVALUATED.field(name) for name in SAID])


@cache
def ears(recipe: str) -> Hear:
    """Return what speaks units in a language and hears them, with the voices and the recognizer of a recipe."""
    from factory.models.voice import Voice

    loaded = load(recipe)
    threads = loaded.resources.recognizer.threads
    voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in actor_vocoders(loaded).items()}
    recognizer = load_recognizer(actor_recognizer(loaded), threads)
    return lambda units, lang: recognizer.transcribe(voices[lang].speak(units), lang)


def heard(evaluation: Path, to: Path, hear: Hear) -> Record:
    """Return a record of an evaluation of which every utterance is heard; silence, as ever, where a translation has no units."""
    place = to / f"{evaluation.parent.parent.name}.parquet"
    rows = DatasetDir(str(evaluation)).rows([*SAID, "units"], status="ok").sort_by("utt_id").to_pylist()
    if place.exists() and texts(place) != {row["utt_id"]: row["text"] for row in rows}:
        raise ValueError(
            f"{place} was heard of another policy than {evaluation.parent}'s: delete it, or give another --to"
        )
    if not place.exists():
        tables = [_direction(rows, direction, place, hear) for direction in DIRECTIONS]
        put_table(LocalFileSystem(), str(place), pa.concat_tables(tables))
        for part in to.glob(f"{place.stem}.*.part"):
            part.unlink()
    return Record(place, {}, None, "", 0)


def _direction(rows: list[Row], direction: str, place: Path, hear: Hear) -> pa.Table:
    part = place.with_suffix(f".{direction}.part")
    if not part.exists():
        told = [row for row in rows if f"{row['src_lang']}-{row['tgt_lang']}" == direction]
        waiting = [row for row in told if row["asr_text"] is None and row["units"]]
        for first in range(0, len(waiting), AT_ONCE):
            some = waiting[first : first + AT_ONCE]
            for row, text in zip(some, hear([row["units"] for row in some], direction.split("-")[1]), strict=True):
                row["asr_text"] = text
        silent = [row | {"asr_text": row["asr_text"] or ""} for row in told]
        put_table(LocalFileSystem(), str(part), pa.Table.from_pylist(silent, schema=SCHEMA))
    return pq.read_table(part)


def main() -> None:
    """Hear what is missing, and tell what the rounds change."""
    parser = argparse.ArgumentParser(
        prog="hear_all", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", type=Path, required=True, help="round whose policy the others start from")
    parser.add_argument("--rounds", type=Path, nargs="+", required=True, help="rounds that differ in their seed")
    parser.add_argument(
        "--recipe", default="recipes/phrasebook.yaml", help="whose voices and recognizer (default: %(default)s)"
    )
    parser.add_argument(
        "--to", type=Path, default=ROOT / "docs/reproduce/heard", help="folder of what was heard (default: %(default)s)"
    )
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    told = {}
    for place in (asked.start, *asked.rounds):
        told[place.parent.name] = heard(
            place / "evaluation", asked.to, lambda units, lang: ears(asked.recipe)(units, lang)
        )
    start, *names = told
    sides = {direction: [direction] for direction in DIRECTIONS} | {"mean of both": DIRECTIONS}
    for some in [*([name] for name in names), names]:
        changes = [f"{words} {signed(*change(told, some, start, side, 'asr_bleu'))}" for words, side in sides.items()]
        print(f"{', '.join(some)}: ASR-BLEU {'; '.join(changes)}")


if __name__ == "__main__":
    main()
