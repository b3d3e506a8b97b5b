"""Brings texts, language codes and file names to one form."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from schemas.datasets import FAILED, Row

_REGION = re.compile(r"([a-z]{2,3})[_-](?:[a-z]{2}|[a-z]{4}|\d{3})(?:[_-](?:[a-z]{2}|\d{3}))?")
"""A language code with a script or region after it (BCP 47, `_` allowed too): fr_fr, pt-br, cmn_hans_cn, zh-hant-tw."""


class NotUtf8Error(ValueError):
    """Bytes that are not UTF-8 text; the message says why."""


def clean_text(text: object) -> str | None:
    """Return a transcript in composed form (NFC), without byte order mark and outer white space; None if it is empty.

    Composed and decomposed letters look alike, but every metric on characters takes them for different letters.
    """
    if text is None:
        return None
    cleaned = unicodedata.normalize("NFC", escape_surrogates(str(text)).replace("\ufeff", "")).strip()
    return cleaned or None


def escape_surrogates(text: str) -> str:
    """Return the text with lone surrogates (from bytes that are not UTF-8) as escapes, because Arrow refuses them."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")


def decode_utf8(content: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark. Raises NotUtf8Error for UTF-16 and binary files too."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotUtf8Error("it is UTF-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8Error(f"byte {error.start} is 0x{content[error.start]:02x}") from error
    if "\0" in text:
        raise NotUtf8Error("it holds null bytes")
    return text


def normalise_language(code: object) -> str:
    """Return a language code in lower case and without region: `fr` for `FR`, `fr_fr` and ` fr-CA `.

    A text that is not a language code is returned as it is, stripped.
    """
    text = str(code or "").strip()
    match = _REGION.fullmatch(text.lower())
    if match:
        return match[1]
    return text.lower() if re.fullmatch("[A-Za-z]{2,3}", text) else text


def read_transcript(content: bytes, name: str) -> Row:
    """Return the columns that a transcript file gives: its `text`, or the status and reason of a failed row."""
    try:
        return {"text": clean_text(decode_utf8(content))}
    except NotUtf8Error as error:
        reason = f"not_utf8: {name} is not UTF-8 text ({error}); convert it, e.g. with iconv -f latin1 -t utf-8"
        return {"text": None, "status": FAILED, "reason": reason}


def remove_suffix(path: str) -> str:
    """Return a path without the suffix of its file name."""
    file = PurePosixPath(path)
    return str(file.with_suffix("")) if file.suffix else str(file)


def get_suffix(path: str) -> str:
    """Return the suffix of a path's file name in lower case, with its dot: `.wav`."""
    return PurePosixPath(path).suffix.lower()
