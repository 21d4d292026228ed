"""Figures of records on one page each, as SVG: forest, robustness, calibration, abstention.

Equal values give equal files. Text stays text, for search and screen readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from verisight.core.checkpoint import Calibration
from verisight.evaluate.abstention import Doubt, Point, share
from verisight.evaluate.intervals import Interval
from verisight.evaluate.protocol import LOWER_IS_BETTER, Report, Scores
from verisight.evaluate.record import HEADINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from verisight.evaluate.compare import Comparison

# Okabe and Ito 2008: told apart under the common colour blindnesses, and by the marker where there is no colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
GREY = "#7a7a7a"
LINE_IN, GAP_IN, WIDTH_IN = 0.17, 0.22, 8.0
Lines = Mapping[str, Mapping[str, Interval]]  # name of a line -> scope -> figure


def forest(comparison: Comparison, path: Path) -> None:
    """Write the plot: scopes from top to bottom, in each a line a detector; the best control as a grey bar."""
    lines = {
        name: {scope: figure.mean for scope, figure in comparison.figures[name].items()} for name in comparison.names
    }
    best = {scope: value for scope in comparison.scopes if (value := _best_control(comparison, scope)) is not None}
    title = f"{HEADINGS.get(comparison.metric, comparison.metric)} per {comparison.unit}"
    level = lines[comparison.names[0]][comparison.scopes[0]].level
    better = "; lower is better" if _lower(comparison) else ""
    label = f"{title}, with {level:.0%} intervals (hollow: the data give none){better}"
    _rows(lines, comparison.scopes, path, title=title, label=label, best=best, chance=comparison.metric == "auc")


def robustness_plot(figures: Lines, scopes: Sequence[str], path: Path) -> None:
    """Write the plot: scopes from top to bottom, in each a line a condition.

    figures : condition -> scope -> AUC.
    """
    title = "AUC under every condition"
    label = "AUC with 95% intervals (hollow: the data give none)"
    _rows(figures, scopes, path, title=title, label=label, best={}, chance=True)


def _rows(
    lines: Lines,
    scopes: Sequence[str],
    path: Path,
    *,
    title: str,
    label: str,
    best: Mapping[str, float],
    chance: bool,
) -> None:
    row = len(lines) * LINE_IN + GAP_IN
    with _page(path, (WIDTH_IN, len(scopes) * row + 0.9 + LINE_IN * len(lines)), title) as figure:
        axes = figure.add_subplot()
        _draw(axes, lines, scopes, best)
        if chance:
            axes.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlabel(label)
        entries = len(lines) + bool(best)
        figure.legend(loc="outside upper left", frameon=False, ncols=min(2, entries) if entries < 5 else 4, fontsize=9)


def _draw(axes: Axes, lines: Lines, scopes: Sequence[str], best: Mapping[str, float]) -> None:
    step = LINE_IN / (len(lines) * LINE_IN + GAP_IN)
    fresh = {*lines, "best control"}  # names that the legend does not have yet
    for row, scope in enumerate(scopes):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color="#f2f2f2", linewidth=0, zorder=0)
        for k, (name, by_scope) in enumerate(lines.items()):
            figure = by_scope.get(scope)
            if figure is None:
                continue
            y = row + (k - (len(lines) - 1) / 2) * step
            colour = COLOURS[k % len(COLOURS)]
            bounds = [bound for bound in (figure.low, figure.high) if bound is not None]
            if bounds:
                axes.plot(bounds, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
            marker, label = MARKERS[k % len(MARKERS)], name if name in fresh else None
            fill = colour if bounds else "white"
            axes.plot([figure.value], [y], marker, color=colour, mfc=fill, markersize=5.5, label=label, zorder=3)
            fresh.discard(name)
        if scope in best:
            ends, label = [row - 0.46, row + 0.46], "best control" if "best control" in fresh else None
            axes.plot([best[scope]] * 2, ends, color=GREY, linewidth=2.2, label=label, zorder=1)
            fresh.discard("best control")
    axes.set_yticks(range(len(scopes)), scopes)
    axes.set_ylim(len(scopes) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    _open(axes, "left")


@dataclass(frozen=True)
class Bin:
    """Files with probabilities of one tenth. claimed : their mean probability. fakes : share that is fake."""

    claimed: float
    fakes: Interval
    files: int


def reliability(scores: Scores[Report], calibration: Calibration, *, bins: int = 10) -> tuple[Bin, ...]:
    """The bins of a reliability diagram, of equal width, empty ones left out (DeGroot, Fienberg 1983).

    The interval of a share is exact where every file is a group of its own, else a bootstrap of groups.
    """
    probability = calibration.probability(scores.score)
    at = np.minimum((probability * bins).astype(int), bins - 1)
    rows = (at == k for k in np.unique(at))
    return tuple(
        Bin(float(probability[of].mean()), share(scores.label[of], scores.group[of]), int(of.sum())) for of in rows
    )


def calibration_curve(scores: Scores[Report], calibration: Calibration, path: Path) -> None:
    """Write the reliability diagram: what was claimed against what was found, and how many files stand in each bin."""
    found = reliability(scores, calibration)
    x = [b.claimed for b in found]
    with _page(path, (WIDTH_IN * 0.7, 5.2), "Calibration") as figure:
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for b in found:
            _upright(axes, b.claimed, b.fakes, COLOURS[0])
        axes.set_ylabel("share of fakes, with 95% intervals")
        axes.set_ylim(-0.03, 1.03)
        counts.bar(x, [b.files for b in found], width=0.03, color=GREY)
        for b in found:
            counts.annotate(str(b.files), (b.claimed, b.files), ha="center", va="bottom", fontsize=8)
        counts.set_ylabel("files")
        counts.margins(y=0.35)
        counts.set_xlabel("probability of fake, as given")
        counts.set_xlim(-0.03, 1.03)
        for of in (axes, counts):
            _open(of)


def abstention_curve(curve: Sequence[Point], shipped: Doubt | None, path: Path) -> None:
    """Write the risk-coverage curve with its band; the shipped zone of doubt as a mark.

    curve : from `risk_coverage`. shipped : None where the detector has no such zone.
    """
    x, y = [point.coverage.value for point in curve], [point.error.value for point in curve]
    low = [point.error.value if point.error.low is None else point.error.low for point in curve]
    high = [point.error.value if point.error.high is None else point.error.high for point in curve]
    with _page(path, (WIDTH_IN * 0.7, 4.0), "Abstention") as figure:
        axes = figure.add_subplot()
        axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.18, linewidth=0)
        axes.plot(x, y, MARKERS[0] + "-", color=COLOURS[0], markersize=3.5, linewidth=1.4)
        if shipped is not None and shipped.error is not None:
            at = [shipped.coverage.value], [shipped.error.value]
            axes.plot(*at, MARKERS[2], color=COLOURS[1], markersize=8, label="shipped zone of doubt", linestyle="none")
            axes.legend(frameon=False, fontsize=9)
        axes.set_xlabel("coverage: share of files that get a verdict")
        axes.set_ylabel("risk: share of wrong verdicts among these,\nwith 95% intervals")
        axes.set_ylim(bottom=0)
        _open(axes)


@contextmanager
def _page(path: Path, size_in: tuple[float, float], title: str) -> Iterator[Figure]:
    """A figure that is written when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "verisight", "font.family": "sans-serif"}):
        figure = Figure(figsize=size_in, layout="constrained")
        yield figure
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})


def _upright(axes: Axes, x: float, figure: Interval, colour: str) -> None:
    bounds = [bound for bound in (figure.low, figure.high) if bound is not None]
    if bounds:
        axes.plot([x, x], bounds, color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    fill = colour if bounds else "white"
    axes.plot([x], [figure.value], MARKERS[0], color=colour, mfc=fill, markersize=5.5, zorder=3)


def _open(axes: Axes, *sides: str) -> None:
    for side in ("top", "right", *sides):
        axes.spines[side].set_visible(False)


def _best_control(comparison: Comparison, scope: str) -> float | None:
    values = [by_scope[scope].value for by_scope in comparison.controls.values() if scope in by_scope]
    if not values:
        return None
    return min(values) if _lower(comparison) else max(values)


def _lower(comparison: Comparison) -> bool:
    return comparison.metric in LOWER_IS_BETTER
