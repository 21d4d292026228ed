"""Metrics of binary decisions, as plain functions of labels and scores.

Throughout
----------
label : (N,) of 0 (negative, real) and 1 (positive, fake).
score : (N,) finite numbers, higher = positive; for some metrics a probability or a decision in its place.
weight : (N,) at least 0, how often each row counts; None counts every row once. Whole numbers give exactly the figure
    of the table in which rows are repeated that often, which is how the bootstrap resamples without copying rows.

Every function raises DataError for columns that do not fit each other, for values that are not finite, and, by the
metric's name, for data in which a class that the metric needs has no weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verisight.core.errors import DataError

Metric = Callable[[ArrayLike, ArrayLike, ArrayLike | None], float]
Floats = NDArray[np.float64]
CERTAIN = 1e-6  # log-loss takes probabilities no closer to 0 and 1 than this: one confident error costs at most 13.8


class Rows(NamedTuple):
    """Checked columns, (N,) each: the scores, and the weight of every row as a positive and as a negative."""

    score: Floats
    pos: Floats
    neg: Floats


def auc(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve: P(positive scores higher) + P(tie) / 2, exact (Mann-Whitney; Hanley, McNeil 1982)."""
    rows = checked(label, score, weight, needs=(0, 1), what="AUC")
    _, level = np.unique(rows.score, return_inverse=True)
    pos, neg = np.bincount(level, rows.pos), np.bincount(level, rows.neg)
    below = np.cumsum(neg) - neg
    return float((pos * (below + neg / 2)).sum() / (pos.sum() * neg.sum()))


