"""The face crops of a whole manifest: decoded once, kept in the cache folder, read back by memory map."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import DataError, InputError
from verisight.core.places import cache_folder
from verisight.core.preprocess import Preprocess
from verisight.core.progress import track
from verisight.data.faces import FaceFinder, crop_face, face_finder, finish, judgeable
from verisight.data.manifest import Manifest
from verisight.data.media import open_media
from verisight.data.quality import Picture

Points = NDArray[np.float32]  # (5, 2)


@dataclass(frozen=True)
class CropSet:
    """Crops of the files of one manifest.

    images : (M, S, S, 3) uint8 RGB.
    row : (M,) int64 row of the manifest that each crop comes from, ascending.
    time_s : (M,) float64 seconds from the start of the clip; 0 for a picture.
    landmarks : (M, 5, 2) float32 in pixels of the crop; NaN where the finder sees no face in it.
    skipped : `path: reason` for every file that gave no crop.
    """

    images: NDArray[np.uint8]
    row: NDArray[np.int64]
    time_s: NDArray[np.float64]
    landmarks: NDArray[np.float32]
    skipped: tuple[str, ...]


def face_crops(manifest: Manifest, preprocess: Preprocess, *, whole: bool = False) -> CropSet:
    """Decode, find and cut the largest face of every sampled picture of every file.

    whole : the pictures are face crops already; their central square is used as it is.

    Raises
    ------
    DataError : not one file gave a crop.
    """
    key = {
        "manifest": manifest.fingerprint(),
        "preprocess": preprocess.model_dump(mode="json"),
        "whole": whole,
        "version": version("verisight"),
    }
    files = hashlib.sha256("\n".join(map(_stamp, manifest.paths())).encode()).hexdigest()
    name = hashlib.sha256(json.dumps([key, files], sort_keys=True).encode()).hexdigest()[:20]
    folder = cache_folder() / "crops" / name
    if not (folder / "facts.json").is_file():
        _fill(folder, manifest, preprocess, whole)
    facts = json.loads((folder / "facts.json").read_text())
    if not facts["row"]:
        raise DataError(manifest.root, "not one file gave a face", facts["skipped"][0])
    return CropSet(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        row=np.asarray(facts["row"], np.int64),
        time_s=np.asarray(facts["time_s"], np.float64),
        landmarks=np.load(folder / "landmarks.npy"),
        skipped=tuple(facts["skipped"]),
    )


def _stamp(path: Path) -> str:
    """What tells a file from its earlier or later self without reading it."""
    try:
        facts = path.stat()
    except OSError:
        return f"{path} absent"
    return f"{path} {facts.st_size} {facts.st_mtime_ns}"


def _fill(folder: Path, manifest: Manifest, preprocess: Preprocess, whole: bool) -> None:
    """Write the crops beside the target and move them there when all are in: a killed run leaves nothing half."""
    finder = face_finder()
    paths = manifest.paths()
    images, rows, times, points, skipped = list[Picture](), list[int](), list[float](), list[Points](), list[str]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda path: _crops_of(path, preprocess, finder, whole), paths)
        for row, result in enumerate(track(results, "cutting faces", total=len(paths))):
            if isinstance(result, str):
                skipped.append(f"{manifest.column('path')[row]}: {result}")
                continue
            for crop, time_s, landmarks in result:
                images.append(crop)
                rows.append(row)
                times.append(time_s)
                points.append(landmarks)
    folder.parent.mkdir(parents=True, exist_ok=True)
    size = preprocess.size
    with tempfile.TemporaryDirectory(dir=folder.parent) as part:
        np.save(Path(part) / "images.npy", np.stack(images) if images else np.empty((0, size, size, 3), np.uint8))
        np.save(Path(part) / "landmarks.npy", np.reshape(points, (-1, 5, 2)).astype(np.float32))
        (Path(part) / "facts.json").write_text(json.dumps({"row": rows, "time_s": times, "skipped": skipped}))
        folder.mkdir(exist_ok=True)
        for name in ("images.npy", "landmarks.npy", "facts.json"):  # facts.json last: it says that the folder is whole
            os.replace(Path(part) / name, folder / name)


def _crops_of(
    path: Path, preprocess: Preprocess, finder: FaceFinder, whole: bool
) -> list[tuple[Picture, float, Points]] | str:
    """Crops with their times and landmarks, or the reason why there are none."""
    try:
        return list(_iterate(path, preprocess, finder, whole)) or "no face found"
    except InputError as error:
        return error.reason


def _iterate(
    path: Path, preprocess: Preprocess, finder: FaceFinder, whole: bool
) -> Iterator[tuple[Picture, float, Points]]:
    for frame in open_media(path, frames=preprocess.frames):
        if whole:
            crop = finish(_central_square(frame.rgb), preprocess)
        else:
            faces = [f for f in finder(frame.rgb) if judgeable(f, preprocess)]
            if not faces:
                continue
            crop = crop_face(frame.rgb, max(faces, key=lambda f: f.size_px), preprocess)
        inside = finder(crop)
        seen = inside[0].landmarks if inside else None
        yield crop, frame.time_s or 0.0, np.full((5, 2), np.nan, np.float32) if seen is None else seen


def _central_square(picture: Picture) -> Picture:
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]
