"""Redaction of secrets from everything that is printed, logged or stored.

Errors of storage and hub clients quote URLs and headers as they were sent, with credentials.
"""

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
_MIN_LENGTH = 8
"""Shortest value of a secret variable that is hidden: shorter ones, such as `test`, are parts of too many words."""


def redact(text: str) -> str:
    """Return the text with `***` for secrets.

    Secrets are credentials in URLs, tokens of known shape, and the values of environment variables with the name of a
    secret.
    """
    for value in _secret_values():
        text = text.replace(value, _HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _secret_values() -> list[str]:
    """Return the values of secret variables, longest first. A path, as in HF_TOKEN_PATH, is no secret."""
    values = [value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper())]
    secrets = [value for value in values if len(value) >= _MIN_LENGTH and not value.startswith("/")]
    return sorted(secrets, key=len, reverse=True)
