"""The one rule from an id to a file name: whatever an id holds, its name is its own, lies in its folder and can be
written.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.storage.names import LONGEST, file_name, on_one_line

SUFFIXES = (".source.wav", ".chosen.flac", ".rejected_back.flac")
ECRYPTFS = 143
"""Bytes of the longest name that an eCryptfs folder takes."""
RESERVED = ["con", "PRN", "aux", "nul", "NUL.txt", "com1", "LPT9", "Com3.source", "conin$"]
PIECES = st.sampled_from(
    [
        *RESERVED,
        *"/\\.:|*?<>\"' \t\n\r\0\x1f\x7f#%&-_~",
        "..",
        "../",
        "a",
        "A",
        "é",
        "e\u0301",
        "É",
        "ﬁ",
        "ß",
        "İ",
        "😀",
        "\u2028",
        "\ud800",
    ]
)
PARTS = st.one_of(PIECES, st.text(max_size=20), st.characters(categories=["Cs", "Cc", "Cf", "Zs"]))
IDS = st.lists(PARTS, min_size=1, max_size=40).map("".join).filter(bool) | st.text(min_size=1, max_size=1_000)
CHANGES = (
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
"""What turns an id into one that a file system, or a careless rule, could take for the same."""


def folded(name: str) -> str:
    """Return what a name is to macOS and Windows: without case, in one normal form."""
    return unicodedata.normalize("NFD", name).casefold()


@settings(derandomize=True, max_examples=600, deadline=None)
@given(IDS)
def test_a_name_is_short_plain_and_inside_its_folder(identifier: str) -> None:
    name = file_name(identifier)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!\.)", name)
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name)
    assert all(
        len(f".{name}{suffix}.01234567.tmp".encode()) < ECRYPTFS for suffix in SUFFIXES
    )  # as it is while it is written
    assert all(
        (Path("/run/samples") / f"{name}{suffix}").resolve().parent == Path("/run/samples") for suffix in SUFFIXES
    )


@settings(derandomize=True, max_examples=600, deadline=None)
@given(IDS, IDS, st.sampled_from(CHANGES))
def test_different_ids_have_different_names_on_every_file_system(one: str, other: str, change: object) -> None:
    for second in (other, change(one)):  # type: ignore[operator]
        if second != one:
            assert folded(file_name(one)) != folded(file_name(second))


def test_many_ids_are_written_and_found_again(tmp_path: Path) -> None:
    near = [
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
        "a" * 236,
        "a" * 237,
        "a|b",
        "a\tb",
    ]
    every = [*near, *map(file_name, near), *(file_name(one).upper() for one in near)]
    for identifier in set(every):
        (tmp_path / f"{file_name(identifier)}.source.wav").write_text(identifier)
    assert len(list(tmp_path.iterdir())) == len(set(every))
    assert all((tmp_path / f"{file_name(identifier)}.source.wav").read_text() == identifier for identifier in every)


@pytest.mark.parametrize(
    "identifier", ["common_voice_fr_1-en", "84-121123-0000", "u7", "a.b_c-d", "_private", "x" * 80]
)
def test_a_plain_id_is_its_own_name(identifier: str) -> None:
    assert file_name(identifier) == identifier


@pytest.mark.parametrize(
    ("identifier", "slug"),
    [
        ("fr/a-en", "fr_a-en"),
        ("../../escaped-en", "escaped-en"),
        ("Élan vital", "Elan_vital"),
        ("😀", "id"),
        ("con", "con"),
        ("x" * 81, "x" * 48),
    ],
)
def test_any_other_id_stays_readable_and_ends_in_a_digest(identifier: str, slug: str) -> None:
    assert re.fullmatch(re.escape(slug) + "-[0-9a-f]{24}", file_name(identifier))


def test_an_id_that_looks_like_a_name_with_a_digest_gets_one_of_its_own() -> None:
    name = file_name("fr/a-en")
    assert file_name(name) != name


@settings(derandomize=True, max_examples=300, deadline=None)
@given(IDS)
def test_an_id_is_shown_on_one_short_line_that_any_encoding_of_unicode_takes(identifier: str) -> None:
    shown = on_one_line(identifier)
    assert shown.isprintable() and len(shown) <= LONGEST and len(shown.encode().splitlines()) == 1
    assert shown == identifier or not identifier.isprintable() or len(identifier) > LONGEST
