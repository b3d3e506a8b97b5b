"""The plots of a report as SVG elements by matplotlib, in the colours of the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "one": "#030303",
    "two": "#040404",
    "three": "#050505",
    "rule": "#060606",
}
"""A placeholder for each colour of the page's style sheet."""
STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["rule"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "font.size": 10,
    "axes.titlesize": 10,
    "hatch.color": COLOURS["muted"],
}
SERIES = ("one", "two", "three")
"""The colours of the first, second and third group of a plot."""
Paint = Callable[["Axes"], None]


class Point(NamedTuple):
    """An estimate at a position of the x axis, with its interval."""

    x: str
    y: float
    low: float
    high: float


def draw(name: str, paint: Paint, size: tuple[float, float] = (4.6, 2.9)) -> str:
    """Return a plot as an SVG element.

    Args:
        name: the label of the plot. It also makes the ids in the element differ from those of other plots on the page.
        paint: a function that paints the plot on the axes.
        size: width and height (inches).
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    style: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots())
        sink = io.StringIO()
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    return _themed(sink.getvalue(), name)


def _themed(svg: str, name: str) -> str:
    """Keep only the svg element, let it scale with the page, and replace the placeholders of colours."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]+")[^>]*>', rf'<svg \1 role="img" aria-label="{name}">', svg, count=1)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'id="((?!m|p)[\w.-]+)"', "", svg)  # ids without references, the same in every plot
    for colour, placeholder in COLOURS.items():
        svg = svg.replace(placeholder, f"var(--{colour})")
    return svg


def bars(steps: Sequence[tuple[str, float]], label: str) -> Paint:
    """Paint horizontal bars, the first one on top, each with its number."""

    def paint(axes: Axes) -> None:
        """Paint the bars."""
        names, values = [step for step, _ in steps], [value for _, value in steps]
        container = axes.barh(names, values, color=COLOURS["one"], height=0.62)
        axes.bar_label(container, [f"{value:,.0f}" for value in values], padding=3)
        axes.invert_yaxis()
        axes.set(xlabel=label, xlim=(0, 1.18 * max([1.0, *values])))

    return paint


def histograms(groups: Mapping[str, np.ndarray], label: str, delta: float | None = None) -> Paint:
    """Paint histograms of several groups over the same bins.

    Args:
        groups: the values (n,) of each group.
        label: the label of the x axis.
        delta: a threshold to mark with a vertical line.
    """

    def paint(axes: Axes) -> None:
        """Paint each group; values above the last bin count in it."""
        everything = np.concatenate([*groups.values(), np.zeros(0)])
        if not len(everything):
            axes.text(0.5, 0.5, "nothing to show", ha="center", transform=axes.transAxes)
            return
        top = float(np.quantile(everything, 0.995)) or 1.0
        bins = np.linspace(min(0.0, float(everything.min())), top, 26).tolist()
        for colour, (name, values) in zip(SERIES, groups.items(), strict=False):
            axes.hist(np.minimum(values, top), bins, histtype="stepfilled", alpha=0.25, color=COLOURS[colour])
            axes.hist(
                np.minimum(values, top),
                bins,
                histtype="step",
                color=COLOURS[colour],
                label=f"{name} (n={len(values):,})",
                lw=1.4,
            )
        if delta is not None:
            axes.axvline(delta, color=COLOURS["ink"], ls="--", lw=1, label=f"δ = {delta:g}")
        axes.set(xlabel=label, ylabel="count")
        axes.legend(fontsize=8)

    return paint


def heatmap(matrix: np.ndarray, names: Sequence[str]) -> Paint:
    """Paint a matrix (n, n) of correlations with numbers. Opacity shows the strength, colour the sign."""

    def paint(axes: Axes) -> None:
        """Paint a rectangle and a number for each cell."""
        from matplotlib.patches import Rectangle

        for (row, column), value in np.ndenumerate(matrix):
            colour = COLOURS["one" if value >= 0 else "two"]
            strength = 0.0 if np.isnan(value) else 0.75 * abs(float(value))
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=strength, lw=0))
            axes.text(column, row, "-" if np.isnan(value) else f"{value:.2f}", ha="center", va="center")
        size = len(names)
        axes.set_xticks(range(size), names)
        axes.set_yticks(range(size), names)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        axes.set_aspect("equal")

    return paint


def estimates(groups: Mapping[str, Sequence[Point]], label: str, levels: Mapping[str, float] | None = None) -> Paint:
    """Paint estimates with their intervals.

    Args:
        groups: the points of each group; points with the same x are painted next to each other.
        label: the label of the y axis.
        levels: named horizontal lines, such as toplines.
    """

    def paint(axes: Axes) -> None:
        """Paint each group, with a small offset to the others."""
        names = list(dict.fromkeys(point.x for points in groups.values() for point in points))
        for index, (colour, (name, points)) in enumerate(zip(SERIES, groups.items(), strict=False)):
            x = np.array([names.index(point.x) for point in points]) + 0.12 * (index - (len(groups) - 1) / 2)
            y = np.array([point.y for point in points], dtype=float)
            bounds = np.array([[point.low, point.high] for point in points], dtype=float)
            spread = np.abs(bounds.reshape(-1, 2).T - y)
            axes.errorbar(x, y, yerr=spread, color=COLOURS[colour], marker="o", ms=4, lw=1.2, capsize=3, label=name)
        for colour, (name, level) in zip(SERIES, (levels or {}).items(), strict=False):
            axes.axhline(level, color=COLOURS[colour], ls=":", lw=1.2, label=f"{name} ({level:.1f})")
        axes.set(ylabel=label, xticks=range(len(names)), xticklabels=names)
        axes.margins(y=0.15)
        if names or levels:
            axes.legend(fontsize=8)

    return paint


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str) -> Paint:
    """Paint curves, with a marker at each value of a curve of fewer than 40 values.

    Args:
        lines: the x values and the y values of each curve.
        x: the label of the x axis.
        y: the label of the y axis.
    """

    def paint(axes: Axes) -> None:
        """Paint each curve."""
        for colour, (name, (xs, ys)) in zip(SERIES, lines.items(), strict=False):
            axes.plot(xs, ys, color=COLOURS[colour], lw=1.4, marker="o" if len(xs) < 40 else None, ms=3, label=name)
        axes.set(xlabel=x, ylabel=y)
        if lines:
            axes.legend(fontsize=8)

    return paint
