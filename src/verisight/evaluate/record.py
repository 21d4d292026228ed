"""The result of a run, with everything needed to doubt it: JSON for the figures, Parquet for every score."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pydantic import ValidationError, field_validator

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.core.recipe import EvaluateSpec, Reported, validate
from verisight.core.value import Value
from verisight.evaluate.intervals import Interval
from verisight.evaluate.intervals import Metrics as Metrics
from verisight.evaluate.protocol import NAME_OF, TEXTS, Protocol, Report, Scores, Unit

HEADINGS = {
    "auc": "AUC",
    "average_precision": "AP",
    "eer": "EER",
    "tpr_at_5_fpr": "TPR at 5 % FPR",
    "balanced_accuracy": "balanced accuracy",
    "tpr": "fakes found",
    "fpr": "false alarms",
    "ece": "ECE",
    "brier": "Brier score",
    "log_loss": "log-loss",
}
COLUMNS = ("path", "label", "score", "group", "generator", "source", "video", "subject", "quality")
_LATER = ("video", "subject", "quality")  # columns that tables of before 0.2 lack
_PACKAGES = (
    *("verisight", "torch", "timm", "lightning", "numpy", "scipy", "scikit-learn", "onnxruntime"),
    "opencv-python-headless",
)
_KEY = b"verisight"
_ABSOLUTE = re.compile(r"~?/(?!/)|[A-Za-z]:[\\/]")
# An absolute path up to its last part, at the start of a text or after a blank, a quote, a bracket, ':' or '='.
_PLACE = re.compile(r"""(?:(?<=[\s'"(\[:=])|^)(?:~?/(?!/)|[A-Za-z]:[\\/])[^\s'"]*[\\/](?=[^\s\\/])""")


class Environment(Value):
    """What the figures were made with.

    cores : processors of the machine. threads : that torch may use; all cores where it is not loaded.
    """

    python: str
    platform: str
    cpu: str = "unknown"
    cores: int
    threads: int = 0
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Environment:
        """This process on this machine; packages that are not installed are left out."""
        torch = sys.modules.get("torch")  # without it nothing has scored through torch: do not import it for this
        return cls(
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            threads=torch.get_num_threads() if torch else os.cpu_count() or 1,
            versions=_versions(),
        )


class Record(Value):
    """A detector on the report split. Places on the machine are cut from its texts: they are nobody's business.

    name, detector : what was measured: its name, and name@fingerprint.
    recipe : of the training run. seeds : of all runs behind the figures.
    data : fingerprint and counts of each split.
    unit : what one row of the figures is: a frame, file, video or subject. The scores beside the record may be finer.
    matched : generator -> the sources of the reals that it was compared with; None in records of before 0.2, which took
        those of the recipe.
    metrics : scope (`all`, or `<generator> vs matched reals`) -> metric -> figure with interval.
    controls : name -> the same for something that should know nothing (colour moments, image size, ...).
    reference : figures of others on the same data and split, from the recipe; `metric` is `auc <scope>`.
    skipped : `path: reason` for every file without a score.
    scores_fingerprint : of the manifest whose rows were scored.
    created : UTC, ISO 8601.
    """

    name: str
    detector: str
    recipe: dict[str, Any]
    seeds: tuple[int, ...]
    data: dict[str, str]
    threshold: Threshold
    calibration: Calibration
    unit: Unit = "file"
    matched: dict[str, tuple[str, ...]] | None = None
    metrics: Metrics
    controls: dict[str, Metrics] = {}
    reference: tuple[Reported, ...] = ()
    skipped: tuple[str, ...] = ()
    scores_fingerprint: str
    environment: Environment
    notes: str = ""
    created: str

    @field_validator("recipe", "data", "skipped", "notes")
    @classmethod
    def _without_places(cls, tree: Any) -> Any:
        return without_places(tree)

    def save(self, folder: Path, scores: Scores[Report]) -> None:
        """Write `scores.parquet` and `record.json`; each appears whole or not at all, and the record last.

        Raises
        ------
        DataError : the scores are not of the data that the record is about.
        """
        if scores.fingerprint != self.scores_fingerprint:
            raise DataError(folder, "these scores are not the ones that the record was computed from")
        folder.mkdir(parents=True, exist_ok=True)
        columns = {name: getattr(scores, name) for name in COLUMNS}
        columns["probability"] = self.calibration.probability(scores.score)
        columns["split"] = np.full(len(scores), NAME_OF[scores.split])
        origin = {_KEY: self._origin(), _KEY + b".digest": _digest(scores).encode()}
        pa.parquet.write_table(pa.table(columns).replace_schema_metadata(origin), folder / "scores.parquet.part")
        os.replace(folder / "scores.parquet.part", folder / "scores.parquet")
        (folder / "record.json.part").write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        os.replace(folder / "record.json.part", folder / "record.json")

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Read a record back."""
        try:
            return cls.model_validate_json((folder / "record.json").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise DataError(folder, f"no readable record ({str(error).splitlines()[0]})") from error

    def scores(self, folder: Path) -> Scores[Report]:
        """Read the scores beside a record.

        Raises
        ------
        DataError : no such file, scores of another detector or other data, or scores that were changed after writing.
        """
        try:
            table = pa.parquet.read_table(folder / "scores.parquet")
            names = [name for name in COLUMNS if name in table.column_names or name not in _LATER]
            columns = {name: table.column(name).to_numpy() for name in names}
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise DataError(folder, f"no readable scores ({str(error).splitlines()[0]})") from error
        origin = table.schema.metadata or {}
        if origin.get(_KEY) != self._origin():
            raise DataError(folder / "scores.parquet", "belongs to another record", "evaluate again")
        text = {name: columns[name].astype(str) for name in TEXTS if name in columns}
        scores = Scores(
            split=Report,
            fingerprint=self.scores_fingerprint,
            label=columns["label"].astype(np.int64),
            score=columns["score"].astype(np.float64),
            **text,
        )
        if origin.get(_KEY + b".digest") != _digest(scores, tuple(text)).encode():
            raise DataError(folder / "scores.parquet", "was changed after it was written", "evaluate again")
        return scores

    def protocol(self) -> Protocol:
        """The protocol by which the figures follow again from the scores."""
        matched = self.recipe.get("data", {}).get("matched", {}) if self.matched is None else self.matched
        sources = {name: tuple(of) for name, of in matched.items()}
        return Protocol(validate(EvaluateSpec, self.recipe.get("evaluate", {}), self.name), sources)

    def table(self, only: Sequence[str] = ()) -> str:
        """Markdown: a row for each scope, a column for each metric; controls and figures of others beside the AUC.

        only : the metrics to show; all by default.
        """
        known = {metric for figures in self.metrics.values() for metric in figures if not only or metric in only}
        names = [name for name in HEADINGS if name in known] + sorted(known - set(HEADINGS))
        others = sorted({r.source for r in self.reference})
        head = ["", *[HEADINGS.get(n, n) for n in names], *[f"control: {c}" for c in self.controls], *others]
        lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
        for scope, figures in self.metrics.items():
            own = [str(figures[name]) if name in figures else "-" for name in names]
            controls = [self._control_cell(control.get(scope, {}), figures) for control in self.controls.values()]
            theirs = [self._reference_cell(scope, source, figures) for source in others]
            lines.append("| " + " | ".join([scope.replace("|", "\\|"), *own, *controls, *theirs]) + " |")
        return "\n".join(lines)

    def _origin(self) -> bytes:
        return f"{self.detector} on {self.scores_fingerprint}".encode()

    def _control_cell(self, control: dict[str, Interval], figures: dict[str, Interval]) -> str:
        """The control's AUC; marked where it is no lower than ours, so that a loss cannot be overlooked."""
        if "auc" not in control:
            return "-"
        wins = "auc" in figures and control["auc"].value >= figures["auc"].value
        return str(control["auc"]) + (" **(control wins)**" if wins else "")

    def _reference_cell(self, scope: str, source: str, figures: dict[str, Interval]) -> str:
        """A figure of others; marked where it is no lower than ours."""
        found = [r.value for r in self.reference if (r.source, r.metric) == (source, f"auc {scope}")]
        if not found:
            return "-"
        beaten = "auc" in figures and found[0] >= figures["auc"].value
        return f"{found[0]:.2f}" + (" **(better than ours)**" if beaten else "")


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def mean_over_seeds(records: Sequence[Record], scope: str, metric: str) -> tuple[float, float]:
    """Mean and sample standard deviation (NaN for one record) of a figure over the records of several seeds.

    Raises
    ------
    DataError : a record has no such figure, or is of another unit than the first.
    """
    missing = [r.detector for r in records if metric not in r.metrics.get(scope, {}) or r.unit != records[0].unit]
    if missing or not records:
        raise DataError(f"{metric} of '{scope}'", f"not in every record: {', '.join(missing) or 'there is none'}")
    return mean_and_deviation([record.metrics[scope][metric].value for record in records])


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; the latter is NaN for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def without_places(tree: Any) -> Any:
    """Plain data in which every absolute path is cut to its last part; addresses (`https://...`) stay."""
    if isinstance(tree, dict):
        return {key: without_places(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(without_places(value) for value in tree)
    if not isinstance(tree, str):
        return tree
    if _ABSOLUTE.match(tree) and ": " not in tree:  # a path and nothing else: its folders may have blanks
        return re.split(r"[\\/]", tree.rstrip("\\/"))[-1]
    return _PLACE.sub("", tree)


def _digest(scores: Scores[Report], texts: Sequence[str] = TEXTS) -> str:
    """16 hex digits over every column: the content, whatever wrote the file.

    texts : the columns of names that the file holds.
    """
    digest = hashlib.sha256(scores.label.astype("<i8").tobytes() + scores.score.astype("<f8").tobytes())
    for name in texts:
        digest.update("\x1f".join(getattr(scores, name).tolist()).encode() + b"\x1e")
    return digest.hexdigest()[:16]


def _cpu_model() -> str:
    """The processor's own name where Linux tells it, else what Python knows."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
