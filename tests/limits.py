"""The one time limit of tests: it ends a test that hangs, and is far above what the slowest machine needs."""

from __future__ import annotations

import os

HANG_S = float(os.environ.get("HANG_S", 3000))
"""Seconds after which a test counts as hung: a round on two old cores with other work takes a third of it.

`make mutants` sets it to three minutes: a mutant may wait forever, and the tests that it runs take seconds.
"""
