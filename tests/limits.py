"""The one limit of time in tests: it ends what hangs, and is far beyond what the slowest machine needs."""

from __future__ import annotations

HANG_S = 3000.0
"""Seconds after which something that a test waits for is taken to hang: a round on two old cores beside other work takes a third."""
