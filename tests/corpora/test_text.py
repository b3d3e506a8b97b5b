"""Texts, language codes and file names come in one form."""

from __future__ import annotations

import unicodedata

import pytest

from factory.corpora.text import (
    NotUtf8Error,
    clean_text,
    decode_utf8,
    escape_surrogates,
    get_suffix,
    normalise_language,
    read_transcript,
    remove_suffix,
)
from factory.metrics import METRICS

SENTENCE = "le marché était très moderne la semaine dernière"


@pytest.mark.parametrize("saved", [unicodedata.normalize("NFD", SENTENCE), f"\ufeff{SENTENCE}", f"  {SENTENCE}\r\n"])
def test_a_transcript_gets_the_same_scores_however_it_was_saved(saved: str) -> None:
    text = clean_text(saved)
    assert text == SENTENCE
    for name, metric in METRICS.items():
        if metric.compares_texts:
            assert metric.score(SENTENCE, text, "fr") == metric.score(SENTENCE, SENTENCE, "fr"), name


@pytest.mark.parametrize("empty", [None, "", " \n", "\ufeff"])
def test_an_empty_text_is_none(empty: str | None) -> None:
    assert clean_text(empty) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("déjà".encode("latin-1"), "byte 1 is 0xe9"),
        ("déjà".encode("utf-16"), "it is UTF-16"),
        (b"a\0b", "it holds null bytes"),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(NotUtf8Error, match=reason):
        decode_utf8(content)
    row = read_transcript(content, "fr/a.txt")
    assert row["text"] is None and row["status"] == "failed"
    assert row["reason"].startswith(f"not_utf8: fr/a.txt is not UTF-8 text ({reason})")


def test_a_byte_order_mark_is_removed() -> None:
    assert decode_utf8("déjà".encode("utf-8-sig")) == "déjà"
    assert read_transcript("déjà\n".encode(), "a.txt") == {"text": "déjà"}


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
    assert normalise_language(code) == expected


def test_bytes_that_are_not_utf_8_become_escapes() -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert escape_surrogates(name) == "caf\\xed\\xb3\\xa9.wav" and escape_surrogates("café") == "café"


def test_a_suffix_is_that_of_the_file_name() -> None:
    assert get_suffix("a.b/c.WAV") == ".wav" and get_suffix("a.b/c") == ""
    assert remove_suffix("a.b/c.d.wav") == "a.b/c.d" and remove_suffix("a.b/c") == "a.b/c"
