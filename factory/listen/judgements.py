"""Judgements by people, kept in Parquet the moment they are made: one small file each, so that a kill loses none."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as pads

from factory.planning.places import Run
from factory.storage.files import filesystem, parquet_files, put_table
from schemas.datasets import SCORES, Row

JUDGEMENT = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("rater", "utt_id", "src_lang", "tgt_lang", "verdict")],
        *[pa.field(f"{side}_place", pa.int32()) for side in ("a", "b")],
        *[pa.field(f"{side}_text", pa.string()) for side in ("a", "b")],
        *[pa.field(f"{side}_scores", SCORES) for side in ("a", "b")],
        pa.field("chosen_by", pa.string()),
        pa.field("seconds", pa.float64()),
        pa.field("at", pa.string()),
    ]
)
"""A blind judgement of two candidates: `verdict` is `a`, `b` or `same`, `*_place` which candidate of the row each was; `chosen_by` says how
the row was picked, `seconds` how long it took."""
VERDICTS = ("a", "b", "same")


def folder(run: Run, number: int) -> str:
    """Return where the judgements of a round are."""
    return f"{run.place(number)}/judgements"


def keep(run: Run, number: int, judgement: Row) -> None:
    """Write one judgement (columns of JUDGEMENT, without `at`), all or nothing."""
    fs, path = filesystem(folder(run, number))
    row = judgement | {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    put_table(
        fs,
        f"{path}/judgement-{row['at'].replace(':', '')}-{uuid4().hex[:8]}.parquet",
        pa.Table.from_pylist([row], schema=JUDGEMENT),
    )


def judgements_of(run: Run, number: int) -> pa.Table:
    """Return all judgements of a round; of one rater's several on the same utterance the last one counts."""
    fs, path = filesystem(folder(run, number))
    files = [file.path for file in parquet_files(fs, path)]
    if not files:
        return JUDGEMENT.empty_table()
    table = pads.dataset(files, filesystem=fs, format="parquet", schema=JUDGEMENT).to_table().sort_by("at")
    last = {(row["rater"], row["utt_id"], row["tgt_lang"]): row for row in table.to_pylist()}
    return pa.Table.from_pylist(list(last.values()), schema=JUDGEMENT)
