"""The error of trainings that a user can fix."""

from __future__ import annotations

from schemas.errors import RoundtripError


class TrainingError(RoundtripError):
    """Data, settings or weights that a training cannot use; the message says what to change."""
