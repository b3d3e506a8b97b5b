"""The fingerprint of a value: equal values have equal digests on every machine."""

from __future__ import annotations

import hashlib
import json


def json_digest(content: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a value as canonical JSON.

    Canonical JSON has sorted keys, no spaces, and non-ASCII characters as UTF-8. Raises ValueError for NaN and
    infinity, which JSON does not have, and TypeError for a value that is no JSON.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
