"""The one time limit of tests: it ends a test that hangs, and is far above what the slowest machine needs."""

from __future__ import annotations

HANG_S = 3000.0
"""Seconds after which a test counts as hung: a round on two old cores with other work takes a third of it."""
