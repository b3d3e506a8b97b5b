"""Text as the recognizer's and the reference's side are compared: Whisper's normalisers, with numbers made alike on both sides.

Whisper writes `17h30` and `75 euros` where a transcript may spell `dix-sept heures trente` and `soixante-quinze euros`; unhandled, that
alone costs word errors. Every text that is compared goes through `text`, hypothesis and reference alike:

- English: Whisper's EnglishTextNormalizer (words to digits, contractions, symbols). Before it, times: `7:30`, and `7.30` after a
  preposition, become `730`, which is what it makes of `seven thirty`; `8:00` becomes `8 o'clock`, whose `o` it would take for a
  zero and is therefore written `oclock`. No library ships Whisper's table of British spellings: `SPELLINGS` holds the words of
  everyday speech.
- French: digits, times, ordinals and currencies become words (`8h30`, `8:30` -> `huit heures trente`; `et demie`, `et quart` after hours
  become `trente`, `quinze`), then Whisper's BasicTextNormalizer: lower case, symbols to spaces, so that an elision with any
  apostrophe, and a hyphen, is a word boundary (`l'hôtel` -> `l hôtel`). œ and æ become oe and ae; other accents stay.
- Other languages: the BasicTextNormalizer alone.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from factory.metrics import numbers

VERSION = 1

SPELLINGS = {
    **{british + end: american + end for end in ("", "s", "ed", "ing", "hood", "hoods", "ite", "ites", "able") for british, american in (
        ("behaviour", "behavior"), ("colour", "color"), ("favour", "favor"), ("flavour", "flavor"), ("harbour", "harbor"),
        ("honour", "honor"), ("humour", "humor"), ("labour", "labor"), ("neighbour", "neighbor"), ("rumour", "rumor"))},
    **{british + end: american + end for end in ("", "s") for british, american in (
        ("centre", "center"), ("cheque", "check"), ("fibre", "fiber"), ("grey", "gray"), ("kilometre", "kilometer"), ("litre", "liter"),
        ("metre", "meter"), ("programme", "program"), ("pyjama", "pajama"), ("theatre", "theater"), ("traveller", "traveler"),
        ("tyre", "tire"), ("licence", "license"), ("defence", "defense"), ("catalogue", "catalog"), ("dialogue", "dialog"))},
    **{verb + british: verb + american for british, american in (("ise", "ize"), ("ised", "ized"), ("ises", "izes"), ("ising", "izing"))
       for verb in ("apolog", "organ", "real", "recogn")},
    "travelling": "traveling", "travelled": "traveled", "cancelled": "canceled", "cancelling": "canceling", "jewellery": "jewelry",
}  # fmt: skip
"""British spelling -> American spelling."""

_FEMININE = r"(?=\s*(?:heure|minute|seconde|personne|fois|place|chambre|nuit|semaine|journée|année)s?\b)"


def signature(lang: str) -> str:
    """Return the name of the normaliser and what is done to numbers."""
    kinds = {
        "en": "whisper-english|num:digits|times|spellings:" + str(len(SPELLINGS)),
        "fr": "whisper-basic|num:words|times|oe,ae",
    }
    return f"norm:{kinds.get(lang, 'whisper-basic')}|v{VERSION}"


@lru_cache(maxsize=100_000)
def text(written: str, lang: str) -> str:
    """Return a text normalised in its language: words with single spaces."""
    written = written.replace("’", "'").replace("ʼ", "'")
    if lang == "en":
        written = _english_times(written)
    elif lang == "fr":
        written = _french_words(written)
    return " ".join(_whisper(lang)(written).split())


@cache
def _whisper(lang: str) -> Any:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    return EnglishTextNormalizer(SPELLINGS) if lang == "en" else BasicTextNormalizer()


def _english_times(written: str) -> str:
    written = re.sub(
        r"\b(at|by|until|till|from|before|after|around|about|past) (\d{1,2})\.([0-5]\d)\b",
        r"\1 \2:\3",
        written,
        flags=re.I,
    )
    written = re.sub(r"\b(\d{1,2}):00\b(?!\s*[ap]\.?m)", r"\1 o'clock", written)
    written = re.sub(r"\bo' ?clock\b", "oclock", written, flags=re.I)
    return re.sub(r"\b(\d{1,2}):([0-5]\d)\b", r"\1\2", written)


_FRENCH_RULES: tuple[tuple[str, Any], ...] = (
    (r"(?<=\d)[ \u00a0\u202f](?=\d{3}\b)", ""),  # 1 000
    (r"\b(\d{1,2})\s*(?:h|:)\s*([0-5]\d)\b", lambda m: _hours(int(m[1])) + (f" {int(m[2])}" if int(m[2]) else "")),  # 8h30, 8:30
    (r"\b(\d{1,2})\s*(?:h|heures?)(?!\w)", lambda m: _hours(int(m[1]))),  # 8h
    (r"\b(\d+)[,.](\d\d)\s*€", r"\1 euros \2"),
    (r"\b(\d+)\s*€", lambda m: f"{m[1]} euro" + "s" * (int(m[1]) > 1)),
    (r"\b(\d+)\s*\$", lambda m: f"{m[1]} dollar" + "s" * (int(m[1]) > 1)),
    (r"(?<=\d)\s*%", " pour cent"),
    (r"\b1er\b", "premier"),
    (r"\b1(?:re|ère|ere)\b", "première"),
    (r"\b(\d{1,6})(?:e|è|ème|eme|ième)(s?)\b", lambda m: numbers.french_ordinal(int(m[1])) + m[2]),
    (rf"\b((?:\d*[02-68])?1){_FEMININE}", lambda m: _french_number(m[1]) + "e"),  # 21 heures: vingt et une
    (r"(?<=\d),(?=\d)", " virgule "),
    (r"\d+", lambda m: f" {_french_number(m[0])} "),
    (r"\b(heures?) et demie?\b", r"\1 trente"),
    (r"\b(heures?) et quart\b", r"\1 quinze"),
    ("œ", "oe"),
    ("æ", "ae"),
)  # fmt: skip


def _hours(hours: int) -> str:
    return f"{hours} heure" + "s" * (hours > 1)


def _french_number(digits: str) -> str:
    """Write digits as one number, or one by one when they begin with a zero or are too many."""
    if (digits[0] == "0" and len(digits) > 1) or len(digits) > 12:
        return " ".join(numbers.french(int(digit)) for digit in digits)
    return numbers.french(int(digits))


def _french_words(written: str) -> str:
    written = written.lower()
    for pattern, words in _FRENCH_RULES:
        written = re.sub(pattern, words, written)
    return written
