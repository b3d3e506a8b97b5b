"""Columns of other corpora: which value a column of UTTERANCE gets, and which values are refused."""

from __future__ import annotations

import pytest

from factory.corpora.base import CorpusError
from factory.corpora.columns import Options, check_text_option, find_value, to_utterance


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        ("NaN", "NaN"),
        (float("nan"), None),
        (None, None),
        ("", None),
        ("\u00e9",) * 2,
    ],
)
def test_numbers_become_text_and_empty_cells_none(value: object, text: str | None) -> None:
    row = to_utterance({"text": value, "utt_id": value, "lang": "fr"}, Options())
    assert row["utt_id"] == text and "status" not in row
    assert row["text"] == (str(value) if text == "7" else text)
    assert to_utterance({"words": value, "text": "other"}, Options(text="words"))["text"] == row["text"]


@pytest.mark.parametrize("value", [True, ["x"], {"fr": "x"}])
@pytest.mark.parametrize("column", ["utt_id", "lang", "text", "reference", "speaker"])
def test_a_value_that_is_no_text_fails_its_row(value: object, column: str) -> None:
    row = to_utterance({column: value}, Options())
    assert row["status"] == "failed" and not row[column]
    assert row["reason"] == f"not_text: {column} is a {type(value).__name__}; expected text"


def test_the_first_known_name_with_a_value_wins() -> None:
    assert find_value({"sentence": "oui", "raw_text": "Oui."}, "text") == "oui"
    assert find_value({"text": "", "raw_text": "Oui."}, "text") == "Oui."
    assert find_value({"words": "oui"}, "text") is None


def test_the_language_is_that_of_the_row_then_the_option_then_the_default() -> None:
    assert to_utterance({"locale": "fr_FR"}, Options(lang="en"), "de")["lang"] == "fr"
    assert to_utterance({}, Options(lang="en"), "de")["lang"] == "en"
    assert to_utterance({}, Options(), "de")["lang"] == "de"


def test_an_option_that_names_no_column_is_refused() -> None:
    check_text_option(["words"], Options(text="words"), "the table")
    with pytest.raises(CorpusError, match=r"the table has no column words \(option text=words\); it has a, b"):
        check_text_option(["a", "b"], Options(text="words"), "the table")
