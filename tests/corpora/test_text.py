"""Texts and language codes come in one form."""

from __future__ import annotations

import unicodedata

import pytest

from factory.corpora.text import NotText, clean_text, decode_text, language, storable, transcript
from factory.metrics import METRICS

SENTENCE = "le marché était très moderne la semaine dernière"


@pytest.mark.parametrize("given", [unicodedata.normalize("NFD", SENTENCE), f"\ufeff{SENTENCE}", f"  {SENTENCE}\r\n"])
def test_a_transcript_scores_alike_however_it_was_saved(given: str) -> None:
    assert clean_text(given) == SENTENCE
    for name, metric in METRICS.items():
        if not metric.audio:
            assert metric.score(SENTENCE, clean_text(given), "fr") == metric.score(SENTENCE, SENTENCE, "fr"), name


@pytest.mark.parametrize("empty", [None, "", " \n", "\ufeff"])
def test_an_empty_text_is_none(empty: str | None) -> None:
    assert clean_text(empty) is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("déjà".encode("latin-1"), "byte 1 is 0xe9"),
        ("déjà".encode("utf-16"), "it is UTF-16"),
        (b"a\0b", "it holds null bytes"),
    ],
)
def test_what_is_no_utf_8_is_refused(content: bytes, found: str) -> None:
    with pytest.raises(NotText, match=found):
        decode_text(content)
    row = transcript(content, "fr/a.txt")
    assert row["text"] is None and row["status"] == "failed"
    assert row["reason"].startswith(f"not_utf8: fr/a.txt is no text in UTF-8 ({found})")


def test_utf_8_with_a_byte_order_mark_is_read() -> None:
    assert decode_text("déjà".encode("utf-8-sig")) == "déjà"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("fr", "fr"),
        (" FR ", "fr"),
        ("fr_fr", "fr"),
        ("pt-BR", "pt"),
        ("zh-Hant-TW", "zh"),
        ("cmn_hans_cn", "cmn"),
        ("deu", "deu"),
        (None, ""),
    ]
    + [("clips", "clips"), ("en_clips", "en_clips"), ("speaker1", "speaker1"), ("french", "french"), ("f", "f")],
)
def test_language_codes_lose_case_and_region_and_other_names_stay(code: str | None, expected: str) -> None:
    assert language(code) == expected


def test_bytes_that_are_no_utf_8_become_escapes() -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert storable(name) == "caf\\xed\\xb3\\xa9.wav" and storable("café") == "café"
