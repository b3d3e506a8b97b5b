"""Keeps secrets out of what is printed, logged and stored: errors of storage and hub clients quote URLs and headers as they were sent."""

from __future__ import annotations

import os
import re

_HIDDEN = "***"
_PATTERNS = (
    (re.compile(r"(?<=://)[^/\s@?#'\"]+(?=@)"), _HIDDEN),  # s3://KEY:SECRET@bucket
    (
        re.compile(r"(?i)([?&;][\w.%-]*(?:token|secret|signature|password|credential|key)[\w%-]*=)[^&;\s'\"]+"),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}"), rf"\1{_HIDDEN}"),
    (re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[opsru]_[A-Za-z0-9]{20,})"), _HIDDEN),
)
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY|API_KEY|CREDENTIAL")
_SHORTEST = 8
"""Shorter values of secret variables are left alone: `test` or `true` stands in too many words."""


def redact(text: str) -> str:
    """Return the text with `***` for credentials in URLs, for tokens of known shape, and for the values of secret environment variables."""
    for value in _secret_values():
        text = text.replace(value, _HIDDEN)
    for pattern, put_instead in _PATTERNS:
        text = pattern.sub(put_instead, text)
    return text


def _secret_values() -> list[str]:
    found = [
        value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper()) and len(value) >= _SHORTEST
    ]
    return sorted(
        (value for value in found if "/" not in value[:1]), key=len, reverse=True
    )  # a path to a token file is no secret
