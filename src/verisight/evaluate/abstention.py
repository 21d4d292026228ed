"""Giving no verdict where there is doubt: what it costs in files judged, and what it saves in errors.

Symbols of El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 11, 2010: coverage is
the share of files that get a verdict, risk the share of errors among these. The zone of doubt is [clear, threshold) in
calibrated probabilities: below it a file is called real, above it fake, within it nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.core.value import Value
from verisight.evaluate.intervals import Interval, Weights, certain, percentile
from verisight.evaluate.protocol import Report, Scores

POINTS = 25  # of a risk-coverage curve


class Doubt(Value):
    """What a zone of doubt does on report data; classes weigh as they come.

    clear, threshold : its bounds.
    coverage : share of files that get a verdict; `reals` and `fakes`, the same of each class.
    error : share of wrong verdicts among those given; `fpr` among those on reals, `fnr` among those on fakes; None
        where no such file got one.
    error_without : share of wrong verdicts where the threshold alone decides every file.
    """

    clear: float
    threshold: float
    coverage: Interval
    reals: Interval
    fakes: Interval
    error: Interval | None
    fpr: Interval | None
    fnr: Interval | None
    error_without: Interval


class Point(Value):
    """One zone of a curve. clear : its lower bound. Coverage and error : as in `Doubt`."""

    clear: float
    coverage: Interval
    error: Interval


def doubt(
    scores: Scores[Report], calibration: Calibration, clear: Threshold, threshold: Threshold, *, resamples: int = 2000
) -> Doubt:
    """The figures of a zone that was chosen elsewhere, with intervals over groups.

    Raises
    ------
    DataError : the scores are not of a report split, lack a class, or `clear` lies above the threshold.
    """
    _require_report(scores)
    if clear.value > threshold.value:
        raise DataError("zone of doubt", f"ends at {threshold.value:.4f}, below its start {clear.value:.4f}")
    probability = calibration.probability(scores.score)
    fake, called = scores.label == 1, probability >= threshold.value
    decided = called | (probability < clear.value)
    wrong = called != fake

    def of(hit: NDArray[np.bool_], rows: NDArray[np.bool_]) -> Interval:
        return share(hit[rows], scores.group[rows], resamples=resamples)

    def among(rows: NDArray[np.bool_]) -> Interval | None:
        return of(wrong, decided & rows) if (decided & rows).any() else None

    everything = np.full(len(scores), True)
    return Doubt(
        clear=clear.value,
        threshold=threshold.value,
        coverage=of(decided, everything),
        reals=of(decided, ~fake),
        fakes=of(decided, fake),
        error=among(everything),
        fpr=among(~fake),
        fnr=among(fake),
        error_without=of(wrong, everything),
    )


def risk_coverage(
    scores: Scores[Report], calibration: Calibration, threshold: Threshold, *, resamples: int = 2000
) -> tuple[Point, ...]:
    """The curve: error of the decided against the share decided, as the zone grows downwards from the threshold.

    The threshold stays, so false alarms do too, and what is saved are fakes called real. The first point is the empty
    zone; of the others, each takes an equal share of the files below the threshold in. The last one calls nothing
    real; it is left out where nothing is called fake either.

    Raises
    ------
    DataError : as `doubt`.
    """
    _require_report(scores)
    probability = calibration.probability(scores.score)
    called = probability >= threshold.value
    wrong = called != (scores.label == 1)
    below = np.unique(probability[~called])
    steps = np.unique(np.linspace(0, len(below), POINTS).astype(int))[::-1]
    points = []
    for step in steps.tolist():
        clear = threshold.value if step == len(below) else float(below[step])
        decided = called | (probability < clear)
        if decided.any():
            coverage = share(decided, scores.group, resamples=resamples)
            error = share(wrong[decided], scores.group[decided], resamples=resamples)
            points.append(Point(clear=clear, coverage=coverage, error=error))
    return tuple(points)


def share(hit: ArrayLike, group: ArrayLike, *, resamples: int = 2000, level: float = 0.95) -> Interval:
    """How often something happens, with what the groups leave open.

    hit : (N,) bool. group : (N,) of any type; rows of one may be as dependent as they like.

    Where each row is a group of its own, the interval is exact (Clopper, Pearson 1934). Else it is a percentile
    bootstrap of groups; and where all rows came out alike, the exact one over groups, each a single trial. Of a single
    group there is none.

    Raises
    ------
    DataError : there are no rows.
    """
    y, name = np.asarray(hit, np.float64), np.asarray(group)
    if len(y) == 0:
        raise DataError("share", "there are no rows")
    value, groups = float(y.mean()), len(np.unique(name))
    if groups < 2:
        return Interval(value=value, level=level, groups=groups)
    if value in (0.0, 1.0):
        return certain(value, groups, "groups", groups=groups, level=level)
    if groups == len(y):
        from scipy.stats import binomtest

        bounds = binomtest(int(y.sum()), len(y)).proportion_ci(level, method="exact")
        method = "exact binomial over files"
        return Interval(
            value=value, low=float(bounds.low), high=float(bounds.high), level=level, method=method, groups=groups
        )

    def mean(weight: Weights | None) -> float:
        return float(np.average(y, weights=weight))

    return percentile(mean, np.zeros(len(y)), name, resamples=resamples, level=level)[0]


def _require_report(scores: Scores[Report]) -> None:
    if scores.split is not Report:
        raise DataError("abstention", f"was to be reported on {scores.split.__name__.lower()} data", "use test data")
    for label, name in ((0, "reals"), (1, "fakes")):
        if not (scores.label == label).any():
            raise DataError("abstention", f"the {len(scores)} report files hold no {name}", "add some")
