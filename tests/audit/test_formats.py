"""Gaps and intervals as text."""

from __future__ import annotations

from factory.audit.formats import format_gap, format_interval


def test_a_bin_has_a_name() -> None:
    assert format_gap([0.1, 0.35]) == "0.1-0.35"
    assert format_gap([0.0, 0.1]) == "0-0.1"
    assert format_gap([0.75, None]) == "0.75 and more"


def test_a_value_is_written_with_its_interval() -> None:
    assert format_interval(0.75, [0.6, 0.904]) == "0.75 [0.60, 0.90]"
    assert format_interval(0.75, [-0.6, 0.9], "+.3f") == "+0.750 [-0.600, +0.900]"
    assert format_interval(None, [0.0, 1.0]) == format_interval(0.5, None) == "-"
