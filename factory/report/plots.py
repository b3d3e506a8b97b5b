"""The plots of a report: matplotlib's SVG, inlined, with its colours replaced by the page's, so that light and dark both fit."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.datasets import Row

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
"""Stand-ins, each for a colour of the page's style sheet."""
STYLE: Row = {
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


def draw(name: str, paint: Callable[[Axes], None], size: tuple[float, float] = (4.6, 2.9)) -> str:
    """Return a plot as an SVG element; `name` makes the ids in it differ from those of other plots on the page."""
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
    """Keep the svg element only, scale it to its place, and name the page's colours in it."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]+")[^>]*>', rf'<svg \1 role="img" aria-label="{name}">', svg, count=1)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'id="((?!m|p)[\w.-]+)"', "", svg)  # ids that nothing refers to, the same in every plot
    for colour, stand_in in COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{colour})")
    return svg


def bars(steps: Sequence[tuple[str, float]], label: str) -> Callable[[Axes], None]:
    """Horizontal bars, the first on top, each with its number."""

    def paint(axes: Axes) -> None:
        """Draw the bars, the first on top."""
        names, values = [step for step, _ in steps], [value for _, value in steps]
        drawn = axes.barh(names, values, color=COLOURS["one"], height=0.62)
        axes.bar_label(drawn, [f"{value:,.0f}" for value in values], padding=3)
        axes.invert_yaxis()
        axes.set(xlabel=label, xlim=(0, 1.18 * max([1.0, *values])))

    return paint


def histograms(
    groups: dict[str, np.ndarray], label: str, line: float | None = None, line_name: str = "δ"
) -> Callable[[Axes], None]:
    """Outlined histograms of several groups over the same bins; `line` marks a value."""

    def paint(axes: Axes) -> None:
        """Draw each group over the same bins, what lies above the last one inside it."""
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
        if line is not None:
            axes.axvline(line, color=COLOURS["ink"], ls="--", lw=1, label=f"{line_name} = {line:g}")
        axes.set(xlabel=label, ylabel="count")
        axes.legend(fontsize=8)

    return paint


def heatmap(matrix: np.ndarray, names: Sequence[str]) -> Callable[[Axes], None]:
    """A square of correlations, each with its number; strength is opacity, sign is colour."""

    def paint(axes: Axes) -> None:
        """Draw a square of colour and a number for each cell."""
        from matplotlib.patches import Rectangle

        for (row, column), value in np.ndenumerate(matrix):
            colour, strength = (
                COLOURS["one" if value >= 0 else "two"],
                0.0 if np.isnan(value) else 0.75 * abs(float(value)),
            )
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=strength, lw=0))
            axes.text(column, row, "-" if np.isnan(value) else f"{value:.2f}", ha="center", va="center")
        size = len(names)
        axes.set_xticks(range(size), names)
        axes.set_yticks(range(size), names)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        axes.set_aspect("equal")

    return paint


def estimates(
    groups: dict[str, list[Row]], label: str, lines: dict[str, float] | None = None
) -> Callable[[Axes], None]:
    """Points with intervals: rows {x, y, low, high} of each group; `lines` are named levels such as toplines. `x` is a text or a number."""

    def paint(axes: Axes) -> None:
        """Draw each group beside the others at its places."""
        names = list(dict.fromkeys(str(row["x"]) for rows in groups.values() for row in rows))
        for place, (colour, (name, rows)) in enumerate(zip(SERIES, groups.items(), strict=False)):
            x = np.array([names.index(str(row["x"])) for row in rows]) + 0.12 * (place - (len(groups) - 1) / 2)
            y = np.array([row["y"] for row in rows], dtype=float)
            spread = np.abs(np.array([[row["low"], row["high"]] for row in rows], dtype=float).reshape(-1, 2).T - y)
            axes.errorbar(x, y, yerr=spread, color=COLOURS[colour], marker="o", ms=4, lw=1.2, capsize=3, label=name)
        for colour, (name, level) in zip(SERIES, (lines or {}).items(), strict=False):
            axes.axhline(level, color=COLOURS[colour], ls=":", lw=1.2, label=f"{name} ({level:.1f})")
        axes.set(ylabel=label, xticks=range(len(names)), xticklabels=names)
        axes.margins(y=0.15)
        if names or lines:
            axes.legend(fontsize=8)

    return paint


def curve(lines: Mapping[str, Sequence[Sequence[float]]], x: str, y: str) -> Callable[[Axes], None]:
    """Curves of (x, y), with a point at each value while there are few."""

    def paint(axes: Axes) -> None:
        for colour, (name, (at, values)) in zip(SERIES, lines.items(), strict=False):
            axes.plot(at, values, color=COLOURS[colour], lw=1.4, marker="o" if len(at) < 40 else None, ms=3, label=name)
        axes.set(xlabel=x, ylabel=y)
        if lines:
            axes.legend(fontsize=8)

    return paint
