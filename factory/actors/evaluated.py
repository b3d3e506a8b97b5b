"""The rows of an evaluation: the only candidate of a translated row, as columns."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from factory.actors.base import to_table
from factory.actors.greedy import POLICY
from factory.runtime.counters import FRAME_S
from schemas.datasets import EVALUATED, OK, Candidate, Row
from schemas.sequences import words

JUDGED = pa.schema([*EVALUATED, pa.field(POLICY, pa.string())])
"""EVALUATED, and the name of the policy that translated the row."""


def read_evaluated(row: Row, has_back_translation: bool) -> Row:
    """Return a row of TRANSLATED with the fields of its candidate; speech in a malformed text is cut off.

    Args:
        row: a row of TRANSLATED with the status `ok`.
        has_back_translation: whether one was requested as text; one that was lost is "" then, else None.
    """
    candidate: Candidate = row["candidates"][0]
    return row | {
        "source_text": row["text"],
        "text": words(candidate["text"]) if candidate["text"] else candidate["text"],
        "units": candidate["units"],
        "finish": candidate["finish"],
        "back_translation_units": candidate["back_translation_units"],
        "back_translation": (candidate["back_translation"] or "") if has_back_translation else None,
    }


def count_seconds(durations: Sequence[int] | None) -> float | None:
    """Return the length (seconds) of units whose durations (frames of 20 ms) are known; None where they are not."""
    return FRAME_S * sum(durations) if durations else None


def read_texts(table: pa.Table) -> pa.Table:
    """Return rows of TRANSLATED as rows of JUDGED, for policies that write no speech."""
    rows = [read_evaluated(row, True) if row["status"] == OK else row for row in table.to_pylist()]
    return to_table(rows, JUDGED)
