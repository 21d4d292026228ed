"""From a detector and a manifest to one score a file."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from verisight.core.aggregate import aggregate
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.progress import track
from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.evaluate.protocol import OF_SPLIT, Scores, Split

SplitT = TypeVar("SplitT", bound=Split)
BATCH = 64


def score_crops(detector: Detector, manifest: Manifest, crops: CropSet, mark: type[SplitT]) -> Scores[SplitT]:
    """Score every crop and combine those of a file as the checkpoint says. Files without a crop have no row.

    mark : `Fit`, `Select` or `Report`; every row of the manifest must be of that split.

    Raises
    ------
    DataError : a row of another split.
    """
    wrong = [name for name in set(manifest.column("split")) if OF_SPLIT[name] is not mark]
    if wrong:
        raise DataError(manifest.root, f"rows of split '{wrong[0]}' among {mark.__name__.lower()} data")
    starts = range(0, len(crops.row), BATCH)
    batches = (normalise(np.asarray(crops.images[i : i + BATCH]), detector.preprocess) for i in starts)
    scores = np.concatenate([detector.score(batch) for batch in track(batches, "scoring", len(starts))])
    combine = aggregate(detector.card.aggregate)
    rows = np.unique(crops.row)
    by_file = [combine(scores[crops.row == row].tolist(), crops.time_s[crops.row == row].tolist()) for row in rows]
    text = {name: manifest.column(name)[rows].astype(str) for name in ("path", "group", "generator", "source")}
    return Scores(
        split=mark,
        fingerprint=manifest.fingerprint(),
        label=manifest.column("label")[rows],
        score=np.array(by_file, np.float64),
        **text,
    )
