"""Detectors side by side on the same data: figures over seeds, paired differences, corrected for many looks.

The first detector is the one that the others are compared with. What is paired are the rows: a difference is computed
on the very same files, and its interval by resampling their groups, so that what is hard for both cancels. It says what
the test data leave open; what another training would give, the standard deviation over seeds says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import DataError, nearest
from verisight.core.value import Value
from verisight.evaluate.delong import METHOD, auc_difference, auc_interval
from verisight.evaluate.intervals import Interval, Weights, percentile
from verisight.evaluate.metrics import auc
from verisight.evaluate.protocol import LOWER_IS_BETTER, TEXTS, Measure, Report, Scores, Unit, measures
from verisight.evaluate.record import HEADINGS, Record, mean_and_deviation

ROUNDING = 2e-6  # records hold six digits


class Figure(Value):
    """A metric of one detector in one scope.

    mean : over the seeds, with its interval over the groups of the data.
    sd : sample deviation over the seeds; None for one.
    """

    mean: Interval
    sd: float | None = None
    seeds: int

    def __str__(self) -> str:
        return str(self.mean) if self.sd is None else f"{self.mean}, sd {self.sd:.3f} of {self.seeds} seeds"


class Difference(Value):
    """A detector minus the first, on the same rows.

    interval : paired percentile bootstrap of groups. p : two-sided, of no difference; None where it is not known.
    p_holm : the same, corrected for the scopes that were looked at (Holm 1979).
    """

    interval: Interval
    p: float | None
    p_holm: float | None = None

    def __str__(self) -> str:
        i = self.interval
        bounds = f"[{i.unknown}]" if i.low is None or i.high is None else f"[{i.low:+.3f}, {i.high:+.3f}]"
        return f"{i.value:+.3f} {bounds}" + _p(self.p_holm)


def _p(p: float | None) -> str:
    """A p value for a table; below what the approximation can tell, only that it is below."""
    if p is None:
        return ""
    return ", p < 1e-6" if p < 1e-6 else f", p {p:.2g}"


class Comparison(Value):
    """Scope by scope; `figures`, `differences` and `controls` are name -> scope -> value.

    names : of the detectors, the first being the one that the others are compared with.
    detectors : name -> name@fingerprint of every seed.
    reference : source -> scope -> figure of others, from the records.
    notes : what could not be compared, and why.
    """

    metric: str
    unit: Unit
    data: str
    names: tuple[str, ...]
    detectors: dict[str, tuple[str, ...]]
    scopes: tuple[str, ...]
    figures: dict[str, dict[str, Figure]]
    differences: dict[str, dict[str, Difference]]
    controls: dict[str, dict[str, Interval]] = {}
    reference: dict[str, dict[str, float]] = {}
    p_method: str
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """Markdown: a row for each scope; figures, differences to the first, controls, figures of others."""
        first, *others = self.names
        head = ["", *self.names, *[f"{name} - {first}" for name in others if self.differences.get(name)]]
        blind = self._blind()
        controls = {name: by_scope for name, by_scope in self.controls.items() if name not in blind}
        head += [f"control: {name}" for name in controls] + list(self.reference)
        lines = [_row(head), "| --- " * len(head) + "|"]
        for scope in self.scopes:
            cells = [str(self.figures[name].get(scope, "-")) for name in self.names]
            cells += [str(self.differences[n].get(scope, "-")) for n in others if self.differences.get(n)]
            cells += [self._beside(scope, control.get(scope)) for control in controls.values()]
            cells += [self._beside(scope, figures.get(scope)) for figures in self.reference.values()]
            lines.append(_row([scope, *cells]))
        return "\n".join(lines)

    def text(self) -> str:
        """The table with what it needs to be read."""
        heading = f"# {HEADINGS.get(self.metric, self.metric)} per {self.unit}"
        lines = [heading, "", self.table(), "", *[f"- {note}" for note in self.legend()]]
        return "\n".join(lines) + "\n"

    def legend(self) -> list[str]:
        """What a reader of the table has to know, one sentence a line."""
        level = f"{self.figures[self.names[0]][self.scopes[0]].mean.level:.0%}"
        lines = [
            f"Brackets: {level} intervals over the groups of the data ({self.data}); they hold nothing of the seed."
        ]
        if any(self.differences.values()):
            lines.append(
                f"Differences: on the same rows; interval by a paired bootstrap of groups, p by {self.p_method}, "
                f"corrected over {len(self.scopes)} scopes (Holm 1979)."
            )
        blind = self._blind()
        if blind:
            lines.append(f"Controls that see no difference between any files, AUC 0.5: {', '.join(blind)}.")
        if self.metric in LOWER_IS_BETTER:
            lines.append("Lower is better.")
        return [*lines, *self.notes]

    def save(self, folder: Path) -> None:
        """Write compare.md, compare.json and compare.svg."""
        from verisight.evaluate.plot import forest

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "compare.md").write_text(self.text(), encoding="utf-8")
        (folder / "compare.json").write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        forest(self, folder / "compare.svg")

    def _blind(self) -> list[str]:
        """The controls for which all files are alike: a column of them would say nothing."""
        if self.metric != "auc":
            return []
        return [name for name, of in self.controls.items() if all(figure.value == 0.5 for figure in of.values())]

    def _beside(self, scope: str, figure: Interval | float | None) -> str:
        """A control's figure or another's, with the detectors that are no better: no loss is to be overlooked."""
        if figure is None:
            return "-"
        value, text = (figure.value, str(figure)) if isinstance(figure, Interval) else (figure, f"{figure:.2f}")
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        ours = {name: by_scope[scope].mean.value for name, by_scope in self.figures.items() if scope in by_scope}
        beaten = [name for name, own in ours.items() if sign * value >= sign * own]
        return text + (f" **(no worse than {', '.join(beaten)})**" if beaten else "")


@dataclass(frozen=True)
class Run:
    """A record with its scores, a row a unit, sorted by name; and per scope what the figure is computed of."""

    folder: Path
    record: Record
    scores: Scores[Report]
    measures: Mapping[str, Measure]

    def value(self, scope: str, weight: Weights | None = None) -> float:
        """The metric over the rows of the scope. weight : of these rows; None counts each once."""
        metric, value, of = self.measures[scope]
        return metric(self.scores.label[of], value[of], weight)

    def matched(self) -> dict[str, tuple[str, ...]]:
        """The matched reals of those generators that the data hold."""
        made = set(self.scores.generator[self.scores.label == 1].tolist())
        return {name: sources for name, sources in self.record.protocol().matched.items() if name in made}

    def keys(self) -> list[tuple[Any, ...]]:
        """What each row is of."""
        return list(zip(*(getattr(self.scores, name).tolist() for name in _KEYS), strict=True))


_KEYS = ("path", "label", "generator", "source", "quality")


def compare(folders: Sequence[Path], metric: str = "auc") -> Comparison:
    """Compare the records in these folders, each with its scores beside it.

    Records that differ in nothing but the seed are one detector, whose mean is compared.

    Raises
    ------
    DataError : a folder without a record, records of different units, data or matched reals, the same one twice, seeds
        that scored different rows, figures that do not follow from their scores, a metric that nobody knows.
    """
    if metric not in HEADINGS:
        raise DataError(metric, "no metric of this name", nearest(metric, HEADINGS))
    if not folders:
        raise DataError("compare", "no record was given", "write one with: verisight eval DETECTOR data.path=DIR")
    runs = [_read(folder, metric) for folder in folders]
    _require_alike(runs)
    detectors = _by_detector(runs)
    (first, reference), *others = detectors.items()
    apart = {name: _apart(reference[0], of[0]) for name, of in others}
    return Comparison(
        metric=metric,
        unit=runs[0].record.unit,
        data=_counts(runs[0]),
        names=tuple(detectors),
        detectors={name: tuple(run.record.detector for run in of) for name, of in detectors.items()},
        scopes=tuple(dict.fromkeys(scope for run in runs for scope in run.measures)),
        figures={name: _figures(of, metric) for name, of in detectors.items()},
        differences={name: {} if apart[name] else _differences(of, reference) for name, of in others},
        controls=_controls(detectors, metric),
        reference=_reference(runs, metric),
        p_method=METHOD if metric == "auc" else "the share of paired draws on the other side of zero",
        notes=tuple(f"{name} is not paired with {first}: {why}." for name, why in apart.items() if why),
    )


def holm(p: Sequence[float]) -> list[float]:
    """P values corrected for being looked at together, whatever ties them (Holm 1979); in the order given."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return out.tolist()


