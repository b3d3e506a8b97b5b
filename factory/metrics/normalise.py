"""Normalisation of texts before they are compared: Whisper's normalisers, with numbers in one form.

Whisper writes `17h30` and `75 euros` where a transcript may spell `dix-sept heures trente` and `soixante-quinze euros`.
Without normalisation these are word errors. `text` normalises every text that is compared, hypothesis and reference:

- English: Whisper's EnglishTextNormalizer (words to digits, contractions, symbols). Times are rewritten before it:
  `7:30`, and `7.30` after a preposition, become `730`, which is what it makes of `seven thirty`. `8:00` becomes
  `8 oclock`, because it would take the `o` of `8 o'clock` for a zero. No library ships Whisper's table of British
  spellings; `SPELLINGS` holds the words of everyday speech.
- French: digits, times, ordinals and currencies become words (`8h30`, `8:30` -> `huit heures trente`). After hours, `et
  demie` and `et quart` become `trente` and `quinze`. Then comes Whisper's BasicTextNormalizer: lower case, symbols to
  spaces. An apostrophe or a hyphen is therefore a word boundary (`l'hôtel` -> `l hôtel`). œ and æ become oe and ae;
  other accents are kept.
- Spanish: digits, times and currencies become words (`las 7:30` -> `las siete treinta`). After hours, `y media` and `y
  cuarto` become `treinta` and `quince`. Then comes the BasicTextNormalizer.
- Other languages: the BasicTextNormalizer alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from factory.metrics import numbers

VERSION = 1
"""Part of the signature; raise it when the output of `text` changes."""

SPELLINGS = {
    **{
        f"{stem}our{ending}": f"{stem}or{ending}"
        for stem in ("behavi", "col", "fav", "flav", "harb", "hon", "hum", "lab", "neighb", "rum")
        for ending in ("", "s", "ed", "ing", "hood", "hoods", "ite", "ites", "able")
    },
    **{
        british + ending: american + ending
        for british, american in {
            "catalogue": "catalog",
            "centre": "center",
            "cheque": "check",
            "defence": "defense",
            "dialogue": "dialog",
            "fibre": "fiber",
            "grey": "gray",
            "kilometre": "kilometer",
            "licence": "license",
            "litre": "liter",
            "metre": "meter",
            "programme": "program",
            "pyjama": "pajama",
            "theatre": "theater",
            "traveller": "traveler",
            "tyre": "tire",
        }.items()
        for ending in ("", "s")
    },
    **{
        f"{stem}is{ending}": f"{stem}iz{ending}"
        for stem in ("apolog", "organ", "real", "recogn")
        for ending in ("e", "ed", "es", "ing")
    },
    "cancelled": "canceled",
    "cancelling": "canceling",
    "jewellery": "jewelry",
    "travelled": "traveled",
    "travelling": "traveling",
}
"""British spelling -> American spelling."""

_FEMININE = r"(?=\s*(?:heure|minute|seconde|personne|fois|place|chambre|nuit|semaine|journée|année)s?\b)"
_SPANISH_FEMININE = r"(?=\s*(?:hora|persona|plaza|noche|semana|mesa|vez|veces|habitación|habitaciones)s?\b)"
_SPANISH_MASCULINE = r"(?=\s*(?:euro|minuto|segundo|año|mes|mese|día|billete|asiento|kilo|kilómetro)s?\b)"


def signature(lang: str) -> str:
    """Return the name of the language's normaliser and its treatment of numbers."""
    settings = {
        "en": f"whisper-english|num:digits|times|spellings:{len(SPELLINGS)}",
        "fr": "whisper-basic|num:words|times|oe,ae",
        "es": "whisper-basic|num:words|times",
    }
    return f"norm:{settings.get(lang, 'whisper-basic')}|v{VERSION}"


@lru_cache(maxsize=100_000)
def text(raw: str, lang: str) -> str:
    """Normalise a text by the rules of its language: words with single spaces."""
    raw = raw.replace("’", "'").replace("ʼ", "'")
    if lang == "en":
        raw = _rewrite_english_times(raw)
    elif lang == "fr":
        raw = _apply(_FRENCH_RULES, raw)
    elif lang == "es":
        raw = _apply(_SPANISH_RULES, raw)
    return " ".join(_whisper_normalizer(lang)(raw).split())


@cache
def _whisper_normalizer(lang: str) -> Callable[[str], str]:
    module = _import_file("transformers", "models/whisper/english_normalizer.py")
    normalizer: Callable[[str], str]
    normalizer = module.EnglishTextNormalizer(SPELLINGS) if lang == "en" else module.BasicTextNormalizer()
    return normalizer


