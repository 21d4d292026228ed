"""Fit, select and report data kept apart by type.

Whatever is chosen (a temperature, a threshold) takes `Scores[Select]`: mypy refuses anything else, and so does the
call. A threshold chosen on report data exists only as an `Oracle`, which prints as such and fits in no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import EvaluateSpec
from verisight.evaluate.intervals import Interval, Metrics, bootstrap
from verisight.evaluate.metrics import (
    Metric,
    auc,
    balanced_accuracy,
    checked,
    ece,
    eer,
    false_positive_rate,
    true_positive_rate,
)


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
NAME_OF: dict[type[Split], str] = {mark: name for name, mark in OF_SPLIT.items()}


@dataclass(frozen=True)
class Scores(Generic[SplitT]):
    """Scores of files, one row each.

    split : the mark; the type parameter says the same to mypy.
    fingerprint : of the manifest that the rows come from.
    path, group, generator, source : (N,) strings, as in the manifest; `source` names where a real comes from.
    label : (N,) 0 or 1. score : (N,) finite logits, higher = positive.

    Raises
    ------
    DataError : no rows, columns of unequal length, a label other than 0 and 1, a score that is not finite.
    """

    split: type[SplitT]
    fingerprint: str
    path: NDArray[np.str_]
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    group: NDArray[np.str_]
    generator: NDArray[np.str_]
    source: NDArray[np.str_]

    def __post_init__(self) -> None:
        checked(self.label, self.score, needs=(), what=f"scores of {self.split.__name__.lower()} data")
        for name in ("path", "group", "generator", "source"):
            if getattr(self, name).shape != self.label.shape:
                raise DataError("scores", f"column '{name}' has {len(getattr(self, name))} rows for {len(self)} labels")

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Oracle:
    """A threshold that has seen the report data: an upper bound, never a result."""

    value: float
    rule: str

    def __str__(self) -> str:
        return f"{self.value:.4f} (oracle: chosen on the data it is reported on)"


def require_select(scores: Scores[Select], what: str, *, needs: tuple[int, ...] = ()) -> None:
    """The run-time half of the type: data with another mark are refused.

    needs : labels that must be there.

    Raises
    ------
    DataError : the scores are not of a select split, or a label is missing.
    """
    if scores.split is not Select:
        raise DataError(what, f"was to be chosen on {scores.split.__name__.lower()} data", "use the select split (val)")
    checked(scores.label, scores.score, needs=needs, what=what)


def choose_threshold(scores: Scores[Select], calibration: Calibration, rule: str) -> Threshold:
    """The probability from which on a file is called positive.

    rule : `balanced` maximises the balanced accuracy, the smallest such threshold where several do; `fpr@X` is the
        smallest threshold at which at most the share X of the negatives is called positive. Candidates lie halfway
        between neighbouring probabilities, and above the highest.

    Raises
    ------
    DataError : the scores are not of a select split, or hold one class only. RecipeError : an unknown rule.
    """
    require_select(scores, "a threshold", needs=(0, 1))
    value = _best(scores, calibration, rule)
    return Threshold(value=value, rule=rule, fitted_on=f"select {scores.fingerprint}, {len(scores)} files")


def oracle_threshold(scores: Scores[Report], calibration: Calibration, rule: str) -> Oracle:
    """The same on report data, as a value that says so."""
    checked(scores.label, scores.score, needs=(0, 1), what="an oracle threshold")
    return Oracle(_best(scores, calibration, rule), rule)


def _best(scores: Scores[Any], calibration: Calibration, rule: str) -> float:
    allowed = _share_of(rule)
    probability = calibration.probability(scores.score)
    negatives, positives = np.sort(probability[scores.label == 0]), np.sort(probability[scores.label == 1])
    candidates = _candidates(probability)
    false_alarms = len(negatives) - np.searchsorted(negatives, candidates, side="left")
    found = len(positives) - np.searchsorted(positives, candidates, side="left")
    if allowed is None:
        gain = found * len(negatives) - false_alarms * len(positives)  # whole numbers: equal is equal
        return float(candidates[int(np.argmax(gain))])
    return float(candidates[int(np.argmax(false_alarms / len(negatives) <= allowed))])


def _candidates(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds in rising order; the last lies above every probability, even above 1 where a score saturates."""
    levels = np.unique(probability)
    upper = np.append(levels[1:], 1.0 if levels[-1] < 1 else np.nextafter(1, 2))
    middle = (levels + upper) / 2
    return np.where(middle > levels, middle, upper)  # neighbours in floating point have nothing between them


