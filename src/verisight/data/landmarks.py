"""Landmarks of a face from a source that can be exchanged: the finder's own five points, or dlib's 68.

A source takes a picture and a face found in it, and gives its points in pixels of that picture, or None where it sees
none. Left and right are those of the picture, so that the left eye comes first.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import MissingExtra, RecipeError, nearest
from verisight.data.faces import Face
from verisight.data.quality import Picture

Points = NDArray[np.float32]  # (K, 2) x, y


class LandmarkSource(Protocol):
    """Anything that gives `count` points of a face: (K, 2) float32 in pixels of the picture, or None."""

    @property
    def count(self) -> int: ...

    def __call__(self, picture: Picture, face: Face) -> Points | None: ...


class FivePoints:
    """The five landmarks that the face finder gave: eyes, nose tip, mouth corners; None where it gave none."""

    count = 5

    def __call__(self, picture: Picture, face: Face) -> Points | None:
        return face.landmarks


class Dlib68:
    """The 68 points of iBUG 300-W by dlib's regression trees (Kazemi, Sullivan, CVPR 2014); extra `landmarks`.

    Points: jaw 0-16 from left to right, brows 17-21 and 22-26, nose 27-30 (ridge) and 31-35 (base), left eye 36-41,
    right eye 42-47, lips 48-59 (outer) and 60-67 (inner). The training set of the model file excludes commercial use:
    an option while training, never shipped, and never part of a scan.

    The model is read at the first call, once a process (100 MB, four seconds), whatever the number of sources.

    Raises
    ------
    MissingExtra : dlib or its model file is not installed.
    """

    count = 68
    # The trees start from a mean shape in the square of dlib's own detector. On 227 faces that both find, that square
    # sits on the mean of the five landmarks (median 2 % of the longer side of our box away), 0.83 of that side wide.
    SIDE = 0.83
    DROP = 0.046  # from the middle of our box down to that of the square, for a face without landmarks
    # The trees draw a face on anything. Of 300 found faces, 1 % are further from the finder's five points than 8 %.
    MAX_ASTRAY = 0.15

    def __init__(self) -> None:
        _model_file()

    def __call__(self, picture: Picture, face: Face) -> Points | None:
        """(68, 2) float32; None where they and the face's own five points do not describe the same face."""
        x, y, w, h = face.box
        side = max(2, round(self.SIDE * face.size_px))
        if face.landmarks is None:
            return _predict(picture, (x + w / 2, y + h / 2 + self.DROP * face.size_px), 0.0, side)
        across = face.landmarks[1] - face.landmarks[0]
        roll_deg = float(np.degrees(np.arctan2(across[1], across[0])))
        points = _predict(picture, face.landmarks.mean(axis=0).tolist(), roll_deg, side)
        astray = np.linalg.norm(five_of(points) - face.landmarks, axis=1).mean()
        return points if astray <= self.MAX_ASTRAY * face.size_px else None


SOURCES: dict[str, Callable[[], LandmarkSource]] = {"five": FivePoints, "dlib68": Dlib68}


def landmark_source(name: str = "five") -> LandmarkSource:
    """A source by its name, ready to call: `five` or `dlib68`.

    Raises
    ------
    RecipeError : no such source.
    MissingExtra : its packages are not installed.
    """
    if name not in SOURCES:
        raise RecipeError(name, "no landmark source of this name", nearest(name, SOURCES))
    return SOURCES[name]()


def five_of(points: Points) -> Points:
    """(5, 2) eyes, nose tip and mouth corners of 68 points: an eye is the mean of its six."""
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return np.stack([*eyes, points[30], points[48], points[54]]).astype(np.float32)


def _reverse(*ranges: tuple[int, int]) -> list[int]:
    """Each range of indices (both ends included) turned round, one after the other."""
    return [i for first, last in ranges for i in range(last, first - 1, -1)]


# Which point of a mirrored face was which: on the right is the partner of what is named on the left.
FLIPS = {
    5: np.array([1, 0, 2, 4, 3]),
    68: np.array(
        [
            *_reverse((0, 16), (17, 26)),
            *range(27, 31),
            *_reverse((31, 35), (42, 45), (46, 47), (36, 39), (40, 41)),
            *_reverse((48, 54), (55, 59), (60, 64), (65, 67)),
        ]
    ),
}


def mirrored(points: Points, width: int) -> Points:
    """The points of the picture's mirror image: x' = width - 1 - x, and left becomes right.

    points : (5, 2) or (68, 2) in pixels. width : of the picture, in pixels.
    """
    swapped: Points = points[FLIPS[len(points)]].astype(np.float32)  # a copy: indices were given
    swapped[:, 0] = width - 1 - swapped[:, 0]
    return swapped


def _model_file() -> Path:
    """Where the package with the models lies. It is not imported: doing so needs a part of setuptools that is gone."""
    for package in ("dlib", "face_recognition_models"):
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise MissingExtra("dlib68", f"needs the package '{package}'", "run: pip install 'verisight[landmarks]'")
    for folder in spec.submodule_search_locations if spec and spec.submodule_search_locations else ():
        file = Path(folder) / "models" / "shape_predictor_68_face_landmarks.dat"
        if file.is_file():
            return file
    raise MissingExtra(package, "holds no model file", "run: pip install --force-reinstall face-recognition-models")


_loading = threading.Lock()


def _predictor() -> Any:
    with _loading:  # many threads ask at once, and each copy takes 100 MB
        return _load()


@cache
def _load() -> Any:
    import dlib

    return dlib.shape_predictor(str(_model_file()))


def _predict(picture: Picture, centre: tuple[float, float], roll_deg: float, side: int) -> Points:
    """The 68 points within a square about a centre, turned upright by what is known of its roll.

    The trees themselves lose a face beyond 30 degrees of roll, and the finder's five points tell half of it or more.
    """
    import dlib

    middle = (round(centre[0]), round(centre[1]))  # whole pixels: a face that does not roll is looked at as it is
    turn = cv2.getRotationMatrix2D(middle, roll_deg, 1.0)
    turn[:, 2] += side - np.array(middle)
    patch = cv2.warpAffine(picture, turn, (2 * side + 1, 2 * side + 1), borderMode=cv2.BORDER_REPLICATE)
    low, high = side - side // 2, side + side // 2
    parts = _predictor()(patch, dlib.rectangle(low, low, high, high)).parts()
    seen = np.array([(part.x, part.y) for part in parts], np.float64)
    back: Points = ((seen - turn[:, 2]) @ turn[:, :2]).astype(np.float32)  # a turn's transpose is its inverse
    return back
