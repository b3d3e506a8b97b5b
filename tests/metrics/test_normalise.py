"""Spellings that sound the same become the same text on both sides; and French numbers in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.metrics import normalise, numbers

FRENCH = [
    ("L'hôtel est à 17h30.", "l’hôtel est à dix-sept heures trente"),
    ("à 2 heures", "à deux heures"),
    ("à 8 h", "à huit heures"),
    ("à 8:30", "à huit heures et demie"),
    ("6h15", "six heures et quart"),
    ("17h00", "dix-sept heures"),
    ("0h10", "zéro heure dix"),
    ("il est 1h", "il est une heure"),
    ("11 heures", "onze heures"),
    ("21 h", "vingt-et-une heures"),
    ("81 places", "quatre-vingt-une places"),
    ("71 places", "soixante et onze places"),
    ("75 €", "soixante-quinze euros"),
    ("12,50 €", "douze euros cinquante"),
    ("2\u202f000 personnes", "deux mille personnes"),
    ("le 1er janvier", "le premier janvier"),
    ("la 2ème rue", "la deuxième rue"),
    ("20 %", "vingt pour cent"),
    ("3,5", "trois virgule cinq"),
    ("06 12", "zéro six douze"),
    ("Ma soeur", "ma sœur"),
    ("S'il vous plaît, aujourd'hui", "s ' il vous plaît aujourd’hui"),
]
ENGLISH = [
    ("at 7:30", "at seven thirty"),
    ("at 7.30", "at seven thirty"),
    ("at 2 o'clock", "at two o'clock"),
    ("at 2:00", "at two o'clock"),
    ("at 12:05", "at twelve oh five"),
    ("the 2nd light", "the second light"),
    ("Our neighbor's colors", "our neighbour's colours"),
    ("$20", "twenty dollars"),
    ("99 chairs", "ninety-nine chairs"),
    ("1 sister", "one sister"),
    ("It’s 3.14", "it is three point one four"),
    ("20%", "twenty percent"),
    ("1,000", "one thousand"),
]


@pytest.mark.parametrize(("heard", "spelled"), FRENCH)
def test_french_pairs_become_alike(heard: str, spelled: str) -> None:
    assert normalise.text(heard, "fr") == normalise.text(spelled, "fr")


@pytest.mark.parametrize(("heard", "spelled"), ENGLISH)
def test_english_pairs_become_alike(heard: str, spelled: str) -> None:
    assert normalise.text(heard, "en") == normalise.text(spelled, "en")


def test_different_words_stay_different() -> None:
    for one, two in (
        ("une", "un"),
        ("huit heures", "huit heures trente"),
        ("élève", "élevé"),
        ("2 heures", "3 heures"),
        ("1er", "1ère"),
    ):
        assert normalise.text(one, "fr") != normalise.text(two, "fr")


def test_other_languages_go_through_whispers_basic_normaliser() -> None:
    assert normalise.text("Hallo, Welt! [Lachen] 3", "de") == "hallo welt 3"
    assert normalise.signature("de") == "norm:whisper-basic|v1"
    assert normalise.signature("fr") != normalise.signature("en") != normalise.signature("de")


@given(st.text(max_size=40))
def test_any_text_becomes_single_spaced_lower_case_words(written: str) -> None:
    for lang in ("fr", "xx"):
        told = normalise.text(written, lang)
        assert told == " ".join(told.split())
        assert told == normalise.text(f"  {written} ", lang)


NUMBERS = {
    0: "zéro", 1: "un", 16: "seize", 17: "dix-sept", 21: "vingt et un", 22: "vingt-deux", 61: "soixante et un", 70: "soixante-dix",
    71: "soixante et onze", 77: "soixante-dix-sept", 80: "quatre-vingts", 81: "quatre-vingt-un", 90: "quatre-vingt-dix",
    91: "quatre-vingt-onze", 99: "quatre-vingt-dix-neuf", 100: "cent", 101: "cent un", 200: "deux cents", 280: "deux cent quatre-vingts",
    1000: "mille", 1999: "mille neuf cent quatre-vingt-dix-neuf", 80_000: "quatre-vingt mille", 200_000: "deux cent mille",
    1_000_000: "un million", 2_000_001: "deux millions un", 200_000_000: "deux cents millions", 10**9: "un milliard",
}  # fmt: skip


@pytest.mark.parametrize(("number", "words"), NUMBERS.items())
def test_french_numbers(number: int, words: str) -> None:
    assert numbers.french(number) == words


ORDINALS = {1: "premier", 2: "deuxième", 3: "troisième", 4: "quatrième", 5: "cinquième", 9: "neuvième", 21: "vingt et unième",
            80: "quatre-vingtième", 100: "centième", 200: "deux centième", 1000: "millième"}  # fmt: skip


@pytest.mark.parametrize(("number", "words"), ORDINALS.items())
def test_french_ordinals(number: int, words: str) -> None:
    assert numbers.french_ordinal(number) == words


@given(st.integers(0, 10**12 - 1))
def test_numbers_in_words_are_read_back(number: int) -> None:
    assert read_number(numbers.french(number)) == number


def read_number(words: str) -> int:
    """Read French number words by adding and multiplying, without the tables of the writer."""
    total, group = 0, 0
    for word in re.split(r"[ -]", words.replace("quatre-vingt", "huitante")):
        word = word.removesuffix("s") if word not in ("trois",) else word
        value = VALUES.get(word, 0)
        if word in ("mille", "million", "milliard"):
            total, group = total + (group or 1) * value, 0
        else:
            group = max(group, 1) * 100 if word == "cent" and group < 10 else group + value
    return total + group


BELOW_17 = [
    numbers.french(number) for number in range(17)
]  # NUMBERS checks the ends of the row; the rest is counted up from here
VALUES = {word: number for number, word in enumerate(BELOW_17)}
VALUES |= {"vingt": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60, "huitante": 80, "cent": 100}
VALUES |= {"mille": 1000, "million": 10**6, "milliard": 10**9}


def test_numbers_that_are_not_written_are_refused() -> None:
    for number in (-1, 10**12):
        with pytest.raises(ValueError, match="got"):
            numbers.french(number)
