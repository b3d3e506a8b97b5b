"""The error of Ray clusters that a user can fix."""

from __future__ import annotations

from schemas.errors import RoundtripError


class ClusterError(RoundtripError):
    """A Ray cluster that cannot be joined, started or used; the message says why and what to do."""
