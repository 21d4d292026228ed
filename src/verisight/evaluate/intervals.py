"""Intervals: a percentile bootstrap that resamples groups, because the unit of evidence is the video, not the frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verisight.core.errors import DataError
from verisight.core.value import Value
from verisight.evaluate.metrics import Metric, as_arrays, auc, weighted_auc


class Interval(Value):
    """A figure and what the data leave open about it.

    groups : number of clusters that were resampled.
    resamples : bootstrap draws that the bounds rest on; 0 where there is no interval (a single group).
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    groups: int
    resamples: int

    def __str__(self) -> str:
        if self.resamples == 0:
            return f"{self.value:.3f} [one group]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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

    group : (N,) of any type; equal values are one cluster. A draw that lacks a class is left out, and `resamples`
    counts those that stayed. With fewer than two groups in total there is no interval: low = high = value, resamples
    = 0.
    """
    y, s = as_arrays(label, score)
    cluster = np.unique(np.asarray(group), return_inverse=True)[1]
    if len(cluster) != len(y):
        raise DataError("scores", f"{len(cluster)} groups for {len(y)} rows")
    value = metric(y, s)
    count = int(cluster.max()) + 1
    if count < 2:
        return Interval(value=value, low=value, high=value, level=level, groups=count, resamples=0)
    drawn = np.array([_of_draw(metric, y, s, weight[cluster]) for weight in _draws(count, resamples, seed)])
    kept = drawn[np.isfinite(drawn)]
    if len(kept) == 0:
        return Interval(value=value, low=value, high=value, level=level, groups=count, resamples=0)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high), level=level, groups=count, resamples=len(kept))


def _draws(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each of `count` clusters is drawn, `resamples` times."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, count, count), minlength=count)


def _of_draw(metric: Metric, y: NDArray[np.int64], s: NDArray[np.float64], times: NDArray[np.int64]) -> float:
    """The metric of the rows repeated `times`; NaN where a class is absent."""
    if not (times[y == 0].any() and times[y == 1].any()):
        return float("nan")
    if metric is auc:  # exact with weights, and a hundred times faster than repeating rows
        return weighted_auc(y, s, times.astype(np.float64))
    rows = np.repeat(np.arange(len(y)), times)
    return metric(y[rows], s[rows])
