"""The plots of a report, as SVG in the colours of the page."""

from __future__ import annotations

import numpy as np
import pytest

from factory.report.plots import COLOURS, Point, bars, curves, draw, estimates, heatmap, histograms


def test_a_plot_is_an_svg_element_in_the_colours_of_the_page() -> None:
    svg = draw("gaps", histograms({"fr-en": np.array([0.1, 0.2]), "en-fr": np.array([])}, "gap", 0.1))
    assert svg.startswith("<svg") and 'aria-label="gaps"' in svg
    assert "var(--one)" in svg and not any(colour in svg for colour in COLOURS.values())
    assert "δ = 0.1" in svg and "fr-en (n=2)" in svg and "en-fr (n=0)" in svg
    assert "<metadata>" not in svg


def test_a_plot_is_always_the_same_and_differs_from_others() -> None:
    paint = bars([("a", 1.0)], "count")
    assert draw("one", paint) == draw("one", paint) != draw("two", paint)


def test_nothing_to_show_is_said() -> None:
    assert "nothing to show" in draw("none", histograms({"fr-en": np.array([])}, "gap"))


def test_bars_have_their_numbers() -> None:
    svg = draw("bars", bars([("candidates", 1234.0), ("pairs", 0.0)], "count"))
    assert "1,234" in svg and svg.index("candidates") != -1 and ">0<" in svg.replace("\n", "")
    assert draw("empty", bars([], "count")).startswith("<svg")


def test_correlations_have_their_numbers_and_an_unknown_one_a_dash() -> None:
    svg = draw("square", heatmap(np.array([[1.0, -0.5], [-0.5, np.nan]]), ["a", "b"]))
    assert "1.00" in svg and "-0.50" in svg and "nan" not in svg and "var(--two)" in svg


def test_estimates_have_levels_and_intervals() -> None:
    points = {"a": [Point("round 1", 2, 1, 3)], "b": []}
    svg = draw("points", estimates(points, "score", {"topline": 50.0}))
    assert "topline (50.0)" in svg and "round 1" in svg and "score" in svg
    assert draw("none", estimates({}, "score")).startswith("<svg")


@pytest.mark.parametrize(("count", "has_markers"), [(39, True), (40, False)])
def test_a_short_curve_has_markers(count: int, has_markers: bool) -> None:
    values = [float(value) for value in range(count)]
    svg = draw("curve", curves({"training": (values, values)}, "step", "loss"))
    assert "training" in svg and "step" in svg and "loss" in svg
    assert (svg.count("<use") > 2 * 20) == has_markers
    assert draw("none", curves({}, "step", "loss")).startswith("<svg")
