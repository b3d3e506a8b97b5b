"""File names of ids. An id comes from a corpus and may hold a path, an emoji or a thousand characters."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_LENGTH = 80
"""Longest name in characters, which are bytes because names are ASCII. With the suffixes of a temporary file it stays
below 143 bytes, the limit of eCryptfs."""
_SLUG_LENGTH, _DIGEST_LENGTH = 48, 24
_SAFE = re.compile(r"[a-z0-9_][a-z0-9_.-]*(?<!\.)")
_HASHED = re.compile(rf"-[0-9a-f]{{{_DIGEST_LENGTH}}}$")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""Names of devices on Windows, with any suffix."""


def file_name(identifier: str) -> str:
    """Return the file name of an utt_id or pair_id, without a suffix; different ids have different names everywhere.

    A plain id (`a-z`, `0-9`, `_`, `-`, `.`, at most `MAX_LENGTH` characters) is its own name: `common_voice_fr_1-en`.
    Any other becomes its readable part and a digest: `fr/a-en` becomes `fr_a-en-` and 24 hexadecimal digits. Ids with
    capital letters are not plain, because macOS and Windows treat `A` and `a` as one name. Ids that end like a
    digest, and names of devices on Windows, are not plain either.
    """
    return identifier if _is_plain(identifier) else f"{_readable_part(identifier)}-{_digest(identifier)}"


def on_one_line(identifier: str) -> str:
    """Return an id for a terminal: unprintable characters are escaped, a long id is cut to `MAX_LENGTH` characters."""
    shown = escape(identifier[: MAX_LENGTH + 1])
    return shown if len(shown) <= MAX_LENGTH else f"{shown[: MAX_LENGTH - 1]}…"


def escape(text: str) -> str:
    """Return a whole text for a terminal: unprintable characters, line breaks among them, are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _is_plain(identifier: str) -> bool:
    safe = len(identifier) <= MAX_LENGTH and _SAFE.fullmatch(identifier)
    return bool(safe) and not _RESERVED.match(identifier) and not _HASHED.search(identifier)


def _readable_part(identifier: str) -> str:
    """Return an id with `_` for all but ASCII letters, digits, `_` and `-`; without a dot it cannot name a device."""
    letters = unicodedata.normalize("NFKD", identifier[: 4 * _SLUG_LENGTH]).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "_", letters).strip("_-")[:_SLUG_LENGTH].rstrip("_-") or "id"


def _digest(identifier: str) -> str:
    return hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
