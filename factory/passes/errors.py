"""The error of the passes."""

from __future__ import annotations

from schemas.errors import RoundtripError


class PassError(RoundtripError):
    """A pass that cannot write its dataset from what it was given."""
