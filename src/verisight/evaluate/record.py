"""The result of a run, with everything needed to doubt it: JSON for the figures, Parquet for every score."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pydantic import ValidationError

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.core.recipe import Reported
from verisight.core.value import Value
from verisight.evaluate.intervals import Interval
from verisight.evaluate.protocol import Report, Scores

Metrics = dict[str, dict[str, Interval]]  # scope -> metric -> figure


class Environment(Value):
    """What the figures were made with."""

    python: str
    platform: str
    cores: int
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Environment:
        packages = ("verisight", "torch", "timm", "lightning", "numpy", "onnxruntime", "opencv-python-headless")
        return cls(
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            cores=os.cpu_count() or 1,
            versions={name: version(name) for name in packages},
        )


class Record(Value):
    """A detector on the report split.

    name, detector : what was measured: its name, and name@fingerprint.
    recipe : of the training run. seeds : of all runs behind the figures.
    data : fingerprint and counts of each split.
    metrics : scope (`all`, or `generator vs matched reals`) -> metric -> figure with interval.
    reference : figures of others on the same data and split, from the recipe.
    skipped : `path: reason` for every file without a score.
    """

    name: str
    detector: str
    recipe: dict[str, Any]
    seeds: tuple[int, ...]
    data: dict[str, str]
    threshold: Threshold
    calibration: Calibration
    metrics: Metrics
    reference: tuple[Reported, ...] = ()
    skipped: tuple[str, ...] = ()
    scores_fingerprint: str
    environment: Environment
    created: str

    def save(self, folder: Path, scores: Scores[Report]) -> None:
        """Write `record.json` and `scores.parquet`; the record goes last and says that the folder is whole."""
        if scores.fingerprint != self.scores_fingerprint:
            raise DataError(folder, "these scores are not the ones that the record was computed from")
        folder.mkdir(parents=True, exist_ok=True)
        columns = {name: getattr(scores, name) for name in ("path", "label", "score", "group", "generator", "source")}
        columns["probability"] = self.calibration.probability(scores.score)
        pa.parquet.write_table(pa.table(columns), folder / "scores.parquet.part")
        os.replace(folder / "scores.parquet.part", folder / "scores.parquet")
        (folder / "record.json.part").write_text(self.model_dump_json(indent=1) + "\n")
        os.replace(folder / "record.json.part", folder / "record.json")

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Read a record back."""
        try:
            return cls.model_validate_json((folder / "record.json").read_text())
        except (OSError, ValidationError) as error:
            raise DataError(folder, f"no readable record ({str(error).splitlines()[0]})") from error

    def table(self) -> str:
        """Markdown: a row for each scope, a column for each metric, the reference figures beside the AUC."""
        names = list(dict.fromkeys(metric for figures in self.metrics.values() for metric in figures))
        others = sorted({r.source for r in self.reference})
        head = ["", *[HEADINGS.get(name, name) for name in names], *others]
        lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
        for scope, figures in self.metrics.items():
            own = [str(figures[name]) if name in figures else "-" for name in names]
            theirs = [self._reference_cell(scope, source, figures) for source in others]
            lines.append("| " + " | ".join([scope, *own, *theirs]) + " |")
        return "\n".join(lines)

    def _reference_cell(self, scope: str, source: str, figures: Mapping[str, Interval]) -> str:
        """A reference figure; marked where it beats the value, so that a loss cannot be overlooked."""
        found = [r.value for r in self.reference if (r.source, r.metric) == (source, f"auc {scope}")]
        if not found:
            return "-"
        beaten = "auc" in figures and found[0] >= figures["auc"].value
        return f"{found[0]:.2f}" + (" **(better than ours)**" if beaten else "")


HEADINGS = {
    "auc": "AUC",
    "eer": "EER",
    "balanced_accuracy": "balanced accuracy",
    "tpr": "fakes found",
    "fpr": "false alarms",
    "ece": "ECE",
}


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def mean_over_seeds(records: list[Record], scope: str, metric: str) -> tuple[float, float]:
    """Mean and sample standard deviation of a figure over the records of several seeds."""
    values = np.array([record.metrics[scope][metric].value for record in records])
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")
