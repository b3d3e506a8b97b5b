"""Counts of status and reason."""

from __future__ import annotations

import pyarrow as pa
import pytest

from factory.storage.reasons import count_reasons, count_statuses, list_failures, slug


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("too_short: 0.02 s of audio: at least 0.10 s", "too_short"),
        (" error : no", "error"),
        ("tie", "tie"),
        ("", "no_reason"),
        (None, "no_reason"),
    ],
)
def test_the_slug_of_a_reason_is_its_text_before_the_first_colon(reason: str | None, expected: str) -> None:
    assert slug(reason) == expected


def rows(*statuses_and_reasons: tuple[str, str | None]) -> pa.Table:
    """Return rows u0, u1, ... with these statuses and reasons."""
    listed = [
        {"utt_id": f"u{index}", "status": status, "reason": reason}
        for index, (status, reason) in enumerate(statuses_and_reasons)
    ]
    schema = pa.schema([("utt_id", pa.string()), ("status", pa.string()), ("reason", pa.string())])
    return pa.Table.from_pylist(listed, schema=schema)


def test_statuses_are_counted_and_rows_without_one_are_ok() -> None:
    table = rows(("ok", None), ("failed", "error: a"), ("ok", None), ("skipped", "tie"))
    assert count_statuses(table) == {"ok": 2, "failed": 1, "skipped": 1}
    assert count_statuses(table.drop_columns(["status"])) == {"ok": 4}
    assert count_statuses(rows()) == {}


def test_reasons_are_counted_by_slug_most_frequent_first() -> None:
    table = rows(("skipped", "tie: 1"), ("failed", "error: a"), ("failed", "error: b"), ("ok", None), ("failed", ""))
    assert list(count_reasons(table).items()) == [("error", 2), ("tie", 1), ("no_reason", 1)]
    assert count_reasons(pa.concat_tables([table, table])) == {"error": 4, "tie": 2, "no_reason": 2}
    assert count_reasons(table.drop_columns(["reason"])) == {}


def test_failures_are_grouped_by_status_and_slug() -> None:
    table = rows(
        ("skipped", "tie: 1"),
        ("failed", "error: a"),
        ("ok", None),
        ("failed", "error: b"),
        ("skipped", "error: c"),
        ("failed", None),
    )
    assert list_failures(table, "utt_id").to_pylist() == [
        {"status": "failed", "reason": "error", "count": 2, "ids": ["u1", "u3"]},
        {"status": "failed", "reason": "no_reason", "count": 1, "ids": ["u5"]},
        {"status": "skipped", "reason": "error", "count": 1, "ids": ["u4"]},
        {"status": "skipped", "reason": "tie", "count": 1, "ids": ["u0"]},
    ]


def test_failures_show_the_first_ids_alone() -> None:
    table = rows(*[("skipped", "tie")] * 7)
    assert list_failures(table.take([6, 5, 4, 3, 2, 1, 0]), "utt_id").to_pylist() == [
        {"status": "skipped", "reason": "tie", "count": 7, "ids": ["u0", "u1", "u2", "u3", "u4"]}
    ]


def test_no_failures_are_an_empty_table_with_its_columns() -> None:
    failures = list_failures(rows(("ok", None)), "utt_id")
    assert failures.num_rows == 0
    assert [str(field.type) for field in failures.schema] == ["string", "string", "int64", "list<item: string>"]
