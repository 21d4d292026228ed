"""Intervals: a percentile bootstrap that resamples groups, because the unit of evidence is the video, not the frame.

It serves any metric. The AUC has a variance in closed form, clustered alike, in `delong`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import field_serializer

from verisight.core.errors import DataError
from verisight.core.value import Value
from verisight.evaluate.metrics import Metric

Weights = NDArray[np.float64]


class Interval(Value):
    """A figure and what the data leave open about it.

    low, high : bounds of the interval; None where the data cannot give one, see `unknown`.
    level : share of repetitions in which such an interval holds the true figure, as far as the method goes.
    groups : number of clusters that were resampled, or that a formula took as independent.
    resamples : draws that the bounds rest on; 0 where a formula gave them, or nothing did.
    """

    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = "percentile bootstrap of groups"
    groups: int
    resamples: int = 0

    @field_serializer("value", "low", "high", when_used="json")
    def _rounded(self, figure: float | None) -> float | None:
        return None if figure is None else round(figure, 6)  # finer than 1 / (2 n m) of any set that we report

    @property
    def unknown(self) -> str:
        """Why there are no bounds, where there are none."""
        return "every draw alike" if self.resamples else "too few groups"

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} [{self.unknown}]"
        return f"{self.value:.3f} [{self.low:.2f}, {self.high:.2f}]"


Metrics = dict[str, dict[str, Interval]]  # scope -> metric -> figure


def bootstrap(
    metric: Metric,
    label: ArrayLike,
    score: ArrayLike,
    group: ArrayLike,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of `metric` over draws of whole groups with replacement (Efron, Tibshirani 1993, ch. 13).

    group : (N,) of any type; equal values are one cluster. Rows of one cluster may be as dependent as they like.

    A draw in which the metric is undefined, for want of a class, is left out, not drawn again; `Interval.resamples`
    counts those that stayed. Where a label that is present stands in a single group, nothing says how another group
    of it would score, and a bootstrap would return a narrow interval all the same: there, low and high are None. So
    they are where every draw gives the same figure, as without a single error: no draw can show what was not seen. Rows
    that a metric does not look at (negatives, for the true positive rate) are best left out by the caller, so that
    they do not count here. With few groups, under about 20 a class, percentile intervals are somewhat too narrow.

    Raises
    ------
    DataError : the metric refuses the data; not one group a row; a level or a number of draws out of range.
    """
    return percentile(
        lambda weight: metric(label, score, weight), label, group, resamples=resamples, level=level, seed=seed
    )[0]


def percentile(
    statistic: Callable[[Weights | None], float],
    label: ArrayLike,
    group: ArrayLike,
    *,
    resamples: int,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, NDArray[np.float64]]:
    """As `bootstrap`, for any figure of the rows, such as a difference of two detectors; also gives the draws.

    statistic : of (N,) row weights; None counts every row once.

    Raises
    ------
    DataError : as `bootstrap`.
    """
    if not (0 < level < 1 and resamples >= 1):
        raise DataError("bootstrap", f"level {level} must lie between 0 and 1, resamples {resamples} be at least 1")
    value = statistic(None)
    y = np.asarray(label)
    groups, cluster = np.unique(np.asarray(group), return_inverse=True)
    if cluster.shape != y.shape:
        raise DataError("bootstrap", f"{len(cluster)} groups for {len(y)} rows", "give every row the name of its group")
    fewest = min(len(np.unique(cluster[y == present])) for present in np.unique(y))
    drawn = resampled(statistic, cluster, resamples=resamples, seed=seed) if fewest >= 2 else np.empty(0)
    if len(drawn) == 0 or drawn.min() == drawn.max():
        return Interval(value=value, level=level, groups=len(groups), resamples=len(drawn)), drawn
    low, high = (float(bound) for bound in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    interval = Interval(value=value, low=low, high=high, level=level, groups=len(groups), resamples=len(drawn))
    return interval, drawn


def certain(value: float, trials: int, what: str, *, groups: int, level: float = 0.95) -> Interval:
    """The exact binomial interval of a share that came out as 0 or 1 (Clopper, Pearson 1934).

    trials : independent ones, all alike; the bound off the end is (1 - level) / 2 to the power of 1 / trials away from
        the other. Of 20 trials without an event, a share of up to 0.168 is left open.
    what : the trials, in words.
    """
    slack = 1 - ((1 - level) / 2) ** (1 / trials)
    low, high = max(0.0, value - slack), min(1.0, value + slack)
    return Interval(value=value, low=low, high=high, level=level, method=f"exact binomial over {what}", groups=groups)


def resampled(
    statistic: Callable[[Weights], float], cluster: NDArray[np.int64], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """The statistic on draws of clusters with replacement; draws on which it raises DataError are left out.

    statistic : of (N,) row weights, how often each row was drawn. Equal clusters and seeds give equal draws, so that
        figures of two detectors on the same rows are paired.
    cluster : (N,) numbers 0 .. C - 1.
    """
    figures = []
    for times in _draws(int(cluster.max()) + 1, resamples, seed):
        try:
            figures.append(statistic(times[cluster]))
        except DataError:  # the whole data were accepted, so only a class can be missing
            continue
    return np.array(figures, dtype=np.float64)


def _draws(clusters: int, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each cluster is drawn, `resamples` times; one draw at a time bounds the memory."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, clusters, clusters), minlength=clusters).astype(np.float64)