@cache
def _import_file(package: str, file: str) -> ModuleType:
    """Import one file of a package without the package: that of transformers takes more than a second."""
    found = find_spec(package)
    assert found is not None and found.submodule_search_locations, f"{package} is a dependency"
    path = Path(found.submodule_search_locations[0], file)
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_ENGLISH_TIMES = (
    (r"(?i)\b(at|by|until|till|from|before|after|around|about|past) (\d{1,2})\.([0-5]\d)\b", r"\1 \2:\3"),  # 7.30
    (r"\b(\d{1,2}):00\b(?!\s*[ap]\.?m)", r"\1 o'clock"),
    (r"(?i)\bo' ?clock\b", "oclock"),
    (r"\b(\d{1,2}):([0-5]\d)\b", r"\1\2"),
)


def _rewrite_english_times(raw: str) -> str:
    for pattern, replacement in _ENGLISH_TIMES:
        raw = re.sub(pattern, replacement, raw)
    return raw


_Replacement = str | Callable[[re.Match[str]], str]
_FRENCH_RULES: tuple[tuple[str, _Replacement], ...] = (
    (r"(?<=\d)[ \u00a0\u202f](?=\d{3}\b)", ""),  # 1 000
    (r"\b(\d{1,2})\s*(?:h|:)\s*([0-5]\d)\b", lambda m: _hours(m[1]) + (f" {int(m[2])}" if int(m[2]) else "")),  # 8h30
    (r"\b(\d{1,2})\s*(?:h|heures?)(?!\w)", lambda m: _hours(m[1])),  # 8 h, 8 heures
    (r"\b(\d+)[,.](\d\d)\s*€", r"\1 euros \2"),
    (r"\b(\d+)\s*€", lambda m: _count(m[1], "euro")),
    (r"\b(\d+)\s*\$", lambda m: _count(m[1], "dollar")),
    (r"(?<=\d)\s*%", " pour cent"),
    (r"\b1er\b", "premier"),
    (r"\b1(?:re|ère|ere)\b", "première"),
    (r"\b(\d{1,6})(?:e|è|ème|eme|ième)(s?)\b", lambda m: numbers.spell_french_ordinal(int(m[1])) + m[2]),
    (rf"\b((?:\d*[02-68])?1){_FEMININE}", lambda m: _spell_digits(m[1]) + "e"),  # 21 heures -> vingt et une heures
    (r"(?<=\d),(?=\d)", " virgule "),
    (r"\d+", lambda m: f" {_spell_digits(m[0])} "),
    (r"\b(heures?) et demie?\b", r"\1 trente"),
    (r"\b(heures?) et quart\b", r"\1 quinze"),
    ("œ", "oe"),
    ("æ", "ae"),
)
"""Patterns and their replacements, applied in this order to lower-case text."""


_SPANISH_RULES: tuple[tuple[str, _Replacement], ...] = (
    (r"(?<=\d)[. \u00a0\u202f](?=\d{3}\b)", ""),  # 1.000
    (r"\b(las?) (\d{1,2})\.([0-5]\d)\b", r"\1 \2:\3"),  # a las 7.30
    (r"\b(\d{1,2}):([0-5]\d)\b", lambda m: f"{int(m[1])} {int(m[2])}" if int(m[2]) else m[1]),
    (r"\b(\d+)[,.](\d\d)\s*€", r"\1 euros \2"),
    (r"\b(\d+)\s*€", lambda m: _count(m[1], "euro")),
    (r"(?<=\d)\s*%", " por ciento"),
    (r"\bla 1\b", "la una"),
    (rf"\b((?:\d*[02-9])?1){_SPANISH_FEMININE}", lambda m: _spell_digits(m[1], numbers.spell_spanish)[:-1] + "a"),
    (
        rf"\b((?:\d*[02-9])?1){_SPANISH_MASCULINE}",
        lambda m: numbers.shorten_spanish_one(_spell_digits(m[1], numbers.spell_spanish)),
    ),
    (r"(?<=\d),(?=\d)", " coma "),
    (r"\d+", lambda m: f" {_spell_digits(m[0], numbers.spell_spanish)} "),
    (r"\b(las?\s+\w+)\s+y media\b", r"\1 treinta"),
    (r"\b(las?\s+\w+)\s+y cuarto\b", r"\1 quince"),
)
"""Patterns and their replacements, applied in this order to lower-case text."""


def _apply(rules: Iterable[tuple[str, _Replacement]], raw: str) -> str:
    raw = raw.lower()
    for pattern, replacement in rules:
        raw = re.sub(pattern, replacement, raw)
    return raw


def _count(digits: str, noun: str) -> str:
    return f"{digits} {noun}" + "s" * (int(digits) > 1)


def _hours(digits: str) -> str:
    return _count(str(int(digits)), "heure")


def _spell_digits(digits: str, spell: Callable[[int], str] = numbers.spell_french) -> str:
    """Write digits as one number, or one by one if they begin with a zero or are too many."""
    if digits[0] == "0" or len(digits) > numbers.DIGITS:
        return " ".join(spell(int(digit)) for digit in digits)
    return spell(int(digits))
