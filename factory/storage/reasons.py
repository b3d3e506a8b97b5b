"""Counts of the status and the reason of rows."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from schemas.datasets import OK

SHOWN_IDS = 5
"""Ids that are listed per reason."""


def slug(reason: str | None) -> str:
    """Return the slug of a reason, by which reasons are counted: the text before its first colon."""
    return (reason or "no_reason").partition(":")[0].strip()


def count_statuses(table: pa.Table) -> dict[str, int]:
    """Return status -> number of rows; rows without the column `status` are ok."""
    if "status" not in table.column_names:
        return {OK: table.num_rows}
    return dict(_count_values(table.column("status")))


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Return slug -> number of rows with such a reason, most frequent first; null is no reason."""
    counts: Counter[str] = Counter()
    if "reason" in table.column_names:
        for reason, number in _count_values(table.column("reason").drop_null()).items():
            counts[slug(reason)] += number
    return dict(counts.most_common())


def list_failures(table: pa.Table, key: str) -> pa.Table:
    """Group the rows that are not ok by status and slug.

    Args:
        table: Rows with the columns `status` and `reason`.
        key: Name of the column with the ids.

    Returns:
        Table of `status`, `reason` (a slug), `count` (rows) and `ids` (the first `SHOWN_IDS`, sorted), most frequent
        first.
    """
    ids: dict[tuple[str, str], list[str]] = {}
    for row in table.select([key, "status", "reason"]).to_pylist():
        if row["status"] != OK:
            ids.setdefault((row["status"], slug(row["reason"])), []).append(row[key])
    ranked = sorted(ids.items(), key=lambda item: (-len(item[1]), item[0]))
    return pa.table(
        {
            "status": pa.array([status for (status, _), _ in ranked], pa.string()),
            "reason": pa.array([reason for (_, reason), _ in ranked], pa.string()),
            "count": pa.array([len(names) for _, names in ranked], pa.int64()),
            "ids": pa.array([sorted(names)[:SHOWN_IDS] for _, names in ranked], pa.list_(pa.string())),
        }
    )


def _count_values(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()})
