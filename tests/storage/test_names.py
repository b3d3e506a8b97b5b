"""File names of ids: a name belongs to one id on every file system, is inside its folder and can be written."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.storage.names import MAX_LENGTH, file_name, on_one_line

SUFFIXES = (".source.wav", ".chosen.flac", ".rejected_back.flac")
ECRYPTFS = 143
"""Bytes of the longest name that an eCryptfs folder allows."""
RESERVED = ["con", "PRN", "aux", "nul", "NUL.txt", "com1", "LPT9", "Com3.source", "conin$"]
LETTERS = ["a", "A", "é", "e\u0301", "É", "ﬁ", "ß", "İ", "😀", "\u2028", "\ud800"]
PIECES = st.sampled_from([*RESERVED, *"/\\.:|*?<>\"' \t\n\r\0\x1f\x7f#%&-_~", "..", "../", *LETTERS])
PARTS = st.one_of(PIECES, st.text(max_size=20), st.characters(categories=["Cs", "Cc", "Cf", "Zs"]))
IDS = st.lists(PARTS, min_size=1, max_size=40).map("".join).filter(bool) | st.text(min_size=1, max_size=1_000)
CHANGES: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.lower,
    str.swapcase,
    lambda text: unicodedata.normalize("NFC", text),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFKC", text),
    lambda text: text + ".",
    lambda text: text + " ",
    lambda text: "../" + text,
    lambda text: text.replace("/", "_"),
    file_name,
    lambda text: file_name(text).upper(),
)
"""Changes of an id that a file system, or a careless rule, could ignore."""


def fold(name: str) -> str:
    """Return a name as macOS and Windows compare names: without case, in one normal form."""
    return unicodedata.normalize("NFD", name).casefold()


@settings(derandomize=True, max_examples=600, deadline=None)
@given(IDS)
def test_a_name_is_short_plain_and_inside_its_folder(identifier: str) -> None:
    name = file_name(identifier)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!\.)", name)
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name)
    temporary = [f".{name}{suffix}.01234567.tmp" for suffix in SUFFIXES]
    assert all(len(file.encode()) < ECRYPTFS for file in temporary)
    folder = Path("/run/samples")
    assert all((folder / f"{name}{suffix}").resolve().parent == folder for suffix in SUFFIXES)


@settings(derandomize=True, max_examples=600, deadline=None)
@given(IDS, IDS, st.sampled_from(CHANGES))
def test_different_ids_have_different_names_on_every_file_system(
    one: str, other: str, change: Callable[[str], str]
) -> None:
    for second in (other, change(one)):
        if second != one:
            assert fold(file_name(one)) != fold(file_name(second))


def test_many_ids_are_written_and_read_again(tmp_path: Path) -> None:
    words = [
        "a",
        "A",
        "a.",
        "a ",
        "./a",
        "a/",
        "a\\",
        "é",
        "e\u0301",
        "É",
        "con",
        "con.txt",
        "..",
        ".",
        "",
        "a|b",
        "a\tb",
    ]
    similar = [*words, "a" * 236, "a" * 237]
    ids = {*similar, *map(file_name, similar), *(file_name(identifier).upper() for identifier in similar)}
    for identifier in ids:
        (tmp_path / f"{file_name(identifier)}.source.wav").write_text(identifier)
    assert len(list(tmp_path.iterdir())) == len(ids)
    assert all((tmp_path / f"{file_name(identifier)}.source.wav").read_text() == identifier for identifier in ids)


@pytest.mark.parametrize(
    "identifier",
    ["common_voice_fr_1-en", "84-121123-0000", "u7", "a.b_c-d", "_private", "x" * MAX_LENGTH, "conx", f"a-{'0' * 23}"],
)
def test_a_plain_id_is_its_own_name(identifier: str) -> None:
    assert file_name(identifier) == identifier


@pytest.mark.parametrize(
    ("identifier", "readable"),
    [
        ("fr/a-en", "fr_a-en"),
        ("../../escaped-en", "escaped-en"),
        ("-_a_-", "a"),
        ("Élan vital", "Elan_vital"),
        ("a . b", "a_b"),
        ("X/aX/", "X_aX"),
        ("a" * 47 + "X" * 40, "a" * 47 + "X"),
        ("😀", "id"),
        ("con", "con"),
        ("nul.txt", "nul_txt"),
        ("com1", "com1"),
        ("a.", "a"),
        ("x" * (MAX_LENGTH + 1), "x" * 48),
        ("x" * 47 + "/" + "y" * 50, "x" * 47),
        (f"a-{'0' * 24}", f"a-{'0' * 24}"),
        ("😀" * 193 + "x", "id"),
    ],
)
def test_any_other_id_has_a_readable_name_with_a_digest(identifier: str, readable: str) -> None:
    assert file_name(identifier) == f"{readable}-{hashlib.sha256(identifier.encode()).hexdigest()[:24]}"


def test_an_id_that_is_the_name_of_another_gets_a_name_of_its_own() -> None:
    name = file_name("fr/a-en")
    assert file_name(name) != name


@settings(derandomize=True, max_examples=300, deadline=None)
@given(IDS)
def test_an_id_is_shown_on_one_short_line_that_every_encoding_of_unicode_has(identifier: str) -> None:
    shown = on_one_line(identifier)
    assert shown.isprintable() and len(shown) <= MAX_LENGTH and len(shown.encode().splitlines()) == 1
    assert shown == identifier or not identifier.isprintable() or len(identifier) > MAX_LENGTH


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        ("fr/é 1", "fr/é 1"),
        ("a\nb\t\ud800", "a\\nb\\t\\ud800"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("x" * 79 + "\n", "x" * 79 + "…"),
    ],
)
def test_unprintable_characters_are_escaped_and_long_ids_are_cut(identifier: str, shown: str) -> None:
    assert on_one_line(identifier) == shown
