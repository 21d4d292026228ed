"""Fit, select and report data kept apart by type.

Whatever is chosen (a temperature, a threshold) takes `Scores[Select]`: mypy refuses anything else, and so does the
call. A threshold chosen on report data exists only as an `Oracle`, which prints as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError, RecipeError
from verisight.evaluate.metrics import both_classes


class Split:
    """Base of the three marks; never instantiated."""


class Fit(Split):
    """Data that weights were fitted on."""


class Select(Split):
    """Data that temperatures and thresholds are chosen on."""


class Report(Split):
    """Data that figures are reported on; nothing is chosen on them."""


SplitT = TypeVar("SplitT", bound=Split, covariant=True)
OF_SPLIT: dict[str, type[Split]] = {"train": Fit, "val": Select, "test": Report}


@dataclass(frozen=True)
class Scores(Generic[SplitT]):
    """Scores of files, one row each.

    split : the mark; the type parameter says the same to mypy.
    fingerprint : of the manifest that the rows come from.
    path, group, generator, source : (N,) strings, as in the manifest.
    label : (N,) 0 or 1. score : (N,) logits, higher = positive.
    """

    split: type[SplitT]
    fingerprint: str
    path: NDArray[np.str_]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    group: NDArray[np.str_]
    generator: NDArray[np.str_]
    source: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Oracle:
    """A threshold that has seen the report data: an upper bound, never a result."""

    value: float
    rule: str

    def __str__(self) -> str:
        return f"{self.value:.4f} (oracle: chosen on the data it is reported on)"


def require_select(scores: Scores[Select], what: str) -> None:
    """The run-time half of the type: data with another mark are refused.

    Raises
    ------
    DataError : the scores are not of a select split.
    """
    if scores.split is not Select:
        raise DataError(what, f"was to be chosen on {scores.split.__name__.lower()} data", "use the select split (val)")


def choose_threshold(scores: Scores[Select], calibration: Calibration, rule: str) -> Threshold:
    """The probability from which on a file is called positive.

    rule : `balanced` maximises the balanced accuracy; `fpr@X` is the smallest threshold at which at most the share X of
        the negatives is called positive. Candidates lie halfway between neighbouring scores.
    """
    require_select(scores, "a threshold")
    value = _best(scores.label, calibration.probability(scores.score), rule)
    return Threshold(value=value, rule=rule, fitted_on=f"select {scores.fingerprint}, {len(scores)} files")


def oracle_threshold(scores: Scores[Report], calibration: Calibration, rule: str) -> Oracle:
    """The same on report data, as a value that says so."""
    return Oracle(_best(scores.label, calibration.probability(scores.score), rule), rule)


def _best(label: NDArray[np.int64], probability: NDArray[np.float64], rule: str) -> float:
    y, p = both_classes(label, probability)
    levels = np.unique(p)
    candidates = np.append((levels[1:] + levels[:-1]) / 2, (levels[-1] + 1) / 2)  # ascending; the last calls nothing
    negatives, positives = np.sort(p[y == 0]), np.sort(p[y == 1])
    fpr = 1 - np.searchsorted(negatives, candidates, side="left") / len(negatives)
    tpr = 1 - np.searchsorted(positives, candidates, side="left") / len(positives)
    if rule == "balanced":
        return float(candidates[int(np.argmax(tpr - fpr))])
    name, _, share = rule.partition("@")
    if name != "fpr":
        raise RecipeError(rule, "no threshold rule of this name", "known: balanced, fpr@X")
    return float(candidates[int(np.argmax(fpr <= float(share)))])
