"""Transcribe every test utterance of evaluations that transcribed a part of them.

    python benchmarks/hear_all.py --start RUNS/com-start/round-0 \\
        --rounds RUNS/com-s1-bleu/round-1 RUNS/com-s2-bleu/round-1

More utterances make the interval of ASR-BLEU narrower. The transcripts are kept next to the records of
`make reproduce`, in a file per evaluation and direction. If the script is killed and called again, it continues with
the missing files. It prints the changes of ASR-BLEU by each round and their mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import cast

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
from factory.report.summary_types import Summary  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from factory.storage.files import put_table  # noqa: E402
from schemas.datasets import EVALUATED, Row  # noqa: E402

Transcriber = Callable[[list[list[int]], str], list[str]]
"""A function of the units of utterances and their language, which returns their transcripts."""
BATCH = 50
SCHEMA = pa.schema([EVALUATED.field(name) for name in SAID])


@cache
def load_transcriber(recipe: str) -> Transcriber:
    """Return a transcriber with the vocoders and the recognizer of a recipe."""
    from factory.models.voice import Voice

    loaded = load(recipe)
    threads = loaded.resources.recognizer.threads
    voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in actor_vocoders(loaded).items()}
    recognizer = load_recognizer(actor_recognizer(loaded), threads)
    return lambda units, lang: recognizer.transcribe(voices[lang].speak(units), lang)


def transcribe_evaluation(evaluation: Path, to: Path, transcribe: Transcriber) -> Record:
    """Return a record of an evaluation with a transcript of every utterance, empty if a translation has no units.

    Args:
        evaluation: the dataset of EVALUATED.
        to: the folder of the transcripts.
        transcribe: the transcriber.

    Raises:
        ValueError: the transcripts in the folder belong to another policy.
    """
    path = to / f"{evaluation.parent.parent.name}.parquet"
    rows = DatasetDir(str(evaluation)).rows([*SAID, "units"], status="ok").sort_by("utt_id").to_pylist()
    if path.exists() and texts(path) != {row["utt_id"]: row["text"] for row in rows}:
        raise ValueError(
            f"{path} has transcripts of another policy than {evaluation.parent}; delete it, or give another --to"
        )
    if not path.exists():
        tables = [_transcribe_direction(rows, direction, path, transcribe) for direction in DIRECTIONS]
        put_table(LocalFileSystem(), str(path), pa.concat_tables(tables))
        for part in to.glob(f"{path.stem}.*.part"):
            part.unlink()
    return Record(path, cast(Summary, {}), None, "", 0)


def _transcribe_direction(rows: list[Row], direction: str, path: Path, transcribe: Transcriber) -> pa.Table:
    part = path.with_suffix(f".{direction}.part")
    if not part.exists():
        selected = [row for row in rows if f"{row['src_lang']}-{row['tgt_lang']}" == direction]
        missing = [row for row in selected if row["asr_text"] is None and row["units"]]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            transcripts = transcribe([row["units"] for row in batch], direction.split("-")[1])
            for row, text in zip(batch, transcripts, strict=True):
                row["asr_text"] = text
        complete = [row | {"asr_text": row["asr_text"] or ""} for row in selected]
        put_table(LocalFileSystem(), str(part), pa.Table.from_pylist(complete, schema=SCHEMA))
    return pq.read_table(part)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="hear_all", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", type=Path, required=True, help="the round with the start policy of the others")
    parser.add_argument("--rounds", type=Path, nargs="+", required=True, help="rounds that differ in their seed")
    parser.add_argument(
        "--recipe",
        default="recipes/phrasebook.yaml",
        help="the recipe with the vocoders and the recognizer (default: %(default)s)",
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=ROOT / "docs/reproduce/heard",
        help="folder of the transcripts (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> None:
    """Transcribe the missing utterances, and print the changes by the rounds."""
    options = parse_options()
    options.to.mkdir(parents=True, exist_ok=True)

    def transcribe(units: list[list[int]], lang: str) -> list[str]:
        """Load the models at the first call, and transcribe."""
        return load_transcriber(options.recipe)(units, lang)

    records = {}
    for folder in (options.start, *options.rounds):
        records[folder.parent.name] = transcribe_evaluation(folder / "evaluation", options.to, transcribe)
    start, *names = records
    sides = {direction: [direction] for direction in DIRECTIONS} | {"mean of both": list(DIRECTIONS)}
    for group in [*([name] for name in names), names]:
        changes = [
            f"{words} {signed(*change(records, group, [start], side, 'asr_bleu'))}" for words, side in sides.items()
        ]
        print(f"{', '.join(group)}: ASR-BLEU {'; '.join(changes)}")


if __name__ == "__main__":
    main()
