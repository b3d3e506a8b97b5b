"""Shares of the spoken translations: of compliant duration, and in the target language."""

from __future__ import annotations

import pytest

from factory.metrics import bootstrap
from factory.report.spoken import is_compliant, is_in_target_language, sample_share
from schemas.datasets import Row


def spoken(source_s: float | None, speech_s: float | None, lang: str | None = "en") -> Row:
    return {"tgt_lang": "en", "source_s": source_s, "speech_s": speech_s, "spoken_lang": lang}


@pytest.mark.parametrize(
    ("speech_s", "within"), [(2.0, (True, True)), (2.4, (True, True)), (2.41, (False, True)), (1.59, (False, True))]
)
def test_a_duration_complies_within_a_share_of_that_of_the_source(speech_s: float, within: tuple[bool, bool]) -> None:
    row = spoken(2.0, speech_s)
    assert (is_compliant(row, 0.2), is_compliant(row, 0.4)) == within


def test_a_duration_at_the_very_limit_complies() -> None:
    assert is_compliant(spoken(2.0, 2.5), 0.25) and is_compliant(spoken(2.0, 1.5), 0.25)


def test_speech_that_is_too_long_or_missing_does_not_comply() -> None:
    assert [is_compliant(spoken(2.0, seconds), 0.4) for seconds in (2.81, 1.19, 0.0)] == [False] * 3


def test_what_was_not_spoken_or_has_no_source_is_not_measured() -> None:
    rows = [spoken(2.0, None), spoken(None, 2.0), spoken(0.0, 2.0), {}]
    assert [is_compliant(row, 0.2) for row in rows] == [None] * 4
    assert is_in_target_language(spoken(2.0, None)) is None
    assert is_in_target_language({"tgt_lang": "en"}) is None, "a row of before it was measured"


def test_the_language_is_that_of_the_speech_and_silence_has_none() -> None:
    rows = [spoken(2.0, 2.0), spoken(2.0, 2.0, "fr"), spoken(2.0, 0.0, None)]
    assert [is_in_target_language(row) for row in rows] == [True, False, False]


def test_a_share_is_a_mean_of_the_spoken_rows_in_percent() -> None:
    rows = [spoken(2.0, 2.0), spoken(2.0, 2.7, "fr"), spoken(2.0, None), spoken(2.0, 4.0)]
    for name, expected in (("slc_02", [100, 0, 0]), ("slc_04", [100, 100, 0]), ("spoken_language", [100, 0, 100])):
        sample = sample_share(name, rows, "sig")  # type: ignore[arg-type]
        assert sample and sample.signature == "sig"
        assert sample.statistics.tolist() == bootstrap.mean(expected).statistics.tolist()
    assert sample_share("slc_02", rows[2:3], "sig") is None
