"""A forest plot: every figure of a comparison with its interval, on one page, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from verisight.evaluate.protocol import LOWER_IS_BETTER
from verisight.evaluate.record import HEADINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from verisight.evaluate.compare import Comparison

# Okabe and Ito 2008: told apart under the common colour blindnesses, and by the marker where there is no colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
LINE_IN, GAP_IN, WIDTH_IN = 0.17, 0.22, 8.0


def forest(comparison: Comparison, path: Path) -> None:
    """Write the plot: scopes from top to bottom, in each a line a detector; the best control as a grey bar.

    Equal comparisons give equal files. Text stays text, for search and screen readers.
    """
    import matplotlib
    from matplotlib.figure import Figure

    lines = len(comparison.names) * LINE_IN + GAP_IN
    height = len(comparison.scopes) * lines + 0.9 + LINE_IN * len(comparison.names)
    title = f"{HEADINGS.get(comparison.metric, comparison.metric)} per {comparison.unit}"
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "verisight", "font.family": "sans-serif"}):
        figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, comparison)
        level = comparison.figures[comparison.names[0]][comparison.scopes[0]].mean.level
        better = "; lower is better" if _lower(comparison) else ""
        axes.set_xlabel(f"{title}, with {level:.0%} intervals (hollow: the data give none){better}")
        figure.legend(loc="outside upper left", frameon=False, ncols=min(2, len(comparison.names) + 1), fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})


def _draw(axes: Axes, comparison: Comparison) -> None:
    step = LINE_IN / (len(comparison.names) * LINE_IN + GAP_IN)
    for row, scope in enumerate(comparison.scopes):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color="#f2f2f2", linewidth=0, zorder=0)
        for k, name in enumerate(comparison.names):
            figure = comparison.figures[name].get(scope)
            if figure is None:
                continue
            y = row + (k - (len(comparison.names) - 1) / 2) * step
            colour, mean = COLOURS[k % len(COLOURS)], figure.mean
            bounds = [bound for bound in (mean.low, mean.high) if bound is not None]
            if bounds:
                axes.plot(bounds, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
            marker, label = MARKERS[k % len(MARKERS)], name if row == 0 else None
            fill = colour if bounds else "white"
            axes.plot([mean.value], [y], marker, color=colour, mfc=fill, markersize=5.5, label=label, zorder=3)
        best = _best_control(comparison, scope)
        if best is not None:
            label = "best control" if row == 0 else None
            axes.plot([best, best], [row - 0.46, row + 0.46], color="#7a7a7a", linewidth=2.2, label=label, zorder=1)
    if comparison.metric == "auc":
        axes.axvline(0.5, color="#7a7a7a", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.set_yticks(range(len(comparison.scopes)), comparison.scopes)
    axes.set_ylim(len(comparison.scopes) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _best_control(comparison: Comparison, scope: str) -> float | None:
    values = [by_scope[scope].value for by_scope in comparison.controls.values() if scope in by_scope]
    if not values:
        return None
    return min(values) if _lower(comparison) else max(values)


def _lower(comparison: Comparison) -> bool:
    return comparison.metric in LOWER_IS_BETTER
