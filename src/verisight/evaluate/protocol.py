"""Fit, select and report data kept apart by type.

Whatever is chosen (a temperature, a threshold) takes `Scores[Select]`: mypy refuses anything else, and so does the
call. A threshold chosen on report data exists only as an `Oracle`, which prints as such and fits in no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from verisight.core.aggregate import Aggregate, aggregate, mean_of_faces
from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import EvaluateSpec
from verisight.evaluate.delong import auc_interval
from verisight.evaluate.intervals import Interval, Metrics, bootstrap, certain
from verisight.evaluate.metrics import (
    Metric,
    auc,
    average_precision,
    balanced_accuracy,
    brier,
    checked,
    ece,
    eer,
    false_positive_rate,
    log_loss,
    tpr_at,
    true_positive_rate,
)

Unit = Literal["frame", "file", "video", "subject"]  # what one row of a figure is


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
TEXTS = ("path", "group", "generator", "source", "video", "subject", "quality")  # columns of Scores that hold names


@dataclass(frozen=True)
class Scores(Generic[SplitT]):
    """Scores of files, one row each; or of frames, where several rows share a path.

    split : the mark; the type parameter says the same to mypy.
    fingerprint : of the manifest that the rows come from.
    path, group, generator, source : (N,) strings, as in the manifest; `source` names where a real comes from.
    label : (N,) 0 or 1. score : (N,) finite logits, higher = positive.
    video, subject, quality : (N,) strings, as in the manifest; left out, every file is its own video, of an unknown
        subject and quality. A file that was scored at several qualities has a row for each.

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
    video: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, str))
    subject: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, str))
    quality: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, str))

    def __post_init__(self) -> None:
        checked(self.label, self.score, needs=(), what=f"scores of {self.split.__name__.lower()} data")
        nothing = np.full(len(self), "")
        for name, unknown in (("video", self.path), ("subject", nothing), ("quality", nothing)):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, unknown)
        for name in TEXTS:
            if getattr(self, name).shape != self.label.shape:
                raise DataError("scores", f"column '{name}' has {len(getattr(self, name))} rows for {len(self)} labels")

    def __len__(self) -> int:
        return len(self.label)

    def by(self, unit: Unit, combine: Aggregate = mean_of_faces) -> Scores[SplitT]:
        """One row a unit, in the order of first appearance; its `path` and `video` carry the unit's name.

        unit : `frame` leaves the rows as they are; `file` joins those of one path, `video` those of one video, and
            `subject` those of one person, or of one group where the person is unknown.
        combine : one score from those of a unit; each row counts as a picture of its own.

        A unit that holds both labels, several generators, sources or qualities gives a row for each: a person's real
        videos and the fakes made of them are never averaged.

        Raises
        ------
        DataError : a unit stands in two groups, so that its row would be of neither.
        """
        if unit == "frame":
            return self
        unknown = self.subject == ""
        named = {"file": self.path, "video": self.video, "subject": np.where(unknown, self.group, self.subject)}[unit]
        home: dict[tuple[str, bool], str] = {}
        members: dict[tuple[Any, ...], list[int]] = {}
        columns = (
            named,
            unknown & (unit == "subject"),
            self.group,
            self.label,
            self.generator,
            self.source,
            self.quality,
        )
        for row, (name, group_only, group, *kind) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            if home.setdefault((name, group_only), group) != group:
                raise DataError(name, f"this {unit} stands in two groups, {home[name, group_only]} and {group}")
            members.setdefault((name, group_only, *kind), []).append(row)
        first = [rows[0] for rows in members.values()]
        score = [combine(self.score[rows].tolist(), list(range(len(rows)))) for rows in members.values()]
        kept = {name: getattr(self, name)[first] for name in ("label", *TEXTS)}
        renamed = {} if unit == "file" else {"path": named[first], "video": named[first]}
        return Scores(split=self.split, fingerprint=self.fingerprint, score=np.array(score), **{**kept, **renamed})


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


