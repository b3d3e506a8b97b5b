"""From an id to a file name: an id is what a corpus gave, and may hold a path, an emoji or a thousand characters."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 80
"""Most characters (and bytes: they are ASCII) of a name. With suffixes and a temporary file's ending it stays below
143, which is all that eCryptfs takes."""
_SLUG, _DIGEST = 48, 24
_SAFE = re.compile(r"[a-z0-9_][a-z0-9_.-]*(?<!\.)")
_HASHED = re.compile(rf"-[0-9a-f]{{{_DIGEST}}}$")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""What Windows takes for a device, whatever follows its dot."""


def file_name(identifier: str) -> str:
    """Return the file name of an utt_id or pair_id, without a suffix: different ids have different names.

    A plain id (`a-z`, `0-9`, `_`, `-`, `.`, at most `LONGEST` characters) is its own name: `common_voice_fr_1-en`. Any
    other becomes what can be read of it and a digest of all of it: `fr/a-en` becomes `fr_a-en-` and 24 hexadecimal
    digits. An id with capital letters is not plain, because macOS and Windows hold `A` and `a` for one name; nor is one
    that ends as if it had a digest, or one that Windows takes for a device.
    """
    return identifier if _is_safe(identifier) else f"{_slug(identifier)}-{_digest(identifier)}"


def on_one_line(identifier: str) -> str:
    """Return an id as a terminal can show it: what cannot be printed is escaped, and what is too long is cut."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in identifier[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _is_safe(identifier: str) -> bool:
    plain = len(identifier) <= LONGEST and _SAFE.fullmatch(identifier)
    return bool(plain) and not _RESERVED.match(identifier) and not _HASHED.search(identifier)


def _slug(identifier: str) -> str:
    """Return what can be read of an id: ASCII letters, digits, `_` and `-`; without a dot it cannot name a device."""
    letters = unicodedata.normalize("NFKD", identifier[: 4 * _SLUG]).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "_", letters).strip("_-")[:_SLUG].rstrip("_-") or "id"


def _digest(identifier: str) -> str:
    return hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
