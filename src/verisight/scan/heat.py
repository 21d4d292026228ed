"""Where in a face a detector sees what it sees: heat maps by occlusion, as pictures and in words.

Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2: what the score loses
when a place is covered is the evidence of that place. It takes nothing but scores, so it serves every detector.
A map shows what the detector reacts to, which need not be what was forged; `sanity` tests that it shows at least that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.detector import Detector
from verisight.core.errors import InputError
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face, FaceFinder, crop_face, face_finder, similarity, square_of
from verisight.data.landmarks import Points
from verisight.data.preprocess import normalise
from verisight.data.quality import Picture
from verisight.scan.evidence import frames_of
from verisight.scan.verdict import Box, FaceVerdict, Verdict

Floats = NDArray[np.float32]

BLUR = 1 / 8  # standard deviation of the blur that covers a place, of the crop's side
PIXELS_AT_ONCE = 2_000_000  # of covered crops that are scored in one call: 78 of 160 x 160
HOTTEST = 0.1  # of the area: what a map is judged by
# Heat that lies evenly over a share A of the crop has a concentration of HOTTEST / A. From A = 0.4 on, half of the face
# or more, to name places would say more than was seen.
SPREAD = HOTTEST / 0.4
NAMED = 0.6  # so much of the hottest heat lies in the places that are named,
MOST_NAMED = 3  # of which there are at most so many
FAINT = 0.5  # logits: a place that changes the odds by a factor below 1.6 is not worth naming, and stays pale
STRONGEST = 0.65  # opacity of the strongest heat
SHOWN = 3  # faces of a file that get a map
NO_PLACE = "in no single place"


def heat_map(crop: Picture, detector: Detector, *, cells: int = 7) -> Floats:
    """How much of a crop's score each of its places is responsible for, (S, S) float32 in logits.

    crop : (S, S, 3) uint8, as the detector gets it. cells : windows along a side, at least 1; each is two cells wide.

    The value is by how much the score falls when the surroundings of a pixel are replaced by a strongly blurred copy,
    which says nothing and makes no edges: positive where they speak for fake, negative where against. The windows w_k
    are smooth, overlap, and sum to 1 at every pixel x; the heat there is sum_k w_k(x) (f(crop) - f(crop without w_k)).
    So the falls of a detector f that is linear in the pixels sum to f(crop) - f(blurred crop): nothing is lost, and
    nothing counted twice.

    Raises
    ------
    InputError : the crop is not of the detector's size.
    """
    size = len(crop)
    blurred = cv2.GaussianBlur(crop, (0, 0), BLUR * size, borderType=cv2.BORDER_REFLECT)
    sharp, nothing = normalise(np.stack([crop, blurred]).astype(np.uint8), detector.preprocess)
    whole = float(detector.score(sharp[None])[0])
    side = _windows(size, cells)
    windows = (side[:, None, :, None] * side[None, :, None, :]).reshape(-1, 1, size, size)
    rows = max(1, PIXELS_AT_ONCE // size**2)
    covered = [detector.score(sharp + w * (nothing - sharp)) for w in np.split(windows, range(rows, cells**2, rows))]
    falls = (whole - np.concatenate(covered)).reshape(cells, cells)
    return np.asarray(side.T @ falls @ side, np.float32)


def _windows(size: int, cells: int) -> Floats:
    """(cells, size): raised cosines of one cell to each side of a cell's middle, flat towards the border; columns sum
    to 1."""
    place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    distance = np.minimum(np.abs(place - np.arange(cells)[:, None]), 1)
    return np.asarray((1 + np.cos(np.pi * distance)) / 2, np.float32)


@dataclass(frozen=True, eq=False)
class Heat:
    """A heat map and what it comes to. map : (S, S) float32, logits, of `heat_map`."""

    map: Floats

    @property
    def limit(self) -> float:
        """Logits at the ends of the colour range: -limit to limit."""
        return max(FAINT, float(np.abs(self.map).max()))

    @property
    def concentration(self) -> float:
        """Share 0..1 of all that speaks for fake that the hottest tenth of the area holds: 0.1 when it lies evenly; 0
        when nothing speaks for fake."""
        heat = np.maximum(self.map, 0).astype(np.float64)
        return float(heat[self._hottest()].sum() / heat.sum()) if heat.any() else 0.0

    def where(self, face: Points | Box) -> str:
        """Where most of what speaks for fake lies, such as `around the mouth and the nose`.

        face : its five landmarks (5, 2), or its box, in pixels of the crop. Left and right are those of the picture.
        """
        if self.map.max() < FAINT:
            return NO_PLACE
        if self.concentration < SPREAD:
            return "spread over the whole face"
        points = upright(face) if isinstance(face, tuple) else face
        hottest = self._hottest()
        held = np.bincount(_regions(points, len(self.map))[hottest], np.maximum(self.map[hottest], 0), len(REGIONS))
        order = np.argsort(-held, kind="stable")
        enough = 1 + int(np.searchsorted(np.cumsum(held[order]) / held.sum(), NAMED))
        return _in_words([REGIONS[i] for i in order[: min(enough, MOST_NAMED)]])

    def _hottest(self) -> NDArray[np.bool_]:
        """The hottest tenth of the pixels; of equal ones, the first."""
        chosen = np.zeros(self.map.size, np.bool_)
        chosen[np.argsort(-self.map, axis=None, kind="stable")[: max(1, round(HOTTEST * self.map.size))]] = True
        return chosen.reshape(self.map.shape)


# A face in eye distances: x to the right and y down from the middle between the eyes. Eyes, nose tip and mouth corners
# are those of the 112 px template of face recognition, which `verisight.data.faces` aligns to.
_FACE = np.array([[-0.5, 0], [0.5, 0], [0, 0.57], [-0.41, 1.155], [0.41, 1.155]], np.float64)
_ALIGNED_BOX = 2.38  # eye distances that an aligned crop of margin 1 is wide
# Medians of 249 faces of many generators and cameras that the shipped finder sees from the front or nearly so.
_BOX = 2.53  # longer side of a box, in eye distances
_DROP = 0.02  # of that side: the mean of the five points lies so much below the middle of the box
# In the order in which they are asked: a pixel belongs to the first that claims it.
REGIONS = (
    "outside the face",
    "the hairline",
    "the jaw",
    "the left edge of the face",
    "the right edge of the face",
    "the forehead",
    "the left eye",
    "the right eye",
    "the nose",
    "the mouth",
    "the chin",
    "the left cheek",
    "the right cheek",
)


def upright(box: Box) -> Points:
    """(5, 2) landmarks of an upright face of average build in a box (x, y, width, height)."""
    x, y, width, height = box
    side = max(width, height)
    return _face_about((x + width / 2, y + height / 2 + _DROP * side), side / _BOX)


def _face_about(middle: tuple[float, float], eye_distance: float) -> Points:
    return np.asarray(middle + (_FACE - _FACE.mean(axis=0)) * eye_distance, np.float32)


def _regions(points: Points, size: int) -> NDArray[np.intp]:
    """(size, size): the index in REGIONS of every pixel of a crop with a face at five points."""
    turn = similarity(points, _FACE)
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    x, y = np.moveaxis(pixels @ turn[:, :2].T + turn[:, 2], -1, 0)
    radius = np.hypot(x / 1.15, (y - 0.5) / 1.5)  # 1 on the outline: a head is 2.3 eye distances wide and 3 high
    rim, eyes = radius > 0.85, (y < 0.35) & (np.abs(np.abs(x) - 0.5) < 0.4)
    claims = [
        radius > 1.2,
        rim & (y < -0.5),
        rim & (y > 1.45),
        rim & (x < 0),
        rim,
        y < -0.4,
        eyes & (x < 0),
        eyes,
        (y < 0.85) & (np.abs(x) < 0.32),
        (y > 0.85) & (y < 1.45) & (np.abs(x) < 0.65),
        y > 1.45,
        x < 0,
    ]
    return np.select(claims, list(range(len(claims))), len(claims)).astype(np.intp)


def _in_words(regions: Sequence[str]) -> str:
    """`around the mouth, the nose and the chin`; what lies outside the face comes last."""
    inside = [region for region in regions if region != REGIONS[0]]
    words = [f"around {listed(inside)}"] * bool(inside) + [REGIONS[0]] * (REGIONS[0] in regions)
    return " and ".join(words)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def overlay(crop: Picture, heat: Heat, *, limit: float | None = None) -> Picture:
    """The crop, (S, S, 3) uint8, under its heat: yellow speaks for fake, blue against, and what is clear says nothing.

    limit : logits of the strongest colour, at least; `heat.limit`, or a larger one that several pictures share.

    The colours are Cividis (Nunez, Anderton, Renslow, PLOS ONE 2018), by OpenCV: perceptually uniform, and the same to
    people with a weak sense of red or green. -limit is its blue end, 0 its grey middle, which is clear.
    """
    strength = np.clip(heat.map / (limit or heat.limit), -1, 1)
    colour = palette()[np.rint(127.5 + 127.5 * strength).astype(np.intp)]
    alpha = STRONGEST * np.abs(strength)[..., None]
    return np.asarray(np.rint((1 - alpha) * crop + alpha * colour), np.uint8)


@cache
def palette() -> NDArray[np.uint8]:
    """(256, 3) RGB of the heat from -limit to limit, for a legend; read-only."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_CIVIDIS)[:, 0, ::-1]
    colours = np.ascontiguousarray(table, dtype=np.uint8)
    colours.setflags(write=False)
    return colours