def choose_clear(scores: Scores[Select], calibration: Calibration, rule: str, threshold: Threshold) -> Threshold | None:
    """The probability below which a file is called real; None where `rule` wants no zone of doubt, or none is left.

    rule : `fnr@X`: the largest candidate, as for a threshold, or 0, below which at most the share X of the positives
        lies. Where it reaches the threshold every file is decided and both errors are kept.

    Raises
    ------
    DataError : as `choose_threshold`. RecipeError : an unknown rule.
    """
    if rule == "none":
        return None
    allowed = _share_of(rule, "fnr")
    require_select(scores, "a zone of doubt", needs=(0, 1))
    probability = calibration.probability(scores.score)
    positives = np.sort(probability[scores.label == 1])
    candidates = np.append(0.0, _candidates(probability))
    missed = np.searchsorted(positives, candidates, side="left") / len(positives)
    value = float(candidates[np.flatnonzero(missed <= allowed)[-1]])
    fitted_on = f"select {scores.fingerprint}, {len(scores)} files"
    return Threshold(value=value, rule=rule, fitted_on=fitted_on) if value < threshold.value else None


def oracle_threshold(scores: Scores[Report], calibration: Calibration, rule: str) -> Oracle:
    """The same on report data, as a value that says so."""
    checked(scores.label, scores.score, needs=(0, 1), what="an oracle threshold")
    return Oracle(_best(scores, calibration, rule), rule)


def _best(scores: Scores[Any], calibration: Calibration, rule: str) -> float:
    allowed = None if rule == "balanced" else _share_of(rule, "fpr")
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


def _share_of(rule: str, of: str) -> float:
    """The X of `fpr@X` or `fnr@X`."""
    name, _, text = rule.partition("@")
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if name != of or not 0 <= share < 1:
        other = "balanced" if of == "fpr" else "none"
        raise RecipeError(rule, "no threshold rule of this name", f"known: {other}, {of}@X with 0 <= X < 1")
    return share


class Measure(NamedTuple):
    """What a figure is computed of: a metric, the column that it looks at, and the rows that count.

    value : (N,) scores, decisions or probabilities. rows : (N,) bool.
    """

    metric: Metric
    value: NDArray[np.float64]
    rows: NDArray[np.bool_]


def measures(
    scores: Scores[Any], rows: NDArray[np.bool_], calibration: Calibration, threshold: Threshold
) -> dict[str, Measure]:
    """Every metric of a scope, by name.

    rows : (N,) of the scope. A rate of one class looks at the rows of that class alone, so that its interval rests on
        their groups. Probabilities hold for the share of positives in all rows, not for one generator's, so what
        judges them stands with all rows only.
    """
    probability = calibration.probability(scores.score)
    decision = (probability >= threshold.value).astype(np.float64)
    out = {
        "auc": Measure(auc, scores.score, rows),
        "average_precision": Measure(average_precision, scores.score, rows),
        "eer": Measure(eer, scores.score, rows),
        "tpr_at_5_fpr": Measure(partial(tpr_at, fpr=0.05), scores.score, rows),
        "balanced_accuracy": Measure(balanced_accuracy, decision, rows),
        "tpr": Measure(true_positive_rate, decision, rows & (scores.label == 1)),
        "fpr": Measure(false_positive_rate, decision, rows & (scores.label == 0)),
    }
    if rows.all():
        judging = {"ece": ece, "brier": brier, "log_loss": log_loss}
        out |= {name: Measure(metric, probability, rows) for name, metric in judging.items()}
    return out


LOWER_IS_BETTER = frozenset({"eer", "fpr", "ece", "brier", "log_loss"})


@dataclass(frozen=True)
class Outcome:
    """What a protocol gives: what was chosen on select data, and the figures on report data."""

    calibration: Calibration
    threshold: Threshold
    metrics: Metrics