def roc(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """(FPR, TPR) of every threshold, from (0, 0), nothing is called positive, to (1, 1); one point a distinct score."""
    rows = checked(label, score, weight, needs=(0, 1), what="ROC curve")
    _, level = np.unique(-rows.score, return_inverse=True)
    pos, neg = np.cumsum(np.bincount(level, rows.pos)), np.cumsum(np.bincount(level, rows.neg))
    return np.append(0.0, neg / neg[-1]), np.append(0.0, pos / pos[-1])


def eer(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Equal error rate: where the ordinary ROC curve, its points joined by straight lines, meets FPR = 1 - TPR.

    Between two points this is what a coin between the two thresholds reaches. The convex hull of the curve, which some
    toolkits use, would give an equal or smaller figure.
    """
    fpr, tpr = roc(label, score, weight)
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def fpr_at(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, *, tpr: float) -> float:
    """Smallest FPR of a threshold that finds at least the share `tpr` (0..1) of the positives; not interpolated."""
    false_alarms, found = roc(label, score, weight)
    return float(false_alarms[int(np.argmax(found >= tpr))])


def tpr_at(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, *, fpr: float) -> float:
    """Largest TPR of a threshold that calls at most the share `fpr` (0..1) of the negatives positive; not interpolated.

    The threshold is read off the very data: what a rule chosen on other data reaches is `true_positive_rate`.
    """
    false_alarms, found = roc(label, score, weight)
    return float(found[int(np.flatnonzero(false_alarms <= fpr)[-1])])


def average_precision(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Average precision: the precision at every distinct score, weighted by the recall gained there; not interpolated.

    Tied rows count as one threshold, whatever their order. A score without knowledge reaches the share of positives,
    so figures on data with another share cannot be compared.
    """
    rows = checked(label, score, weight, needs=(1,), what="average precision")
    _, level = np.unique(-rows.score, return_inverse=True)
    gained, called = np.bincount(level, rows.pos), np.cumsum(np.bincount(level, rows.pos + rows.neg))
    found = np.cumsum(gained)
    counts = gained > 0  # elsewhere nothing is gained, and rows of weight 0 may leave nothing called
    return float((gained[counts] * found[counts] / called[counts]).sum() / found[-1])


def true_positive_rate(label: ArrayLike, decision: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of the positives that are called positive. decision : (N,) of 0 and 1, such as `score >= threshold`."""
    rows = checked(label, decision, weight, needs=(1,), what="true positive rate", upper=1, whole=True)
    return float((rows.pos * rows.score).sum() / rows.pos.sum())


def false_positive_rate(label: ArrayLike, decision: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Share of the negatives that are called positive: false alarms. decision : (N,) of 0 and 1."""
    rows = checked(label, decision, weight, needs=(0,), what="false positive rate", upper=1, whole=True)
    return float((rows.neg * rows.score).sum() / rows.neg.sum())


def balanced_accuracy(label: ArrayLike, decision: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean of the two classes' accuracies; 0.5 for any constant decision, whatever the share of positives."""
    return (true_positive_rate(label, decision, weight) + 1 - false_positive_rate(label, decision, weight)) / 2


def ece(label: ArrayLike, probability: ArrayLike, weight: ArrayLike | None = None, *, bins: int = 15) -> float:
    """Expected calibration error: mean of |share of positives - mean probability| over the bins, by their weight.

    Guo et al. 2017, eq. 3, for the probability of the positive class (0..1): `bins` of equal width, the lower edge of
    each included, and 1 in the last. One class is enough. Noise alone makes it positive, and a bootstrap adds noise:
    the interval leans upwards.
    """
    rows = checked(label, probability, weight, needs=(), what="ECE", upper=1)
    at = np.minimum((rows.score * bins).astype(int), bins - 1)
    both = rows.pos + rows.neg
    gap = np.abs(np.bincount(at, rows.pos, bins) - np.bincount(at, both * rows.score, bins))
    return float(gap.sum() / both.sum())


def brier(label: ArrayLike, probability: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Brier score: mean of (probability - label)^2 (Brier 1950, for one class); 1/4 for a constant 1/2."""
    rows = checked(label, probability, weight, needs=(), what="Brier score", upper=1)
    error = rows.pos * (1 - rows.score) ** 2 + rows.neg * rows.score**2
    return float(error.sum() / (rows.pos + rows.neg).sum())


def log_loss(label: ArrayLike, probability: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean of -ln of the probability given to the true class, in nats; ln 2 for a constant 1/2.

    Probabilities are clipped to CERTAIN .. 1 - CERTAIN, so that a single certain error does not make it infinite.
    """
    rows = checked(label, probability, weight, needs=(), what="log-loss", upper=1)
    p = np.clip(rows.score, CERTAIN, 1 - CERTAIN)
    return float(-(rows.pos * np.log(p) + rows.neg * np.log1p(-p)).sum() / (rows.pos + rows.neg).sum())


def checked(
    label: ArrayLike,
    score: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    needs: tuple[int, ...],
    what: str,
    upper: float | None = None,
    whole: bool = False,
) -> Rows:
    """The columns as arrays, or a DataError that names `what` could not be computed and what is missing.

    needs : labels that must have weight. upper : scores must lie in 0..upper. whole : and be 0 or 1.
    """
    y, s = np.asarray(label), np.asarray(score, dtype=np.float64)
    w = np.ones(y.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if not (y.shape == s.shape == w.shape and y.ndim == 1):
        raise DataError(what, f"labels {y.shape}, scores {s.shape} and weights {w.shape} must be equally long columns")
    if len(y) == 0:
        raise DataError(what, "there are no rows")
    if not ((y == 0) | (y == 1)).all():
        raise DataError(what, "labels must be 0 or 1")
    if not np.isfinite(s).all():
        raise DataError(what, f"{int((~np.isfinite(s)).sum())} of {len(s)} scores are not finite")
    if not (np.isfinite(w).all() and w.min() >= 0):
        raise DataError(what, "weights must be finite and at least 0")
    if upper is not None and not (s.min() >= 0 and s.max() <= upper):
        raise DataError(what, f"values must lie between 0 and {upper:g}, got {s.min():g} to {s.max():g}")
    if whole and not ((s == 0) | (s == 1)).all():
        raise DataError(what, "decisions must be 0 or 1", "compare the scores with a threshold first")
    rows = Rows(s, w * y, w * (1 - y))
    mass = {0: rows.neg.sum(), 1: rows.pos.sum()}
    for needed in needs:
        if mass[needed] == 0:
            name = "positives (fakes, label 1)" if needed == 1 else "negatives (reals, label 0)"
            raise DataError(what, f"the {len(y)} rows hold no {name}", "add some, or leave this metric out")
    if not sum(mass.values()) > 0:
        raise DataError(what, "no row has weight")
    return rows