@dataclass(frozen=True, eq=False)
class FaceHeat:
    """Why one face of a file has its score.

    crop : (S, S, 3) uint8, as the detector saw it. heat : of that crop. where : `Heat.where` of its landmarks.
    """

    face: FaceVerdict
    crop: Picture
    heat: Heat
    where: str


def heats_of(
    verdict: Verdict, detector: Detector, *, finder: FaceFinder | None = None, most: int = SHOWN
) -> list[FaceHeat]:
    """Heat of the faces that a verdict rests on, the most suspicious first: of the person that it is about.

    The file is read again. finder : as in `scan_files`; the shipped one by default. most : how many faces.

    Empty where no face was scored, and when the file has gone or changed since.
    """
    person = verdict.suspect
    faces = [face for face in verdict.faces if person is None or face.person == person.person]
    chosen = sorted(faces, key=lambda face: -face.score)[:most]
    if not chosen:
        return []
    find, found = finder or face_finder(), list[FaceHeat]()
    try:
        for frame in frames_of(Path(verdict.path), {face.time_s for face in chosen}, detector.preprocess):
            again = find(frame.rgb)
            here = (face for face in chosen if face.time_s == frame.time_s)
            found += [_face_heat(frame.rgb, face, again, detector) for face in here]
    except InputError:
        return []
    return sorted(found, key=lambda heat: -heat.face.score)


