"""Pairs with a malformed back-translation: it is scored as the worst, whatever its translation is worth."""

from __future__ import annotations

import pyarrow.compute as pc

from factory.report.pairs import SIDES
from factory.report.summary_types import MalformedPairs
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK


def count_malformed(pairs: DatasetDir) -> MalformedPairs | None:
    """Count the pairs that have a malformed back-translation, and on which side.

    Args:
        pairs: a dataset of PAIR.

    Returns:
        The counts; None if no pair was translated back, or the dataset is older than the columns.
    """
    columns = [f"{side}_back_translation_finish" for side in SIDES]
    if not set(columns) <= set(pairs.column_names()):
        return None
    rows = pairs.rows(columns, status=OK)
    if all(rows[column].null_count == rows.num_rows for column in columns):
        return None
    chosen, rejected = (pc.fill_null(pc.not_equal(rows[column], OK), False) for column in columns)
    counts = [pc.sum(marked).as_py() for marked in (pc.or_(chosen, rejected), chosen, rejected)]
    return MalformedPairs(pairs=counts[0], chosen=counts[1], rejected=counts[2], of=rows.num_rows)


def describe_malformed(counts: MalformedPairs | None) -> str | None:
    """Return a sentence with the counts; None without counts."""
    if counts is None:
        return None
    sides = f"{counts['chosen']:,} chosen, {counts['rejected']:,} rejected"
    return f"{counts['pairs']:,} of {counts['of']:,} pairs have a malformed back-translation ({sides}), scored as worst"
