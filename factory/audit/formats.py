"""Gaps and intervals as text."""

from __future__ import annotations


def format_gap(gap: list[float | None]) -> str:
    """Return the name of a bin of the gap: `0.1-0.2`, or `0.75 and more` for the last bin."""
    low, high = gap
    return f"{low:g}-{high:g}" if high is not None else f"{low:g} and more"


def format_interval(value: float | None, interval: list[float] | None, spec: str = ".2f") -> str:
    """Return a value and its interval: `0.75 [0.60, 0.90]`, or `-` if there is none.

    Args:
        value: the value.
        interval: its interval `[low, high]`.
        spec: the format of the three numbers.
    """
    if value is None or interval is None:
        return "-"
    low, high = interval
    return f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"
