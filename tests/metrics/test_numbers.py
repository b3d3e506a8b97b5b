"""French and Spanish numbers in words, against written tables and readers that add and multiply."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.metrics import numbers

BELOW_HUNDRED = (
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf vingt vingt_et_un vingt-deux vingt-trois vingt-quatre vingt-cinq vingt-six vingt-sept vingt-huit "
    "vingt-neuf trente trente_et_un trente-deux trente-trois trente-quatre trente-cinq trente-six trente-sept "
    "trente-huit trente-neuf quarante quarante_et_un quarante-deux quarante-trois quarante-quatre quarante-cinq "
    "quarante-six quarante-sept quarante-huit quarante-neuf cinquante cinquante_et_un cinquante-deux cinquante-trois "
    "cinquante-quatre cinquante-cinq cinquante-six cinquante-sept cinquante-huit cinquante-neuf soixante "
    "soixante_et_un soixante-deux soixante-trois soixante-quatre soixante-cinq soixante-six soixante-sept "
    "soixante-huit soixante-neuf soixante-dix soixante_et_onze soixante-douze soixante-treize soixante-quatorze "
    "soixante-quinze soixante-seize soixante-dix-sept soixante-dix-huit soixante-dix-neuf quatre-vingts "
    "quatre-vingt-un quatre-vingt-deux quatre-vingt-trois quatre-vingt-quatre quatre-vingt-cinq quatre-vingt-six "
    "quatre-vingt-sept quatre-vingt-huit quatre-vingt-neuf quatre-vingt-dix quatre-vingt-onze quatre-vingt-douze "
    "quatre-vingt-treize quatre-vingt-quatorze quatre-vingt-quinze quatre-vingt-seize quatre-vingt-dix-sept "
    "quatre-vingt-dix-huit quatre-vingt-dix-neuf"
)
LARGE = {
    100: "cent",
    101: "cent un",
    120: "cent vingt",
    180: "cent quatre-vingts",
    200: "deux cents",
    280: "deux cent quatre-vingts",
    999: "neuf cent quatre-vingt-dix-neuf",
    1_000: "mille",
    1_001: "mille un",
    1_999: "mille neuf cent quatre-vingt-dix-neuf",
    2_000: "deux mille",
    21_000: "vingt et un mille",
    80_000: "quatre-vingt mille",
    200_000: "deux cent mille",
    300_200: "trois cent mille deux cents",
    1_000_000: "un million",
    2_000_001: "deux millions un",
    80_000_000: "quatre-vingts millions",
    200_000_000: "deux cents millions",
    1_000_000_000: "un milliard",
    3_001_001_000: "trois milliards un million mille",
    999_999_999_999: (
        "neuf cent quatre-vingt-dix-neuf milliards neuf cent quatre-vingt-dix-neuf millions "
        "neuf cent quatre-vingt-dix-neuf mille neuf cent quatre-vingt-dix-neuf"
    ),
}
ORDINALS = {
    0: "zéroième",
    1: "premier",
    2: "deuxième",
    3: "troisième",
    4: "quatrième",
    5: "cinquième",
    9: "neuvième",
    11: "onzième",
    21: "vingt et unième",
    29: "vingt-neuvième",
    45: "quarante-cinquième",
    80: "quatre-vingtième",
    100: "centième",
    200: "deux centième",
    1_000: "millième",
    2_000_000: "deux millionième",
    3_000_000_000: "trois milliardième",
}
VALUES = {word: number for number, word in enumerate(BELOW_HUNDRED.split()[:17])}
VALUES |= {"vingt": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60, "huitante": 80, "cent": 100}
VALUES |= {"mille": 1000, "million": 10**6, "milliard": 10**9}


def test_numbers_below_one_hundred() -> None:
    words = [word.replace("_", " ") for word in BELOW_HUNDRED.split()]
    assert [numbers.spell_french(number) for number in range(100)] == words


@pytest.mark.parametrize(("number", "words"), LARGE.items())
def test_large_numbers(number: int, words: str) -> None:
    assert numbers.spell_french(number) == words


@pytest.mark.parametrize(("number", "words"), ORDINALS.items())
def test_ordinals(number: int, words: str) -> None:
    assert numbers.spell_french_ordinal(number) == words


@given(st.integers(0, 10**12 - 1))
def test_the_words_are_worth_the_number(number: int) -> None:
    assert read_number(numbers.spell_french(number)) == number


def read_number(words: str) -> int:
    """Read French number words by adding and multiplying."""
    total, group = 0, 0
    for word in re.split(r"[ -]", words.replace("quatre-vingt", "huitante")):
        word = word if word == "trois" else word.removesuffix("s")
        value = VALUES.get(word, 0)
        if word in ("mille", "million", "milliard"):
            total, group = total + (group or 1) * value, 0
        else:
            group = max(group, 1) * 100 if word == "cent" and group < 10 else group + value
    return total + group


SPANISH = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve treinta treinta_y_uno"
)
SPANISH_TENS = "cuarenta cincuenta sesenta setenta ochenta noventa cien"
SPANISH_LARGE = {
    33: "treinta y tres",
    99: "noventa y nueve",
    101: "ciento uno",
    130: "ciento treinta",
    200: "doscientos",
    516: "quinientos dieciséis",
    777: "setecientos setenta y siete",
    999: "novecientos noventa y nueve",
    1_000: "mil",
    1_001: "mil uno",
    2_100: "dos mil cien",
    21_000: "veintiún mil",
    31_000: "treinta y un mil",
    101_000: "ciento un mil",
    1_000_000: "un millón",
    2_000_001: "dos millones uno",
    21_000_000: "veintiún millones",
    1_000_000_000: "mil millones",
    1_001_000_000: "mil un millones",
    999_999_999_999: (
        "novecientos noventa y nueve mil novecientos noventa y nueve millones "
        "novecientos noventa y nueve mil novecientos noventa y nueve"
    ),
}
HUNDREDS = "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
SPANISH_VALUES = {word: value for value, word in enumerate(SPANISH.split()[:31])} | {"un": 1, "veintiún": 21}
SPANISH_VALUES |= {word: value for value, word in zip(range(40, 101, 10), SPANISH_TENS.split(), strict=True)}
SPANISH_VALUES |= {word: value for value, word in zip(range(100, 901, 100), HUNDREDS.split(), strict=True)}


def test_small_spanish_numbers() -> None:
    words = [word.replace("_", " ") for word in SPANISH.split()]
    assert [numbers.spell_spanish(number) for number in range(32)] == words
    assert [numbers.spell_spanish(number) for number in range(40, 101, 10)] == SPANISH_TENS.split()


@pytest.mark.parametrize(("number", "words"), SPANISH_LARGE.items())
def test_large_spanish_numbers(number: int, words: str) -> None:
    assert numbers.spell_spanish(number) == words


@given(st.integers(0, 10**12 - 1))
def test_the_spanish_words_are_worth_the_number(number: int) -> None:
    total = thousands = group = 0
    for word in numbers.spell_spanish(number).replace(" y ", " ").split():
        if word in ("millón", "millones"):
            total, thousands, group = (thousands + group) * 10**6, 0, 0
        elif word == "mil":
            thousands, group = (group or 1) * 1000, 0
        else:
            group += SPANISH_VALUES[word]
    assert total + thousands + group == number


@pytest.mark.parametrize("spell", [numbers.spell_french, numbers.spell_spanish])
@pytest.mark.parametrize("number", [-1, 10**12])
def test_numbers_without_words_are_refused(number: int, spell: Callable[[int], str]) -> None:
    with pytest.raises(ValueError, match=rf"^only whole numbers from 0 to 10\*\*12 - 1 have words; got {number}$"):
        spell(number)