def _share_of(rule: str) -> float | None:
    """The X of `fpr@X`; None for `balanced`."""
    if rule == "balanced":
        return None
    name, _, text = rule.partition("@")
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if name != "fpr" or not 0 <= share < 1:
        raise RecipeError(rule, "no threshold rule of this name", "known: balanced, fpr@X with 0 <= X < 1")
    return share


@dataclass(frozen=True)
class Outcome:
    """What a protocol gives: what was chosen on select data, and the figures on report data."""

    calibration: Calibration
    threshold: Threshold
    metrics: Metrics


@dataclass(frozen=True)
class Protocol:
    """How scores become figures. One protocol serves detectors and the controls beside them.

    spec : calibration, threshold rule and number of resamples.
    matched : generator -> the sources of the reals that it is compared with.
    """

    spec: EvaluateSpec
    matched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def choose(self, select: Scores[Select]) -> tuple[Calibration, Threshold]:
        """Temperature (unless `spec.calibration` is `none`) and threshold."""
        from verisight.evaluate.calibration import fit_temperature  # brings scipy.optimize, which readers do not need

        calibration = fit_temperature(select) if self.spec.calibration == "temperature" else Calibration()
        return calibration, choose_threshold(select, calibration, self.spec.threshold)

    def report(self, scores: Scores[Report], calibration: Calibration, threshold: Threshold) -> Metrics:
        """All files, then every generator: against its matched reals where there are any, and against all reals.

        Probabilities hold for the share of positives in all files, not for one generator's, so the calibration error
        stands with all files only.

        Raises
        ------
        DataError : one class is missing (the message names the reals to add), or the scores are not of a report split.
        """
        self._require_report(scores)
        label, generator = scores.label, scores.generator
        real = label == 0
        out = {"all": self._figures(scores, np.full(len(scores), True), calibration, threshold)}
        for name in sorted(set(generator[label == 1].tolist())):
            fake = (label == 1) & (generator == name)
            close = real & np.isin(scores.source, self.matched.get(name, ()))
            if close.any():
                out[f"{name} vs matched reals"] = self._figures(scores, fake | close, calibration, threshold)
            out[f"{name} vs all reals"] = self._figures(scores, fake | real, calibration, threshold)
        return out

    def run(self, select: Scores[Select], report: Scores[Report]) -> Outcome:
        """Choose on one, report on the other.

        Raises
        ------
        DataError : as `choose` and `report`; or a group stands in both.
        """
        shared = sorted(set(select.group.tolist()) & set(report.group.tolist()))
        if shared:
            raise DataError(shared[0], f"{len(shared)} groups stand in select and in report data", "keep groups whole")
        calibration, threshold = self.choose(select)
        return Outcome(calibration, threshold, self.report(report, calibration, threshold))

    def _figures(
        self, scores: Scores[Report], rows: NDArray[np.bool_], calibration: Calibration, threshold: Threshold
    ) -> dict[str, Interval]:
        probability = calibration.probability(scores.score)
        decision = (probability >= threshold.value).astype(np.float64)
        positive, negative = rows & (scores.label == 1), rows & (scores.label == 0)
        # A rate of one class is resampled over the groups of that class alone.
        wanted: dict[str, tuple[Metric, NDArray[np.float64], NDArray[np.bool_]]] = {
            "auc": (auc, scores.score, rows),
            "eer": (eer, scores.score, rows),
            "balanced_accuracy": (balanced_accuracy, decision, rows),
            "tpr": (true_positive_rate, decision, positive),
            "fpr": (false_positive_rate, decision, negative),
        }
        if rows.all():  # see `report`
            wanted["ece"] = (ece, probability, rows)
        return {
            name: bootstrap(metric, scores.label[of], value[of], scores.group[of], resamples=self.spec.resamples)
            for name, (metric, value, of) in wanted.items()
        }

    def _require_report(self, scores: Scores[Report]) -> None:
        if scores.split is not Report:
            raise DataError("figures", f"were to be reported on {scores.split.__name__.lower()} data", "use test data")
        if not (scores.label == 1).any():
            raise DataError("AUC", f"all {len(scores)} report files are real", "add fakes (label 1)")
        if not (scores.label == 0).any():
            wanted = sorted({s for g in set(scores.generator.tolist()) for s in self.matched.get(g, ())})
            of = f" of {', '.join(wanted)}" if wanted else ""
            raise DataError("AUC", f"all {len(scores)} report files are fake", f"add reals (label 0){of}")
