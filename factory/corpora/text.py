"""Texts and language codes as corpora have them, brought to one form."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from schemas.datasets import FAILED, Row

_REGION = re.compile(r"([a-z]{2,3})[_-](?:[a-z]{2}|[a-z]{4}|\d{3})(?:[_-](?:[a-z]{2}|\d{3}))?")
"""A language code with a script or a region behind it (BCP 47, also with `_`).

Fr_fr, pt-BR, cmn_hans_cn, zh-Hant-TW.
"""


class NotText(ValueError):
    """Bytes that are no text in UTF-8; the message says what was found."""


def clean_text(text: object) -> str | None:
    """Return a transcript in Unicode's composed form (NFC), without a byte order mark and white space around it.

    None where nothing is left.

    Composed and decomposed letters look alike and differ in every metric that compares characters.
    """
    if text is None:
        return None
    cleaned = unicodedata.normalize("NFC", storable(str(text)).replace("\ufeff", "")).strip()
    return cleaned or None


def storable(text: str) -> str:
    """Return a text as Arrow can hold it.

    Lone surrogates, which stand for bytes that are no UTF-8, are written as escapes.
    """
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")


def decode_text(content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises NotText for anything else, UTF-16 and binary files among them.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotText("it is UTF-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotText(f"byte {error.start} is 0x{content[error.start]:02x}") from error
    if "\0" in text:
        raise NotText("it holds null bytes")
    return text


def language(code: object) -> str:
    """Return a language code in lower case without its region: `fr` for `FR`, `fr_fr`, ` fr-CA `.

    Anything else as it is, stripped.
    """
    text = str(code or "").strip()
    found = _REGION.fullmatch(text.lower())
    if found:
        return found[1]
    return text.lower() if re.fullmatch("[A-Za-z]{2,3}", text) else text


def transcript(content: bytes, name: str) -> Row:
    """Return the text of a transcript file as columns of a row: `text`, or the reason why its row has failed."""
    try:
        return {"text": clean_text(decode_text(content))}
    except NotText as error:
        reason = f"not_utf8: {name} is no text in UTF-8 ({error}); convert it, e.g. with iconv -f latin1 -t utf-8"
        return {"text": None, "status": FAILED, "reason": reason}


def stem(path: str) -> str:
    """Return a path without the suffix of its file name."""
    place = PurePosixPath(path)
    return str(place.with_suffix("")) if place.suffix else str(place)


def suffix_of(path: str) -> str:
    """Return the suffix of a path's file name in lower case, with its dot: `.wav`."""
    return PurePosixPath(path).suffix.lower()
