"""From a detector and a manifest to one score a file, or one a frame; as the files are, or at several qualities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verisight.core.aggregate import aggregate
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.core.progress import track
from verisight.data.crops import CropSet, face_crops
from verisight.data.faces import finish
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.data.quality import draw
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


def crops_at(
    manifest: Manifest, preprocess: Preprocess, qualities: Sequence[str], *, whole: bool = False
) -> dict[str, CropSet]:
    """Quality -> the crops of all files at it, as a detector of `preprocess` meets them.

    qualities : as `verisight.data.quality.draw` reads them; none: the key "" and the crops as they are.
    whole : the pictures are crops already.

    Raises
    ------
    DataError : an unknown quality.
    """
    if not qualities:
        return {"": face_crops(manifest, preprocess, whole=whole)}
    stored = face_crops(manifest, preprocess.model_copy(update={"jpeg_quality": None}), whole=whole)
    return {spec: degraded(stored, spec, preprocess) for spec in qualities}


def scores_at(
    detector: Detector,
    manifest: Manifest,
    crops: Mapping[str, CropSet],
    mark: type[SplitT],
    *,
    unit: Literal["frame", "file"] = "file",
) -> Scores[SplitT]:
    """`score_crops` at every quality, one after the other.

    crops : of `crops_at`.
    """
    return joined({spec: score_crops(detector, manifest, of, mark, unit=unit) for spec, of in crops.items()})


def joined(by_quality: Mapping[str, Scores[SplitT]]) -> Scores[SplitT]:
    """One table of the scores of the same files at several qualities; under the key "" they keep what they have."""
    named = [replace(of, quality=np.full(len(of), spec)) if spec else of for spec, of in by_quality.items()]
    columns: Any = {name: np.concatenate([getattr(of, name) for of in named]) for name in ("label", "score", *TEXTS)}
    return replace(named[0], **columns)


def degraded(crops: CropSet, spec: str, preprocess: Preprocess, *, seed: int = 0) -> CropSet:
    """Crops as the detector meets them after what `spec` says was done to their pictures.

    crops : at the size at which they are stored, not yet resized or encoded for a detector: cut them by a `Preprocess`
        of that size with `jpeg_quality=None`.
    spec : as `verisight.data.quality.draw` reads it; drawn anew for every crop, and equally for equal seeds.
    preprocess : of the detector; its last two steps, resize and common JPEG, come after it, as in a scan.

    The crop stands for its picture: blocks of a JPEG start at its corner, blur and resizing count its pixels, not those
    of the whole. H.264 is one key frame each, without the motion compensation that most frames of a clip go through.
    """
    images = [
        finish(draw(spec, np.random.default_rng((seed, nth))).apply(np.asarray(crop)), preprocess)
        for nth, crop in enumerate(track(crops.images, spec or "raw", len(crops.images)))
    ]
    zoom = preprocess.size / crops.images.shape[1]
    landmarks = np.asarray(crops.landmarks * zoom, np.float32)
    box = None if crops.box is None else np.asarray(crops.box * zoom, np.float32)
    return replace(crops, images=np.stack(images), landmarks=landmarks, box=box)


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
