"""The face crops of a whole manifest: decoded once, kept in the cache folder, read back by memory map."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import DataError, InputError
from verisight.core.places import cache_folder, stamp
from verisight.core.preprocess import Preprocess
from verisight.core.progress import track
from verisight.data.boxes import finder_for
from verisight.data.faces import box_in_crop, crop_face, face_finder, finish, judgeable
from verisight.data.landmarks import LandmarkSource, landmark_source
from verisight.data.manifest import Manifest
from verisight.data.media import open_media
from verisight.data.quality import Picture

Points = NDArray[np.float32]  # (K, 2)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CropSet:
    """Crops of the files of one manifest.

    images : (M, S, S, 3) uint8 RGB.
    row : (M,) int64 row of the manifest that each crop comes from, ascending.
    time_s : (M,) float64 seconds from the start of the clip; 0 for a picture.
    landmarks : (M, K, 2) float32 in pixels of the crop; NaN where the finder sees no face in it.
    skipped : `path: reason` for every file that gave no crop.
    box : (M, 4) float32 x, y, w, h of the face that a crop was cut for, in pixels of the crop; None where no box was
        looked for (pictures that are crops already) or says nothing (aligned crops).
    """

    images: NDArray[np.uint8]
    row: NDArray[np.int64]
    time_s: NDArray[np.float64]
    landmarks: NDArray[np.float32]
    skipped: tuple[str, ...]
    box: NDArray[np.float32] | None = None


def face_crops(manifest: Manifest, preprocess: Preprocess, *, whole: bool = False, landmarks: str = "five") -> CropSet:
    """Decode, find and cut the largest face of every sampled picture of every file.

    whole : the pictures are face crops already; their central square is used as it is.
    landmarks : the source of the points, `five` or `dlib68`.

    Raises
    ------
    DataError : not one file gave a crop. MissingExtra : the source of the points is not installed.
    """
    key = {
        "manifest": manifest.fingerprint(),
        "preprocess": preprocess.model_dump(mode="json"),
        "whole": whole,
        "landmarks": landmarks,
        "version": version("verisight"),
    }
    if _has_box(preprocess, whole):
        key["box"] = True
    files = hashlib.sha256("\n".join(f"{path} {stamp(path)}" for path in manifest.paths()).encode()).hexdigest()
    name = hashlib.sha256(json.dumps([key, files], sort_keys=True).encode()).hexdigest()[:20]
    folder = cache_folder() / "crops" / name
    if not (folder / "facts.json").is_file():
        _fill(folder, manifest, _Cutter(preprocess, landmark_source(landmarks), whole=whole))
    facts = json.loads((folder / "facts.json").read_text())
    if not facts["row"]:
        raise DataError(manifest.root, "not one file gave a face", facts["skipped"][0])
    size = preprocess.size
    shape = (len(facts["row"]), size, size, 3)
    return CropSet(
        images=np.memmap(folder / "images.u8", np.uint8, "r", shape=shape),
        row=np.asarray(facts["row"], np.int64),
        time_s=np.asarray(facts["time_s"], np.float64),
        landmarks=np.load(folder / "landmarks.npy"),
        skipped=tuple(facts["skipped"]),
        box=np.load(folder / "box.npy") if _has_box(preprocess, whole) else None,
    )


def _has_box(preprocess: Preprocess, whole: bool) -> bool:
    return not (whole or preprocess.align)


def _fill(folder: Path, manifest: Manifest, cutter: _Cutter) -> None:
    """Write the crops beside the target and move them there when all are in: a killed run leaves nothing half."""
    boxes = manifest.column("box").tolist()
    paths = manifest.paths()
    rows, times, points, known, skipped = list[int](), list[float](), list[Points](), list[Box](), list[str]()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as part, ThreadPoolExecutor(os.cpu_count()) as pool:
        with open(Path(part) / "images.u8", "wb") as images:
            for row, result in enumerate(track(pool.map(cutter, paths, boxes), "cutting faces", total=len(paths))):
                if isinstance(result, str):
                    skipped.append(f"{manifest.column('path')[row]}: {result}")
                    continue
                for crop, time_s, landmarks, box in result:
                    images.write(crop.tobytes())
                    rows.append(row)
                    times.append(time_s)
                    points.append(landmarks)
                    known.append(box)
        np.save(Path(part) / "landmarks.npy", np.reshape(points, (-1, cutter.points.count, 2)).astype(np.float32))
        np.save(Path(part) / "box.npy", np.reshape(known, (-1, 4)).astype(np.float32))
        (Path(part) / "facts.json").write_text(json.dumps({"row": rows, "time_s": times, "skipped": skipped}))
        folder.mkdir(exist_ok=True)
        for name in ("images.u8", "landmarks.npy", "box.npy", "facts.json"):  # the last one says that all are there
            os.replace(Path(part) / name, folder / name)


class Cut(NamedTuple):
    """A crop of one frame: picture, seconds, points and box of the face."""

    crop: Picture
    time_s: float
    points: Points
    box: Box


class _Cutter:
    """(path, box of the manifest) -> crops, or the reason why there are none."""

    def __init__(self, preprocess: Preprocess, points: LandmarkSource, *, whole: bool) -> None:
        self.preprocess, self.points, self.whole = preprocess, points, whole
        self.finder = face_finder()

    def __call__(self, path: Path, box: str) -> list[Cut] | str:
        try:
            return list(self._crops(path, box)) or "no face found"
        except (InputError, DataError) as error:
            return error.reason

    def _crops(self, path: Path, box: str) -> Iterator[Cut]:
        find = finder_for(box) if box else lambda picture, _: self.finder(picture)
        for frame in open_media(path, frames=self.preprocess.frames):
            time_s = frame.time_s or 0.0
            place: Box = (0.0, 0.0, 0.0, 0.0)
            if self.whole:
                crop = finish(_central_square(frame.rgb), self.preprocess)
            else:
                faces = [f for f in find(frame.rgb, time_s) if judgeable(f, self.preprocess)]
                if not faces:
                    continue
                face = max(faces, key=lambda f: f.size_px)
                crop = crop_face(frame.rgb, face, self.preprocess)
                place = box_in_crop(face, (frame.rgb.shape[1], frame.rgb.shape[0]), self.preprocess)
            inside = self.finder(crop)
            if not self.whole:  # a wide crop may show the neighbours too
                inside.sort(key=lambda other: _apart(other.box, place))
            seen = self.points(crop, inside[0]) if inside else None
            points = np.full((self.points.count, 2), np.nan, np.float32) if seen is None else seen
            yield Cut(crop, time_s, points, place)


def _apart(one: Box, other: Box) -> float:
    """Distance of the centres of two boxes, in pixels."""
    (ax, ay), (bx, by) = ((x + w / 2, y + h / 2) for x, y, w, h in (one, other))
    return math.hypot(ax - bx, ay - by)


def _central_square(picture: Picture) -> Picture:
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]
