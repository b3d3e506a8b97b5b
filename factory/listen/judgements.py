"""Judgements by people. Each one is saved at once as a small Parquet file of its own, so a kill loses none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypedDict, cast, get_args
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as pads

from factory.planning.places import Round
from factory.storage.files import filesystem, parquet_files, put_table
from schemas.datasets import SCORES, Scores
from schemas.errors import RoundtripError

Verdict = Literal["a", "b", "same"]
VERDICTS = get_args(Verdict)

JUDGEMENT = pa.schema(
    [
        *[pa.field(name, pa.string()) for name in ("rater", "utt_id", "src_lang", "tgt_lang", "verdict")],
        *[pa.field(f"{side}_index", pa.int32()) for side in ("a", "b")],
        *[pa.field(f"{side}_text", pa.string()) for side in ("a", "b")],
        *[pa.field(f"{side}_scores", SCORES) for side in ("a", "b")],
        pa.field("chosen_by", pa.string()),
        pa.field("seconds", pa.float64()),
        pa.field("at", pa.string()),
    ]
)
"""The columns of `Judgement`, and `at`, the time of saving (ISO 8601, UTC)."""


class ListenError(RoundtripError):
    """A listening session that cannot start, or a sound that cannot be made."""


class Judgement(TypedDict):
    """A blind judgement of two candidates of an utterance."""

    rater: str
    utt_id: str
    src_lang: str
    tgt_lang: str
    verdict: Verdict
    """The better candidate, or `same`."""
    a_index: int
    """The index of candidate A in its row of SCORED."""
    b_index: int
    a_text: str | None
    b_text: str | None
    a_scores: Scores
    b_scores: Scores
    chosen_by: str
    """How the utterance was chosen (`factory.listen.choose`)."""
    seconds: float
    """How long the rater took."""


def save_judgement(round_: Round, judgement: Judgement) -> None:
    """Save a judgement, completely or not at all."""
    fs, folder = filesystem(_folder(round_))
    saved = datetime.now(UTC).isoformat(timespec="milliseconds")
    name = f"judgement-{saved.replace(':', '')}-{uuid4().hex[:8]}.parquet"
    put_table(fs, f"{folder}/{name}", pa.Table.from_pylist([{**judgement, "at": saved}], schema=JUDGEMENT))


def read_judgement_table(round_: Round) -> pa.Table:
    """Return all judgements of a round (JUDGEMENT); if a rater judged an utterance again, the last judgement counts."""
    fs, folder = filesystem(_folder(round_))
    files = [file.path for file in parquet_files(fs, folder)]
    if not files:
        return JUDGEMENT.empty_table()
    table = pads.dataset(files, filesystem=fs, format="parquet", schema=JUDGEMENT).to_table().sort_by("at")
    last = {(row["rater"], row["utt_id"], row["tgt_lang"]): row for row in table.to_pylist()}
    return pa.Table.from_pylist(list(last.values()), schema=JUDGEMENT)


def read_judgements(round_: Round) -> list[Judgement]:
    """Return all judgements of a round."""
    return cast(list[Judgement], read_judgement_table(round_).to_pylist())


def _folder(round_: Round) -> str:
    return f"{round_.uri}/judgements"
