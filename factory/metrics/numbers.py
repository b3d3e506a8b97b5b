"""Whole numbers as French and Spanish words, so that `17h30` and `dix-sept heures trente` become the same text."""

from __future__ import annotations

DIGITS = 12
"""Numbers with at most this many digits have words."""

_UNITS = (
    ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze", "treize")
    + ("quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf")
)  # fmt: skip
_TENS = {20: "vingt", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante", 80: "quatre-vingt"}
_LARGE = ((1_000_000_000, "milliard"), (1_000_000, "million"))


def spell_french(number: int) -> str:
    """Write a number in words: 71 -> `soixante et onze`, 80 -> `quatre-vingts`, 2000 -> `deux mille`.

    Raises:
        ValueError: The number is negative or has more than DIGITS digits.
    """
    if not 0 <= number < 10**DIGITS:
        raise ValueError(f"only whole numbers from 0 to 10**{DIGITS} - 1 have words; got {number}")
    words, rest = [], number
    for size, name in _LARGE:
        count, rest = divmod(rest, size)
        if count:
            words += [_spell_below_thousand(count), name + "s" * (count > 1)]
    thousands, rest = divmod(rest, 1000)
    if thousands:
        words += [_remove_plural(_spell_below_thousand(thousands)), "mille"] if thousands > 1 else ["mille"]
    if rest or not words:
        words.append(_spell_below_thousand(rest))
    return " ".join(words)


def spell_french_ordinal(number: int) -> str:
    """Write an ordinal in words: 1 -> `premier`, 5 -> `cinquième`, 21 -> `vingt et unième`."""
    if number == 1:
        return "premier"
    word = _remove_plural(spell_french(number))
    for ending, stem in (("cinq", "cinqu"), ("neuf", "neuv")):
        if word.endswith(ending):
            return word.removesuffix(ending) + stem + "ième"
    return word.removesuffix("e") + "ième"


def _remove_plural(word: str) -> str:
    """Remove the plural s that `cents`, `quatre-vingts`, `millions` and `milliards` lose before a word or an ending."""
    return word.removesuffix("s") if word.endswith(("cents", "vingts", "millions", "milliards")) else word


def _spell_below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _spell_below_hundred(rest)
    head = "cent" if hundreds == 1 else f"{_UNITS[hundreds]} cent" + "s" * (not rest)
    return f"{head} {_spell_below_hundred(rest)}" if rest else head


def _spell_below_hundred(number: int) -> str:
    if number < 20:
        return _UNITS[number]
    tens = max(ten for ten in _TENS if ten <= number)  # 70 to 79 and 90 to 99 count on from 60 and 80
    rest = number - tens
    if not rest:
        return _TENS[tens] + "s" * (tens == 80)
    link = " et " if rest in (1, 11) and tens != 80 else "-"
    return _TENS[tens] + link + _UNITS[rest]


_SPANISH_UNITS = (
    ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce", "trece")
    + ("catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve", "veinte", "veintiuno", "veintidós")
    + ("veintitrés", "veinticuatro", "veinticinco", "veintiséis", "veintisiete", "veintiocho", "veintinueve")
)  # fmt: skip
_SPANISH_TENS = ("treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa")
_SPANISH_HUNDREDS = (
    ("ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos", "ochocientos")
    + ("novecientos",)
)  # fmt: skip


def spell_spanish(number: int) -> str:
    """Write a number in words: 21 -> `veintiuno`, 100 -> `cien`, 21000 -> `veintiún mil`.

    Raises:
        ValueError: The number is negative or has more than DIGITS digits.
    """
    if not 0 <= number < 10**DIGITS:
        raise ValueError(f"only whole numbers from 0 to 10**{DIGITS} - 1 have words; got {number}")
    millions, rest = divmod(number, 1_000_000)
    words = []
    if millions:
        words += [shorten_spanish_one(_spell_below_million(millions)), "millón" if millions == 1 else "millones"]
    if rest or not words:
        words.append(_spell_below_million(rest))
    return " ".join(words)


def shorten_spanish_one(words: str) -> str:
    """Return a number as it stands before a masculine noun: `uno` -> `un`, `veintiuno` -> `veintiún`."""
    if words.endswith("veintiuno"):
        return words.removesuffix("uno") + "ún"
    return words.removesuffix("o") if words.endswith("uno") else words


def _spell_below_million(number: int) -> str:
    thousands, rest = divmod(number, 1000)
    words = []
    if thousands > 1:
        words.append(shorten_spanish_one(_spell_spanish_hundreds(thousands)))
    if thousands:
        words.append("mil")
    if rest or not thousands:
        words.append(_spell_spanish_hundreds(rest))
    return " ".join(words)


def _spell_spanish_hundreds(number: int) -> str:
    if number == 100:
        return "cien"
    hundreds, rest = divmod(number, 100)
    words = [_SPANISH_HUNDREDS[hundreds - 1]] if hundreds else []
    if rest >= 30:
        tens, units = divmod(rest, 10)
        words.append(_SPANISH_TENS[tens - 3] + (f" y {_SPANISH_UNITS[units]}" if units else ""))
    elif rest or not hundreds:
        words.append(_SPANISH_UNITS[rest])
    return " ".join(words)