def _read(folder: Path, metric: str) -> Run:
    """A record whose figures follow from the scores beside it."""
    record = Record.load(folder)
    protocol = record.protocol()
    scores = protocol.units(record.scores(folder), record.unit)
    columns = {name: getattr(scores, name) for name in ("score", "label", *TEXTS)}
    order = np.lexsort([columns[name] for name in reversed(_KEYS)])
    scores = replace(scores, **{name: column[order] for name, column in columns.items()})
    found = {}
    for scope, rows in protocol.scopes(scores).items():
        by_name = measures(scores, rows, record.calibration, record.threshold)
        if metric in by_name:
            found[scope] = by_name[metric]
    run = Run(folder, record, scores, found)
    for scope in found:
        value, written = run.value(scope), record.metrics.get(scope, {}).get(metric)
        if written is not None and abs(written.value - value) > ROUNDING:
            says = f"{metric} of '{scope}' is {written.value:.4f} in the record and {value:.4f} by its scores"
            raise DataError(folder, says, "evaluate again")
    return run


def _require_alike(runs: Sequence[Run]) -> None:
    first, seen = runs[0], dict[str, Path]()
    for run in runs:
        ours, theirs = run.record, first.record
        if ours.unit != theirs.unit:
            raise DataError(run.folder, f"its figures are per {ours.unit}, those of {first.folder} per {theirs.unit}")
        if ours.scores_fingerprint != theirs.scores_fingerprint:
            says = (
                f"reports on other data ({ours.scores_fingerprint}) than {first.folder} ({theirs.scores_fingerprint})"
            )
            raise DataError(run.folder, says, "evaluate both on one data set")
        if run.matched() != first.matched():
            raise DataError(run.folder, f"compares generators with other reals than {first.folder}", "set data.matched")
        if ours.detector in seen:
            raise DataError(run.folder, f"the same detector on the same data as {seen[ours.detector]}", "give it once")
        seen[ours.detector] = run.folder


