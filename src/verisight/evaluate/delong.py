"""DeLong's variance of the AUC without a draw: clustered by group, over any number of detectors on the same rows.

Symbols: theta, the AUC; V10 of a positive, its share of negatives below it, ties as half; V01 of a negative, its share
of positives above it; M and N, the numbers of positives and negatives. With one row a group this is DeLong, DeLong and
Clarke-Pearson 1988. With several it is Obuchowski 1997, which needs no more than that groups are independent: rows of
one may depend on each other as they like, and one may hold both classes.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from verisight.core.errors import DataError
from verisight.evaluate.intervals import Interval, certain
from verisight.evaluate.metrics import Floats, auc, checked

METHOD = "DeLong, clustered by group"
TINY = 1e-20  # a variance below it is what rounding left of nothing
_NORMAL = NormalDist()


class Aucs(NamedTuple):
    """AUCs of K detectors on the same rows.

    auc : (K,). covariance : (K, K); None where a class stands in a single group, which says nothing of another.
    groups : number of clusters.
    pairs : how many disjoint pairs of groups, a positive against a negative, the data hold at least.
    """

    auc: Floats
    covariance: Floats | None
    groups: int
    pairs: int


def components(label: ArrayLike, score: ArrayLike) -> Floats:
    """(N,) V10 of the positives and V01 of the negatives; the mean of each class is the AUC.

    Two sorts in place of M x N comparisons, as the difference of midranks of Sun and Xu 2014.
    """
    rows = checked(label, score, None, needs=(0, 1), what="AUC")
    positive = rows.pos > 0
    pos, neg = rows.score[positive], rows.score[~positive]
    out = np.empty(len(rows.score))
    out[positive] = _share_below(pos, neg)
    out[~positive] = 1 - _share_below(neg, pos)
    return out


def aucs(label: ArrayLike, scores: ArrayLike, group: ArrayLike) -> Aucs:
    """The AUCs of detectors on the same rows, with their covariance (Obuchowski 1997).

    scores : (N, K), a column a detector; or (N,), one detector.
    group : (N,) of any type; equal values are one cluster.

    Raises
    ------
    DataError : one class is missing, values are not finite, columns are not equally long.
    """
    y, s = np.asarray(label), np.asarray(scores, np.float64)
    columns = np.atleast_2d(s.T)
    V = np.stack([components(y, column) for column in columns])
    theta = np.array([auc(y, column) for column in columns])
    groups, cluster = np.unique(np.asarray(group), return_inverse=True)
    if cluster.shape != y.shape:
        raise DataError("DeLong", f"{len(cluster)} groups for {len(y)} rows", "give every row the name of its group")
    I = len(groups)  # noqa: E741  (the paper's name)
    of = {c: y == c for c in (0, 1)}
    with_class = {c: len(np.unique(cluster[of[c]])) for c in (0, 1)}  # I01 and I10 of the paper
    pairs = min(*with_class.values(), I // 2)
    if min(with_class.values()) < 2:
        return Aucs(theta, None, I, pairs)

    def sums(c: int) -> Floats:
        """(K, I) deviations of the class summed within groups, over the size of the class."""
        deviation = V[:, of[c]] - theta[:, None]
        return np.asarray(np.stack([np.bincount(cluster[of[c]], row, I) for row in deviation]) / of[c].sum())

    D10, D01 = sums(1), sums(0)
    mixed = D10 @ D01.T
    within = sum(with_class[c] / (with_class[c] - 1) * (D @ D.T) for c, D in ((1, D10), (0, D01)))
    return Aucs(theta, within + I / (I - 1) * (mixed + mixed.T), I, pairs)


def auc_interval(label: ArrayLike, scores: ArrayLike, group: ArrayLike, *, level: float = 0.95) -> Interval:
    """The AUC with DeLong's interval, on the logit scale, so that it stays within 0..1 (Pepe 2003, ch. 5).

    scores : (N,); or (N, K), and the figure is the mean of the AUCs of K detectors, such as the seeds of one recipe.

    Where every positive scores above every negative the variance is zero and says nothing. Then the interval is the
    exact binomial one of `Aucs.pairs` disjoint pairs of groups, all of them in order; and so at the other end. Low and
    high are None where a class stands in a single group, or where what few groups there are leave no variance. The
    normal quantile makes intervals of few groups, under about 20 a class, somewhat too narrow.
    """
    found = aucs(label, scores, group)
    theta = float(found.auc.mean())
    if found.covariance is None:
        return Interval(value=theta, level=level, method=METHOD, groups=found.groups)
    if theta in (0.0, 1.0):
        return certain(theta, found.pairs, "disjoint pairs of groups", groups=found.groups, level=level)
    variance = float(found.covariance.mean())
    constant = not np.ptp(scores, axis=0).any()  # then 1/2 is certain, whatever the data
    if variance < TINY and not constant:
        return Interval(value=theta, level=level, method=METHOD, groups=found.groups)
    low, high = _logit_bounds(theta, variance, level)
    return Interval(value=theta, low=low, high=high, level=level, method=METHOD, groups=found.groups)


class Difference(NamedTuple):
    """first - second of two AUCs on the same rows.

    interval : normal, of the difference. p : two-sided, of no difference; None where the variance is not known, or is
        zero although the AUCs differ.
    """

    interval: Interval
    p: float | None


def auc_difference(
    label: ArrayLike, first: ArrayLike, second: ArrayLike, group: ArrayLike, *, level: float = 0.95
) -> Difference:
    """DeLong's paired z test (a contrast of DeLong's covariance), clustered by group.

    first, second : (N,) scores; or (N, K) and (N, L), where the means of the AUCs over the columns are compared. What
        another training would give is not in it.
    """
    ours, theirs = (np.atleast_2d(np.asarray(s, np.float64).T) for s in (first, second))
    contrast = np.append(np.full(len(ours), 1 / len(ours)), np.full(len(theirs), -1 / len(theirs)))
    found = aucs(label, np.concatenate([ours, theirs]).T, group)
    value = float(contrast @ found.auc)
    if found.covariance is None:
        return Difference(Interval(value=value, level=level, method=METHOD, groups=found.groups), None)
    error = float(np.sqrt(max(0.0, contrast @ found.covariance @ contrast)))
    reach = _NORMAL.inv_cdf((1 + level) / 2) * error
    interval = Interval(
        value=value, low=value - reach, high=value + reach, level=level, method=METHOD, groups=found.groups
    )
    if error**2 > TINY:
        return Difference(interval, 2 * _NORMAL.cdf(-abs(value) / error))
    return Difference(interval, 1.0 if abs(value) < 1e-12 else None)


def _share_below(of: Floats, among: Floats) -> Floats:
    """Per element, the share of `among` below it, ties as half."""
    ordered = np.sort(among)
    below, not_above = (np.searchsorted(ordered, of, side) for side in ("left", "right"))
    return np.asarray((below + not_above) / (2 * len(among)))


def _logit_bounds(theta: float, variance: float, level: float) -> tuple[float, float]:
    logit, spread = np.log(theta / (1 - theta)), np.sqrt(max(0.0, variance)) / (theta * (1 - theta))
    reach = _NORMAL.inv_cdf((1 + level) / 2) * spread
    low, high = 1 / (1 + np.exp(-(logit + np.array([-reach, reach]))))
    return float(low), float(high)
