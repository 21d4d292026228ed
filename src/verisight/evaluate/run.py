"""A detector x a data set -> a record: what `verisight eval` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from verisight.core.checkpoint import Card
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec, EvaluateSpec, Reported, data_block, validate
from verisight.data.crops import CropSet
from verisight.data.layouts import read_layout
from verisight.data.manifest import Manifest
from verisight.evaluate.intervals import Metrics
from verisight.evaluate.protocol import Protocol, Report, Scores, Unit
from verisight.evaluate.record import Environment, Record, now
from verisight.evaluate.score import crops_at, scores_at


def evaluate(
    detector: Detector,
    spec: DataSpec,
    *,
    reference: Sequence[Reported] = (),
    unit: Unit | None = None,
    controls: bool = False,
) -> tuple[Record, Scores[Report]]:
    """Score the test split and report it: everything, each quality of the detector's recipe, and each generator against
    its matched reals.

    spec : the data. Where they bring no splits, the seed of the training cuts them the same way again; for a data set
        that the detector never saw, `splits=[0,0,1]` reports on all of it.
    reference : figures of others on the same split, to stand beside ours.
    unit : what one row of the figures is; by default `natural_unit`.
    controls : also fit and report the controls; they need the splits train and val.

    Raises
    ------
    DataError : no test split, or only one class in it; controls without train and val.
    """
    recipe = detector.card.recipe
    seed = int(recipe.get("seed", 0))
    protocol = Protocol(validate(EvaluateSpec, recipe.get("evaluate", {}), detector.name), spec.matched)
    manifest = read_layout(spec, seed)
    report = manifest.split("test")
    absent = {"train", "val"} - set(manifest.column("split").tolist())
    if controls and absent:  # said before anything is scored
        raise DataError("controls", f"have no split '{min(absent)}' to be fitted on", "leave out --controls")
    unit = unit or natural_unit(report)
    qualities, whole = protocol.spec.qualities, spec.faces == "whole"
    crops = crops_at(report, detector.preprocess, qualities, whole=whole)
    scores = scores_at(detector, report, crops, Report, unit="frame" if unit == "frame" else "file")
    record = Record(
        name=detector.name,
        detector=f"{detector.name}@{detector.fingerprint}",
        recipe=recipe,
        seeds=(seed,),
        data=detector.card.data | {"test": _describe(scores)},
        threshold=detector.threshold,
        calibration=detector.calibrator,
        unit=unit,
        matched=spec.matched,
        metrics=protocol.report(scores, detector.calibrator, detector.threshold, unit=unit),
        controls=_controls(detector, spec, manifest, crops, protocol, unit) if controls else {},
        reference=tuple(reference),
        skipped=next(iter(crops.values())).skipped,
        scores_fingerprint=scores.fingerprint,
        environment=Environment.here(),
        created=now(),
    )
    return record, scores


def natural_unit(manifest: Manifest) -> Unit:
    """`video` where some video has several files, its frames or cuts, and `file` where none has."""
    return "video" if len(np.unique(manifest.column("video").astype(str))) < len(manifest) else "file"


def _controls(
    detector: Detector,
    spec: DataSpec,
    manifest: Manifest,
    crops: Mapping[str, CropSet],
    protocol: Protocol,
    unit: Unit,
) -> dict[str, Metrics]:
    from verisight.evaluate.controls import Part, Parts, controls  # brings scikit-learn

    def parts(split: str) -> Parts:
        rows, qualities = manifest.split(split), protocol.spec.qualities
        at = crops_at(rows, detector.preprocess, qualities, whole=spec.faces == "whole") if split != "test" else crops
        return {name: Part(rows, of) for name, of in at.items()}

    return controls(parts("train"), parts("val"), parts("test"), protocol, unit=unit)


def data_spec(card: Card, overrides: Sequence[str]) -> DataSpec:
    """The data block of a detector's recipe with `data.key=value` overrides.

    Raises
    ------
    DataError : `data.path` is not given; the card does not know where data lie on this machine.
    RecipeError : something else than the data block, or a key or value that it refuses.
    """
    block = data_block(overrides)
    if "path" not in block:
        raise DataError("data.path", "must be given", "for instance: data.path=my-photos data.layout=folder")
    if "layout" in block and block["layout"] != card.recipe.get("data", {}).get("layout"):
        return validate(DataSpec, block, card.name)  # another kind of data: nothing of the old block holds
    return validate(DataSpec, {**card.recipe.get("data", {}), **block}, card.name)


def _describe(scores: Scores[Report]) -> str:
    real, fake = int((scores.label == 0).sum()), int((scores.label == 1).sum())
    return f"{scores.fingerprint}: {real} real, {fake} fake"