def _face_heat(picture: Picture, seen: FaceVerdict, again: Sequence[Face], detector: Detector) -> FaceHeat:
    """again : the faces of this picture, found anew, since a verdict keeps boxes and no landmarks."""
    face = max(again, key=lambda other: _overlap(other.box, seen.box), default=None)
    if face is None or _overlap(face.box, seen.box) < 0.5:
        face = Face(seen.box, 1.0)
    crop = crop_face(picture, face, detector.preprocess)
    heat = Heat(heat_map(crop, detector))
    return FaceHeat(seen, crop, heat, heat.where(_points_in_crop(face, picture.shape[:2], detector.preprocess)))


def _points_in_crop(face: Face, shape: tuple[int, ...], preprocess: Preprocess) -> Points:
    """The five landmarks of a face in pixels of its crop. shape : height and width of the picture."""
    if preprocess.align and face.landmarks is not None:
        middle = preprocess.size / 2  # where alignment puts the mean of the five points
        return _face_about((middle, middle), preprocess.size / preprocess.margin / _ALIGNED_BOX)
    left, top, side_px = square_of(face, (shape[1], shape[0]), preprocess)
    points = upright(face.box) if face.landmarks is None else face.landmarks
    return np.asarray((points - (left, top)) * (preprocess.size / side_px), np.float32)


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    (x, y, w, h), (u, v, p, q) = one, other
    shared = max(0.0, min(x + w, u + p) - max(x, u)) * max(0.0, min(y + h, v + q) - max(y, v))
    return shared / max(w * h + p * q - shared, 1e-9)


def sanity(crops: Sequence[Picture], detector: Detector, randomised: Detector, *, cells: int = 7) -> float:
    """Mean rank correlation, -1..1, of the maps of a trained detector with those of one with random weights.

    A map that stays as it was shows the picture and not what the detector learnt (Adebayo et al., "Sanity checks for
    saliency maps", NeurIPS 2018, section 3). A map without any heat has no ranks and counts as 0.

    crops : (S, S, 3) uint8 each, at least one. randomised : takes the same crops. cells : as in `heat_map`.
    """
    from scipy.stats import spearmanr

    def agreement(crop: Picture) -> float:
        one, other = (heat_map(crop, d, cells=cells).ravel() for d in (detector, randomised))
        return float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else 0.0

    return float(np.mean([agreement(crop) for crop in crops]))
