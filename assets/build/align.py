"""Find the words of the paired recordings, and write them beside their units; a killed run continues at the next part.

    python -m assets.build.align build/units
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assets.build.units import MODEL, SPOKEN
from factory.corpora.audio import read
from factory.models.aligners import Aligner, AlignmentError, load_aligner
from schemas.datasets import ALIGNED, Row

PAIRED_SETS = "sft-*"
WITH_WORDS = SPOKEN.append(ALIGNED.field("words"))


def find_words(aligner: Aligner, row: Row) -> list[Row] | None:
    """Return the words (WORD) of a row of SPOKEN; None, and a printed line, where they cannot be found."""
    try:
        return [word._asdict() for word in aligner.align(read(row["audio"]), row["text"], row["lang"])]
    except AlignmentError as error:
        print(f"{row['utt_id']}: {error}", flush=True)
        return None


def align(units: Path) -> None:
    """Add the column `words` to every part of the paired recordings that lacks it."""
    aligner = load_aligner("whisper", MODEL, threads=1)
    for path in sorted(units.glob(f"{PAIRED_SETS}/part-*.parquet")):
        table = pq.read_table(path)
        if "words" not in table.column_names:
            rows = [row | {"words": find_words(aligner, row)} for row in table.to_pylist()]
            pq.write_table(pa.Table.from_pylist(rows, schema=WITH_WORDS), path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
            print(f"{path.parent.name}/{path.name}: {len(rows)} utterances aligned", flush=True)


if __name__ == "__main__":
    align(Path(sys.argv[1]))
