"""From a detector and a manifest to one score a file, or one a frame."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verisight.core.aggregate import aggregate
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.progress import track
from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.evaluate.protocol import OF_SPLIT, TEXTS, Scores, Split

SplitT = TypeVar("SplitT", bound=Split)
BATCH = 64


def score_crops(
    detector: Detector,
    manifest: Manifest,
    crops: CropSet,
    mark: type[SplitT],
    *,
    unit: Literal["frame", "file"] = "file",
) -> Scores[SplitT]:
    """Score every crop and combine those of a file as the checkpoint says. Files without a crop have no row.

    mark : `Fit`, `Select` or `Report`; every row of the manifest must be of that split.
    unit : `frame` leaves a row for each crop, in the order of the crops.

    Raises
    ------
    DataError : a row of another split.
    """
    require_split(manifest, mark)
    starts = range(0, len(crops.row), BATCH)
    batches = (normalise(np.asarray(crops.images[i : i + BATCH]), detector.preprocess) for i in starts)
    scores = np.concatenate([detector.score(batch) for batch in track(batches, "scoring", len(starts))])
    if unit == "frame":
        return scores_of(manifest, crops.row, scores, mark)
    combine = aggregate(detector.card.aggregate)
    rows, first = np.unique(crops.row, return_index=True)  # ascending: the crops of a file lie together
    files = (slice(a, b) for a, b in pairwise([*first.tolist(), len(crops.row)]))
    by_file = [combine(scores[of].tolist(), crops.time_s[of].tolist()) for of in files]
    return scores_of(manifest, rows, np.array(by_file), mark)


def scores_of(manifest: Manifest, rows: NDArray[np.int64], score: ArrayLike, mark: type[SplitT]) -> Scores[SplitT]:
    """Scores with the facts of their rows in the manifest.

    rows : (N,) row of the manifest that each score is of. score : (N,) logits.

    Raises
    ------
    DataError : a row of another split.
    """
    require_split(manifest, mark)
    text = {name: manifest.column(name)[rows].astype(str) for name in TEXTS}
    return Scores(
        split=mark,
        fingerprint=manifest.fingerprint(),
        label=manifest.column("label")[rows],
        score=np.asarray(score, np.float64),
        **text,
    )


def require_split(manifest: Manifest, mark: type[Split]) -> None:
    """The run-time half of the mark.

    Raises
    ------
    DataError : the manifest holds a row of another split.
    """
    wrong = [name for name in set(manifest.column("split")) if OF_SPLIT[name] is not mark]
    if wrong:
        raise DataError(manifest.root, f"rows of split '{wrong[0]}' among {mark.__name__.lower()} data")
