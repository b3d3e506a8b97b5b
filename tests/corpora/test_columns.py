"""Other people's cells: what is a text, what is nothing, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest

from factory.corpora.columns import Options, utterance


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (7.5, "7.5"), ("NaN", "NaN"), (float("nan"), None), (None, None), ("", None), ("\U0001f600",) * 2],
)
def test_numbers_are_texts_and_what_stands_for_nothing_is_none(value: object, text: str | None) -> None:
    row = utterance({"text": value, "utt_id": value, "lang": "fr"}, Options())
    assert row["text"] == text and row["utt_id"] == text and "status" not in row
    assert utterance({"words": value, "text": "other"}, Options(text="words"))["text"] == text


@pytest.mark.parametrize("value", [True, ["x"], {"fr": "x"}])
@pytest.mark.parametrize("column", ["utt_id", "lang", "text", "reference", "speaker"])
def test_what_is_no_text_fails_its_row(value: Any, column: str) -> None:
    row = utterance({column: value}, Options())
    assert row["status"] == "failed" and not row[column]
    assert row["reason"] == f"not_text: {column} is a {type(value).__name__}, and a text is expected"