@dataclass(frozen=True)
class Protocol:
    """How scores become figures. One protocol serves detectors and the controls beside them.

    spec : aggregate, calibration, threshold rule and number of resamples.
    matched : generator -> the sources of the reals that it is compared with.
    """

    spec: EvaluateSpec
    matched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def choose(self, select: Scores[Select]) -> tuple[Calibration, Threshold]:
        """Calibration, as `spec.calibration` says, and threshold; both on the rows as they come."""
        from verisight.evaluate.calibration import FITS, with_band  # scipy.optimize, which readers do not need

        fit = FITS[self.spec.calibration]
        calibration = with_band(fit, select) if self.spec.calibration != "none" else fit(select)
        return calibration, choose_threshold(select, calibration, self.spec.threshold)

    def clear(self, select: Scores[Select], calibration: Calibration, threshold: Threshold) -> Threshold | None:
        """Where the zone of doubt begins, as `spec.doubt` says."""
        return choose_clear(select, calibration, self.spec.doubt, threshold)

    def units(self, scores: Scores[SplitT], unit: Unit) -> Scores[SplitT]:
        """One row a unit, combined as the spec's aggregate says."""
        return scores.by(unit, aggregate(self.spec.aggregate))

    def scopes(self, scores: Scores[Any]) -> dict[str, NDArray[np.bool_]]:
        """(N,) rows of each comparison: all; every quality where there are several; then every generator with its
        matched reals, and with all reals."""
        real = scores.label == 0
        out = {"all": np.full(len(scores), True)}
        qualities = list(dict.fromkeys(scores.quality.tolist()))
        for name in qualities if len(qualities) > 1 else ():
            of = scores.quality == name
            if len(set(scores.label[of].tolist())) == 2:
                out[f"quality {name or 'unknown'}"] = of
        for name in sorted(set(scores.generator[~real].tolist())):
            fake = ~real & (scores.generator == name)
            close = real & np.isin(scores.source, self.matched.get(name, ()))
            if close.any():
                out[f"{name} vs matched reals"] = fake | close
            out[f"{name} vs all reals"] = fake | real
        return out

    def report(
        self, scores: Scores[Report], calibration: Calibration, threshold: Threshold, *, unit: Unit = "file"
    ) -> Metrics:
        """All rows, then every quality where there are several, then every generator: against its matched reals where
        there are any, and against all reals.

        unit : what a row of the figures is. Calibration and threshold are taken as they are: those of a detector were
            chosen for files.

        Raises
        ------
        DataError : one class is missing (the message names the reals to add), or the scores are not of a report split.
        """
        self._require_report(scores)
        scores = self.units(scores, unit)
        return {
            scope: {
                name: self._interval(scores, measure)
                for name, measure in measures(scores, rows, calibration, threshold).items()
            }
            for scope, rows in self.scopes(scores).items()
        }

    def run(self, select: Scores[Select], report: Scores[Report], *, unit: Unit = "file") -> Outcome:
        """Choose on one, report on the other, both with one row a unit.

        Raises
        ------
        DataError : as `choose` and `report`; or a group stands in both.
        """
        shared = sorted(set(select.group.tolist()) & set(report.group.tolist()))
        if shared:
            raise DataError(shared[0], f"{len(shared)} groups stand in select and in report data", "keep groups whole")
        calibration, threshold = self.choose(self.units(select, unit))
        return Outcome(calibration, threshold, self.report(report, calibration, threshold, unit=unit))

    def _interval(self, scores: Scores[Report], measure: Measure) -> Interval:
        """DeLong's for the AUC, the bootstrap's for the rest; both by group.

        A rate without an exception (no fake missed, no false alarm) has no spread to resample: its groups are trials
        that all came out alike, and the bound is one on the share of groups with any exception.
        """
        of = measure.rows
        label, value, group = scores.label[of], measure.value[of], scores.group[of]
        if measure.metric is auc:
            return auc_interval(label, value, group)
        interval = bootstrap(measure.metric, label, value, group, resamples=self.spec.resamples)
        rate = measure.metric in (true_positive_rate, false_positive_rate)
        if rate and interval.value in (0.0, 1.0) and interval.groups >= 2:
            return certain(interval.value, interval.groups, "groups", groups=interval.groups)
        return interval

    def _require_report(self, scores: Scores[Report]) -> None:
        if scores.split is not Report:
            raise DataError("figures", f"were to be reported on {scores.split.__name__.lower()} data", "use test data")
        if not (scores.label == 1).any():
            raise DataError("AUC", f"all {len(scores)} report files are real", "add fakes (label 1)")
        if not (scores.label == 0).any():
            wanted = sorted({s for g in set(scores.generator.tolist()) for s in self.matched.get(g, ())})
            of = f" of {', '.join(wanted)}" if wanted else ""
            raise DataError("AUC", f"all {len(scores)} report files are fake", f"add reals (label 0){of}")
