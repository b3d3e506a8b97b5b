"""What two runs are told apart by: the digest of a value written as canonical JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def json_digest(content: Any) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of a value written as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
