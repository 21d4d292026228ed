"""Metrics of binary decisions, as plain functions of labels and scores.

Throughout: `label` is (N,) of 0 and 1, `score` is (N,), higher = positive (fake). A metric that needs both classes
refuses data with one by name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verisight.core.errors import DataError

Metric = Callable[[NDArray[np.int64], NDArray[np.float64]], float]


def auc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: P(positive scores higher) + P(tie) / 2 (Mann-Whitney; Hanley, McNeil 1982)."""
    y, s = both_classes(label, score)
    return weighted_auc(y, s, np.ones(len(y)))


def weighted_auc(label: NDArray[np.int64], score: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """The same with row weights, such as the counts of a resample; exact with ties, NaN where a class has no mass."""
    _, level = np.unique(score, return_inverse=True)
    positive = np.bincount(level, weight * label)
    negative = np.bincount(level, weight * (1 - label))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else float("nan")


def eer(label: ArrayLike, score: ArrayLike) -> float:
    """Equal error rate: where the ROC polygon (points joined by straight lines) meets FPR = 1 - TPR."""
    y, s = both_classes(label, score)
    order = np.argsort(-s, kind="stable")
    last_of_tie = np.append(np.diff(s[order]) != 0, True)
    tpr = np.append(0.0, np.cumsum(y[order])[last_of_tie] / y.sum())
    fpr = np.append(0.0, np.cumsum(1 - y[order])[last_of_tie] / (1 - y).sum())
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    at = int(np.argmax(gap >= 0))
    step = gap[at] - gap[at - 1]
    share = -gap[at - 1] / step
    return float(fpr[at - 1] + share * (fpr[at] - fpr[at - 1]))


def true_positive_rate(label: ArrayLike, decision: ArrayLike) -> float:
    """Share of the positives that are called positive."""
    y, d = both_classes(label, decision)
    return float(d[y == 1].mean())


def false_positive_rate(label: ArrayLike, decision: ArrayLike) -> float:
    """Share of the negatives that are called positive: false alarms."""
    y, d = both_classes(label, decision)
    return float(d[y == 0].mean())


def balanced_accuracy(label: ArrayLike, decision: ArrayLike) -> float:
    """Mean of the two classes' accuracies; 0.5 for any constant decision, whatever the share of fakes."""
    return (true_positive_rate(label, decision) + 1 - false_positive_rate(label, decision)) / 2


def ece(label: ArrayLike, probability: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error: mean |share of positives - mean probability| over equal-width bins, by their counts.

    Guo et al. 2017, eq. 3, for the probability of the positive class. A probability of 1 falls into the last bin.
    """
    y, p = as_arrays(label, probability)
    at = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.abs(np.bincount(at, y, bins) - np.bincount(at, p, bins))
    return float(gap.sum() / len(y))


def as_arrays(label: ArrayLike, value: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Checked arrays: equal lengths, labels 0 or 1, finite values, at least one row."""
    y, v = np.asarray(label, dtype=np.int64), np.asarray(value, dtype=np.float64)
    if y.shape != v.shape or y.ndim != 1 or len(y) == 0:
        raise DataError("scores", f"labels {y.shape} and scores {v.shape} must be two equally long columns")
    if not np.isin(y, (0, 1)).all():
        raise DataError("scores", "labels must be 0 or 1")
    if not np.isfinite(v).all():
        raise DataError("scores", f"{int((~np.isfinite(v)).sum())} of {len(v)} scores are not finite")
    return y, v


def both_classes(label: ArrayLike, value: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The same, and both labels are present."""
    y, v = as_arrays(label, value)
    if y.min() == y.max():
        missing = "fakes (label 1)" if y[0] == 0 else "reals (label 0)"
        raise DataError("scores", f"all {len(y)} rows have label {y[0]}: this metric needs {missing} too")
    return y, v