def _apart(first: Run, second: Run) -> str:
    """Why two runs cannot be paired; "" where their rows are the same."""
    ours, theirs = first.keys(), second.keys()
    if ours == theirs:
        return ""
    alone = sorted((Counter(ours) - Counter(theirs)) + (Counter(theirs) - Counter(ours)))
    return f"{len(alone)} rows have a score from one of them only, such as {alone[0][0]}"


def _by_detector(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by name, in the order given; those that share a name and all of the recipe but the seed are one detector.

    Namesakes are told apart by the settings in which they differ.
    """
    together: dict[str, list[Run]] = {}
    for run in runs:
        trained_on = {split: run.record.data.get(split) for split in ("train", "val")}
        key = json.dumps([run.record.name, _settings(run.record.recipe), trained_on], sort_keys=True)
        together.setdefault(key, []).append(run)
        why = _apart(together[key][0], run)
        if why:
            raise DataError(run.folder, f"a seed of {run.record.name} that scored other rows: {why}", "evaluate again")
    named: dict[str, list[list[Run]]] = {}
    for of in together.values():
        named.setdefault(of[0].record.name, []).append(of)
    out = {}
    for name, namesakes in named.items():
        settings_of = [_settings(of[0].record.recipe) for of in namesakes]
        keys = sorted({key for settings in settings_of for key in settings})
        telling = [key for key in keys if len({json.dumps(s.get(key)) for s in settings_of}) > 1]
        for of, settings in zip(namesakes, settings_of, strict=True):
            told = ", ".join(f"{key}={settings.get(key, 'unset')}" for key in telling)
            out[f"{name} ({told})" if told else name] = of
    return out


def _settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recipe as dotted keys, without what does not make another detector: seed, words, where the data lay."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            out |= _settings(value, f"{prefix}{key}.")
        elif prefix + key not in ("seed", "notes", "licence", "reported", "data.path"):
            out[prefix + key] = value
    return out


def _figures(runs: Sequence[Run], metric: str) -> dict[str, Figure]:
    """Scope -> mean over the seeds; a single record's figure as it is written, where it is."""
    out = {}
    for scope in runs[0].measures:
        _, sd = mean_and_deviation([run.value(scope) for run in runs])
        written = runs[0].record.metrics.get(scope, {}).get(metric) if len(runs) == 1 else None
        out[scope] = Figure(mean=written or _interval(runs, scope), sd=sd if len(runs) > 1 else None, seeds=len(runs))
    return out


def _interval(runs: Sequence[Run], scope: str) -> Interval:
    """Of the mean over the runs."""
    label, group = _rows(runs, scope)
    if runs[0].measures[scope].metric is auc:
        return auc_interval(label, _columns(runs, scope), group)
    return percentile(lambda w: _mean(runs, scope, w), label, group, resamples=_resamples(runs))[0]


def _differences(runs: Sequence[Run], reference: Sequence[Run]) -> dict[str, Difference]:
    """Scope -> mean of the runs less mean of the reference, with P values corrected over the scopes."""
    found = {scope: _difference(runs, reference, scope) for scope in runs[0].measures}
    known = {scope: d.p for scope, d in found.items() if d.p is not None}
    corrected = dict(zip(known, holm(list(known.values())), strict=True))
    return {scope: d.model_copy(update={"p_holm": corrected.get(scope)}) for scope, d in found.items()}


def _difference(runs: Sequence[Run], reference: Sequence[Run], scope: str) -> Difference:
    """Of the two means in every draw of groups, so that it is paired."""
    label, group = _rows(runs, scope)
    interval, drawn = percentile(
        lambda w: _mean(runs, scope, w) - _mean(reference, scope, w), label, group, resamples=_resamples(reference)
    )
    if runs[0].measures[scope].metric is auc:
        p = auc_difference(label, _columns(runs, scope), _columns(reference, scope), group).p
    elif len(drawn):
        p = min(1.0, 2 * (1 + float(min((drawn <= 0).sum(), (drawn >= 0).sum()))) / (1 + len(drawn)))
    else:
        p = None
    return Difference(interval=interval, p=p)


def _rows(runs: Sequence[Run], scope: str) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Label and group of the rows of a scope, which are the same for all runs."""
    of = runs[0].measures[scope].rows
    return runs[0].scores.label[of], runs[0].scores.group[of]


def _columns(runs: Sequence[Run], scope: str) -> NDArray[np.float64]:
    """(N, K) what the metric looks at, a column a run."""
    of = runs[0].measures[scope].rows
    return np.stack([run.measures[scope].value[of] for run in runs], axis=1)


def _mean(runs: Sequence[Run], scope: str, weight: Weights | None) -> float:
    return float(np.mean([run.value(scope, weight) for run in runs]))


def _resamples(runs: Sequence[Run]) -> int:
    return runs[0].record.protocol().spec.resamples


def _controls(detectors: Mapping[str, Sequence[Run]], metric: str) -> dict[str, dict[str, Interval]]:
    """Control -> scope -> figure; where two detectors bring other figures of one control, each under its own name."""
    out: dict[str, dict[str, Interval]] = {}
    for name, runs in detectors.items():
        for control, by_scope in runs[0].record.controls.items():
            figures = {scope: found[metric] for scope, found in by_scope.items() if metric in found}
            out[control if out.get(control, figures) == figures else f"{control} (crops of {name})"] = figures
    return out


def _reference(runs: Sequence[Run], metric: str) -> dict[str, dict[str, float]]:
    """Source -> scope -> figure."""
    out: dict[str, dict[str, float]] = {}
    for figure in sorted((r for run in runs for r in run.record.reference), key=lambda r: r.source):
        name, _, scope = figure.metric.partition(" ")
        if name == metric:
            out.setdefault(figure.source, {})[scope] = figure.value
    return out


def _counts(run: Run) -> str:
    label = run.scores.label
    counts = f"{int((label == 0).sum())} real, {int((label == 1).sum())} fake, {len(set(run.scores.group.tolist()))}"
    return f"{run.record.scores_fingerprint}: {counts} groups"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
