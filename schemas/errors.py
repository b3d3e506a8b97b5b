"""The root of every error that a user can fix."""

from __future__ import annotations


class RoundtripError(Exception):
    """An error that a user can fix: the message says what is wrong, where, what was expected and what to do.

    The command line prints the message as one sentence and exits with 2. Every other error is a bug: it keeps its
    traceback, and the exit code is 1.
    """
