"""The base of actors: rows that are not `ok` pass through, and a row that raises fails alone."""

from __future__ import annotations

import pyarrow as pa
import pytest

from factory.actors.base import RowActor, mark_failed, to_table
from schemas.datasets import FAILED, OK, SCORED, SKIPPED, UNITS, Row


class Doubler(RowActor):
    """Writes a row's units twice; raises for the text `bad`, and records the batches that it was given."""

    schema = UNITS

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def process(self, rows: list[Row]) -> list[Row]:
        self.batches.append([row["utt_id"] for row in rows])
        if any(row["text"] == "bad" for row in rows):
            raise ValueError("token hf_abcdefghijklmnopqrst is wrong")
        return [row | {"units": row["units"] * 2} for row in rows]


def table(*texts: str, status: str = OK) -> pa.Table:
    rows = [
        {"utt_id": f"u{number}", "lang": "fr", "text": text, "units": [number], "status": status}
        for number, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=UNITS)


def test_the_row_that_raises_is_isolated_and_its_reason_holds_no_credentials() -> None:
    actor = Doubler()
    done = actor(table("a", "b", "c", "bad", "e"))
    assert done.schema == UNITS
    assert done["utt_id"].to_pylist() == ["u0", "u1", "u2", "u3", "u4"]
    assert done["units"].to_pylist() == [[0, 0], [1, 1], [2, 2], [3], [4, 4]]
    assert done["status"].to_pylist() == [OK, OK, OK, FAILED, OK]
    assert done["reason"].to_pylist() == [None, None, None, "error: ValueError: token *** is wrong", None]
    assert actor.batches == [["u0", "u1", "u2", "u3", "u4"], ["u0", "u1"], ["u2", "u3", "u4"], ["u2"], ["u3", "u4"]] + [
        ["u3"],
        ["u4"],
    ]


def test_only_ok_rows_are_processed() -> None:
    actor = Doubler()
    skipped = actor(table("bad", status=SKIPPED)).to_pylist()
    assert actor.batches == [] and (skipped[0]["status"], skipped[0]["units"]) == (SKIPPED, [0])


def test_rows_without_a_status_are_processed() -> None:
    assert Doubler()(table("a", "b").drop_columns(["status"]))["units"].to_pylist() == [[0, 0], [1, 1]]


def test_the_traceback_of_a_row_is_logged_without_credentials(caplog: pytest.LogCaptureFixture) -> None:
    Doubler()(table("bad"))
    assert "row u0 failed in Doubler" in caplog.text and "Traceback" in caplog.text
    assert "token *** is wrong" in caplog.text and "hf_" not in caplog.text


def test_a_reason_is_cut() -> None:
    assert mark_failed({"utt_id": "a"}, "x" * 501) == {"utt_id": "a", "status": FAILED, "reason": "x" * 500}


def test_a_row_that_lacks_columns_still_fits_the_schema() -> None:
    rows = to_table([{"utt_id": "a", "lang": "fr"}, {"utt_id": None, "src_lang": "en", "status": FAILED}], SCORED)
    assert rows.schema == SCORED
    assert rows["src_lang"].to_pylist() == ["fr", "en"]
    assert (rows["utt_id"].to_pylist(), rows["tgt_lang"].to_pylist()) == (["a", ""], ["", ""])
    assert rows["status"].to_pylist() == [OK, FAILED]
