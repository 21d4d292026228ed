"""A detector x a data set -> a record: what `verisight eval` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verisight.core.checkpoint import Card
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec, Reported, validate
from verisight.data.crops import face_crops
from verisight.data.layouts import read_layout
from verisight.evaluate.intervals import Interval, bootstrap
from verisight.evaluate.metrics import Metric, auc, balanced_accuracy, ece, eer, false_positive_rate, true_positive_rate
from verisight.evaluate.protocol import Report, Scores
from verisight.evaluate.record import Environment, Metrics, Record, now
from verisight.evaluate.score import score_crops


def evaluate(
    detector: Detector, spec: DataSpec, *, reference: Sequence[Reported] = (), resamples: int = 2000
) -> tuple[Record, Scores[Report]]:
    """Score the test split and report it: all files, and each generator against its matched reals.

    spec : the data. Where they bring no splits, the seed of the training cuts them the same way again; for a data set
        that the detector never saw, `splits=[0,0,1]` reports on all of it.

    reference : figures of others on the same split, to stand beside ours.

    Raises
    ------
    DataError : no test split, or only one class in it.
    """
    seed = int(detector.card.recipe.get("seed", 0))
    manifest = read_layout(spec, seed)
    report = manifest.split("test")
    crops = face_crops(report, detector.preprocess, whole=spec.faces == "whole")
    scores = score_crops(detector, report, crops, Report)
    record = Record(
        name=detector.name,
        detector=f"{detector.name}@{detector.fingerprint}",
        recipe=detector.card.recipe,
        seeds=(seed,),
        data=detector.card.data | {"test": _describe(scores)},
        threshold=detector.threshold,
        calibration=detector.calibrator,
        metrics=metrics_of(scores, detector, spec.matched, resamples),
        reference=tuple(reference),
        skipped=crops.skipped,
        scores_fingerprint=scores.fingerprint,
        environment=Environment.here(),
        created=now(),
    )
    return record, scores


def metrics_of(
    scores: Scores[Report], detector: Detector, matched: dict[str, tuple[str, ...]], resamples: int
) -> Metrics:
    """All metrics on all files; per generator the AUC, the fakes found and the false alarms.

    A generator with matched reals is compared with those and, for contrast, with all; one without, with all.
    """
    label, generator, source = scores.label, scores.generator, scores.source
    out: Metrics = {"all": _figures(scores, np.full(len(label), True), detector, resamples, whole=True)}
    for name in sorted(set(generator[label == 1])):
        fakes = (label == 1) & (generator == name)
        close = (label == 0) & np.isin(source, matched.get(name, ()))
        if close.any():
            out[f"{name} vs matched reals"] = _figures(scores, fakes | close, detector, resamples)
        out[f"{name} vs all reals"] = _figures(scores, fakes | (label == 0), detector, resamples)
    return out


def _figures(
    scores: Scores[Report], rows: NDArray[np.bool_], detector: Detector, resamples: int, *, whole: bool = False
) -> dict[str, Interval]:
    probability = detector.calibrator.probability(scores.score)
    decision = (probability >= detector.threshold.value).astype(np.float64)
    wanted: dict[str, tuple[Metric, NDArray[np.float64]]] = {"auc": (auc, scores.score)}
    if whole:
        wanted["eer"] = (eer, scores.score)
        wanted["balanced_accuracy"] = (balanced_accuracy, decision)
    wanted |= {"tpr": (true_positive_rate, decision), "fpr": (false_positive_rate, decision)}
    if whole:
        wanted["ece"] = (ece, probability)
    return {
        name: bootstrap(metric, scores.label[rows], value[rows], scores.group[rows], resamples=resamples)
        for name, (metric, value) in wanted.items()
    }


def data_spec(card: Card, overrides: Sequence[str]) -> DataSpec:
    """The data block of a detector's recipe with `data.key=value` overrides.

    Raises
    ------
    DataError : `data.path` is not given; the card does not know where data lie on this machine.
    """
    from omegaconf import OmegaConf

    for override in overrides:
        if not override.startswith("data.") or "=" not in override:
            raise DataError(override, "only the data block can be overridden here", "use data.KEY=VALUE")
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    block = given.get("data", {})
    if "path" not in block:
        raise DataError("data.path", "must be given", "for instance: data.path=my-photos data.layout=folder")
    if "layout" in block and block["layout"] != card.recipe.get("data", {}).get("layout"):
        return validate(DataSpec, block, card.name)  # another kind of data: nothing of the old block holds
    return validate(DataSpec, {**card.recipe.get("data", {}), **block}, card.name)


def _describe(scores: Scores[Report]) -> str:
    real, fake = int((scores.label == 0).sum()), int((scores.label == 1).sum())
    return f"{scores.fingerprint}: {real} real, {fake} fake"
