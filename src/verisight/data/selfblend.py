"""Self-blended images: a real face blended with a slightly changed copy of itself (Shiohara, Yamasaki, CVPR 2022).

The blend carries what face swaps leave behind (a seam, a step in colour, sharpness or position) and nothing of a
particular generator:

    F = m S + (1 - m) T,    R = T        S, T: two copies of one picture, one of them changed; m = r b, a soft hull

Written from the published description. `parity` repeats the official code where it does something else than was meant:
it truncates (a real pixel under the mask may turn one level darker: a leak of the label), mirrors to x' = W - x, and
its shift in HSV is next to nothing. With five landmarks the hull is simpler than those of the paper, which need 68 or
81; whatever is trained so says it on its card.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.value import Value
from verisight.data.landmarks import FLIPS
from verisight.data.quality import Picture, jpeg

Mask = NDArray[np.float32]  # (H, W) in [0, 1]
Points = NDArray[np.float32]  # (K, 2) x, y in pixels; K = 5, 68 or 81
Box = tuple[float, float, float, float]  # x, y, width, height in pixels
Edges = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two exclusive
Hull = Literal["random", "face", "dfl_full", "components", "extended", "facehull"]

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
FOREHEAD = (77, 75, 76, 68, 69, 70, 71, 80, 72, 73, 79, 74, 78)  # dlib's order of 68..80, from left to right
FLIP_81 = np.concatenate([FLIPS[68], np.arange(80, 67, -1)])
SHARPEST = 1 - 1e-6  # a mask value from here on counts as one


class SelfBlend(Value):
    """How pairs are made.

    hull : of the mask. `random` draws one of `dfl_full`, `components`, `extended`, `facehull`; `face` is the convex
        hull of all points. Five landmarks have one hull of their own.
    parity : repeat the official code's slips, for comparison with its weights.
    """

    hull: Hull = "random"
    parity: bool = False

    def pair(self, picture: Picture, landmarks: Points, rng: np.random.Generator) -> tuple[Picture, Picture, Mask]:
        """A pseudo-fake, its real, and the mask m of the blend; all (H, W), pictures uint8 RGB.

        Raises
        ------
        ValueError : the hull covers no pixel.
        """
        mask = self._hull(landmarks, picture.shape[:2], rng)
        changed = change(picture, rng, parity=self.parity)
        source, target = (changed, picture) if rng.random() < 0.5 else (picture, changed)
        source, mask = misalign(source, mask, rng)
        bent = elastic(mask, rng)
        whole = self.parity and self.hull == "face"  # the official code without its hull library
        m = blend_mask(bent.astype(np.uint8) if whole else bent, rng, parity=self.parity).m
        return blend(source, target, m, parity=self.parity), target, m

    def sample(
        self, picture: Picture, landmarks: Points, box: Box, rng: np.random.Generator, *, train: bool = True
    ) -> tuple[Picture, Picture]:
        """A pseudo-fake and its real as a network sees them: mirrored, blended, changed alike, cut alike.

        box : of the face finder, in pixels of the picture. train : false leaves out the mirror and the common changes,
            and cuts with the margin of the test.
        """
        if train and rng.random() < 0.5:
            picture, landmarks, box = flip(picture, landmarks, box, parity=self.parity)
        picture, landmarks, box = cut_out(picture, landmarks, box, large_crop(landmarks, picture.shape[:2]))
        fake, real, _ = self.pair(picture, landmarks, rng)
        if train:
            fake, real = augment_pair(fake, real, rng, parity=self.parity)
        margins = rng.uniform(0.2, 0.8, 4) if train else np.full(4, 0.5)
        left, top, right, bottom = final_crop(box, picture.shape[:2], margins)
        return fake[top:bottom, left:right], real[top:bottom, left:right]

    def _hull(self, landmarks: Points, shape: tuple[int, int], rng: np.random.Generator) -> Mask:
        forehead = bool(rng.random() >= 0.25)
        if len(landmarks) == 5:
            mask = five_point_hull(landmarks, shape, forehead=forehead)
        else:
            variant = str(rng.choice(VARIANTS)) if self.hull == "random" else self.hull
            mask = hull_mask(landmarks if forehead else landmarks[:68], shape, variant)
        if not mask.any():
            raise ValueError("the hull of the face covers no pixel of the picture")
        return mask


def reorder81(landmarks: Points) -> Points:
    """81 points with those of the forehead in order from left to right."""
    return landmarks[[*range(68), *FOREHEAD]]


def flip(picture: Picture, landmarks: Points, box: Box, *, parity: bool = False) -> tuple[Picture, Points, Box]:
    """The mirror image with its points, left named right, and its box: x' = W - 1 - x (official code: W - x)."""
    width = picture.shape[1]
    order = FLIP_81 if len(landmarks) == 81 else FLIPS[len(landmarks)]
    points = landmarks[order].copy()
    points[:, 0] = (width if parity else width - 1) - points[:, 0]
    x, y, w, h = box
    return np.ascontiguousarray(picture[:, ::-1]), points, (width - x - w, y, w, h)


def large_crop(landmarks: Points, shape: tuple[int, int]) -> Edges:
    """The face with its surroundings: w/2 to the sides, h above, 2h/5 below the box of points 0..67.

    It stays inside the picture. Five points do not span the face: for them it is the whole picture.
    """
    height, width = shape
    if len(landmarks) == 5:
        return 0, 0, width, height
    (x0, y0), (x1, y1) = landmarks[:68].min(axis=0), landmarks[:68].max(axis=0)
    w, h = x1 - x0, y1 - y0
    left, top = max(0, int(x0 - w / 2)), max(0, int(y0 - h))
    return left, top, min(width, int(x1 + w / 2) + 1), min(height, int(y1 + 2 * h / 5) + 1)


def cut_out(picture: Picture, landmarks: Points, box: Box, edges: Edges) -> tuple[Picture, Points, Box]:
    """A part of the picture, with points and box in its pixels."""
    left, top, right, bottom = edges
    points = (landmarks - np.array([left, top])).astype(np.float32)
    return picture[top:bottom, left:right], points, (box[0] - left, box[1] - top, box[2], box[3])


def final_crop(box: Box, shape: tuple[int, int], margins: NDArray[np.float64]) -> Edges:
    """The box widened on each side by a quarter of its width or height times a margin, inside the picture.

    margins : (4,) left, top, right, bottom; 0.5 each in the test: an eighth of the box a side.
    """
    height, width = shape
    x, y, w, h = box
    left, top = max(0, int(x - w / 4 * margins[0])), max(0, int(y - h / 4 * margins[1]))
    right = min(width, int(x + w + w / 4 * margins[2]) + 1)
    return left, top, right, min(height, int(y + h + h / 4 * margins[3]) + 1)


# --- the hull -----------------------------------------------------------------------------------------------------


def _span(*parts: int | tuple[int, int]) -> list[int]:
    """Indices; a pair means a range with both ends."""
    return [i for part in parts for i in (range(part[0], part[1] + 1) if isinstance(part, tuple) else (part,))]


_DFL_FULL = (_span((0, 16), (48, 67)), _span((27, 30), 33), _span((17, 26), 0, 27, 16, 33))
_COMPONENTS = (
    _span((0, 8), 17),
    _span((8, 16), 26),
    _span((17, 19), 8),
    _span((24, 26), 8),
    _span((19, 24), 8),
    _span((17, 21), 27, (31, 35), 8),
    _span((22, 26), 27, (31, 35), 8),
    _span((27, 30), (31, 35)),
)


def hull_mask(landmarks: Points, shape: tuple[int, int], variant: str) -> Mask:
    """The mask of a face with 68 or 81 points, float32 in [0, 1].

    variant : `dfl_full`, `components` and `extended` are unions of convex hulls of parts of the 68; `facehull` is the
        convex hull of all points with soft edges, the only one that reaches the forehead; `face` the same without.
    """
    return _VARIANTS[variant](np.round(landmarks).astype(np.int32), shape)


def _union(points: NDArray[np.int32], shape: tuple[int, int], parts: tuple[list[int], ...]) -> Mask:
    mask = np.zeros(shape, np.float32)
    for part in parts:
        cv2.fillConvexPoly(mask, cv2.convexHull(points[part]), 1.0)
    return mask


def _extended(points: NDArray[np.int32], shape: tuple[int, int]) -> Mask:
    """The components after lifting each brow by half its distance from the eye, in whole pixels."""
    left_end = (points[36] + (points[36] + points[0]) // 2) // 2
    right_end = (points[45] + (points[16] + points[45]) // 2) // 2
    below = np.stack([left_end, *points[36:40], *points[42:46], right_end])
    lifted = points[:68].copy()
    lifted[17:27] += (lifted[17:27] - below) // 2
    return _union(lifted, shape, _COMPONENTS)


def _whole(points: NDArray[np.int32], shape: tuple[int, int], *, soft: bool) -> Mask:
    mask = np.zeros(shape, np.uint8)  # soft edges are drawn in whole levels only
    cv2.fillConvexPoly(mask, cv2.convexHull(points), 255, lineType=cv2.LINE_AA if soft else cv2.LINE_8)
    return np.asarray(mask / np.float32(255))


_VARIANTS: dict[str, Callable[[NDArray[np.int32], tuple[int, int]], Mask]] = {
    "dfl_full": lambda points, shape: _union(points, shape, _DFL_FULL),
    "components": lambda points, shape: _union(points, shape, _COMPONENTS),
    "extended": _extended,
    "facehull": lambda points, shape: _whole(points, shape, soft=True),
    "face": lambda points, shape: _whole(points, shape, soft=False),
}
VARIANTS = tuple(name for name in _VARIANTS if name != "face")


def five_point_hull(landmarks: Points, shape: tuple[int, int], *, forehead: bool) -> Mask:
    """Filled convex hull of a face, spanned by the eye line u and the line v from the eyes to the mouth.

    forehead : reach above the brows, or stop at them.
    """
    left_eye, right_eye, _, left_mouth, right_mouth = landmarks.astype(np.float64)
    u, v = right_eye - left_eye, (left_mouth + right_mouth - left_eye - right_eye) / 2
    brow = 0.9 if forehead else 0.35
    points = np.stack(
        [
            left_eye - 0.3 * u - brow * v,
            right_eye + 0.3 * u - brow * v,
            left_eye - 0.55 * u,
            right_eye + 0.55 * u,
            left_mouth - 0.4 * u,
            right_mouth + 0.4 * u,
            left_mouth + 0.6 * v,
            right_mouth + 0.6 * v,
        ]
    )
    return _whole(np.round(points).astype(np.int32), shape, soft=False)


# --- source and target --------------------------------------------------------------------------------------------

HSV_LEVELS = (0, 30, 30)  # ours for the "+-0.3" of the official code: hue stays, saturation and value move by levels


def change(picture: Picture, rng: np.random.Generator, *, parity: bool = False) -> Picture:
    """T_s: colour, then brightness and contrast, then either a loss of resolution or a sharpening."""
    if rng.random() < 0.3:
        picture = _rgb_shift(picture, rng, parity=parity)
    picture = _hsv_shift(picture, rng, parity=parity)
    picture = _brightness_contrast(picture, 0.1, rng, parity=parity)
    return _coarsen(picture, rng) if rng.random() < 0.5 else _sharpen(picture, rng)


def augment_pair(
    fake: Picture, real: Picture, rng: np.random.Generator, *, parity: bool = False
) -> tuple[Picture, Picture]:
    """Colour, brightness and JPEG, with the same draws for both."""
    steps: list[Callable[[Picture, np.random.Generator], Picture]] = []
    if rng.random() < 0.3:
        steps.append(lambda picture, draws: _rgb_shift(picture, draws, parity=parity))
    if rng.random() < 0.3:
        steps.append(lambda picture, draws: _hsv_shift(picture, draws, parity=parity))
    if rng.random() < 0.3:
        steps.append(lambda picture, draws: _brightness_contrast(picture, 0.3, draws, parity=parity))
    if rng.random() < 0.5:
        steps.append(lambda picture, draws: jpeg(np.ascontiguousarray(picture), int(draws.integers(40, 101))))
    seed = int(rng.integers(2**63))

    def changed(picture: Picture) -> Picture:
        draws = np.random.default_rng(seed)
        for step in steps:
            picture = step(picture, draws)
        return picture

    return changed(fake), changed(real)


def _rgb_shift(picture: Picture, rng: np.random.Generator, *, parity: bool) -> Picture:
    """Each channel by its own U(-20, 20) levels."""
    return _by_table(picture, np.arange(256)[:, None] + rng.uniform(-20, 20, 3), parity=parity)


def _hsv_shift(picture: Picture, rng: np.random.Generator, *, parity: bool) -> Picture:
    if parity:  # a table of whole numbers: +0.3 becomes nothing, -0.3 one level
        shift = -(rng.uniform(-0.3, 0.3, 3) < 0).astype(np.float64)
    else:
        shift = np.round(rng.uniform(-1, 1, 3) * HSV_LEVELS)
    table = np.arange(256)[:, None] + shift
    table[:, 0] %= 180
    hsv = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2HSV)
    return np.asarray(cv2.cvtColor(_by_table(hsv, table, parity=parity), cv2.COLOR_HSV2RGB), dtype=np.uint8)


def _brightness_contrast(picture: Picture, limit: float, rng: np.random.Generator, *, parity: bool) -> Picture:
    """alpha I + 255 beta, with alpha - 1 and beta each U(-limit, limit)."""
    alpha, beta = 1 + rng.uniform(-limit, limit), rng.uniform(-limit, limit)
    return _by_table(picture, np.arange(256)[:, None] * alpha + np.full(3, 255 * beta), parity=parity)


def _coarsen(picture: Picture, rng: np.random.Generator) -> Picture:
    """Every second or fourth pixel, enlarged again."""
    height, width = picture.shape[:2]
    factor = int(rng.choice((2, 4)))
    small = cv2.resize(picture, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _sharpen(picture: Picture, rng: np.random.Generator) -> Picture:
    """(1 - alpha) identity + alpha (8 + lightness in the middle, -1 around it)."""
    alpha, lightness = rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.0)
    kernel = np.full((3, 3), -alpha, np.float32)
    kernel[1, 1] = (1 - alpha) + alpha * (8 + lightness)
    return np.asarray(cv2.filter2D(picture, -1, kernel), dtype=np.uint8)


def _by_table(picture: Picture, table: NDArray[np.float64], *, parity: bool) -> Picture:
    """Every level replaced by what stands for it and its channel, rounded. table : (256, 3). parity : truncated."""
    levels = np.clip(table if parity else np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(picture), levels[None]), dtype=np.uint8)


# --- misalignment and blend ---------------------------------------------------------------------------------------


def misalign(source: Picture, mask: Mask, rng: np.random.Generator) -> tuple[Picture, Mask]:
    """Shift up to 3 % and 1.5 %, scale up to 5 % for each axis, about the centre; black comes in at the border."""
    height, width = mask.shape
    scale = rng.uniform(0.95, 1 / 0.95, 2)
    shift = rng.uniform((-0.03 * width, -0.015 * height), (0.03 * width, 0.015 * height))
    centre = (np.array([width, height]) - 1) / 2
    matrix = np.column_stack([np.diag(scale), centre - scale * centre + shift])
    moved = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_LINEAR)
    moved_mask = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(moved, dtype=np.uint8), np.asarray(moved_mask, dtype=np.float32)


def elastic(mask: Mask, rng: np.random.Generator, *, alpha: float = 50, sigma: float = 7) -> Mask:
    """The mask bent by a smooth random field, in pixels (Simard, Steinkraus, Platt 2003)."""
    height, width = mask.shape
    dx, dy = (
        cv2.GaussianBlur(rng.uniform(-1, 1, mask.shape).astype(np.float32), (0, 0), sigma) * np.float32(alpha)
        for _ in range(2)
    )
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bent = cv2.remap(mask, x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(bent, dtype=np.float32)


class BlendMask(NamedTuple):
    """m = ratio * b, and how it came about: eroded by k1 x k1, blurred by k2 x k2 with sigma, at `size` (w, h)."""

    m: Mask
    ratio: float
    k1: int
    k2: int
    sigma: int
    size: tuple[int, int]


def blend_mask(mask: Mask | NDArray[np.uint8], rng: np.random.Generator, *, parity: bool = False) -> BlendMask:
    """Erode a mask by a random square, soften it, and weaken it by a random ratio.

    A mask that the erosion would empty is softened as it is.

    parity : erode as the official code does, by comparing a blurred mask with one. A mask of whole numbers (uint8, 0
        and 1) is rounded back to itself by that blur: nothing is eroded.

    Raises
    ------
    ValueError : the mask is zero everywhere.
    """
    if not mask.any():
        raise ValueError("the mask of the blend is zero everywhere")
    height, width = mask.shape
    size = (int(rng.integers(192, 257)), int(rng.integers(192, 257)))
    k1, k2 = (int(k) for k in 2 * rng.integers(2, 13, 2) + 1)  # odd, 5..25
    sigma, ratio = int(rng.integers(5, 46)), float(rng.choice(RATIOS))
    resized = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
    eroded = _eroded_by_blur(resized, k1) if parity else _eroded(resized, k1)
    soft = cv2.GaussianBlur(eroded if eroded.any() else resized, (k2, k2), sigma)
    b = cv2.resize(soft / soft.max(), (width, height), interpolation=cv2.INTER_LINEAR)
    b = np.clip(b if parity else b / b.max(), 0, 1)  # enlarging may miss the peak of a small mask
    return BlendMask(np.asarray(ratio * b, dtype=np.float32), ratio, k1, k2, sigma, size)


def _eroded(mask: Mask | NDArray[np.uint8], k: int) -> Mask:
    """Where the k x k square around a pixel lies wholly in the mask."""
    inside = (mask >= SHARPEST).astype(np.uint8)
    return np.asarray(cv2.erode(inside, np.ones((k, k), np.uint8)), dtype=np.float32)


def _eroded_by_blur(mask: Mask | NDArray[np.uint8], k: int) -> Mask:
    blurred = cv2.GaussianBlur(mask, (k, k), 0)
    return np.asarray(blurred / blurred.max() >= 1, dtype=np.float32)


def blend(source: Picture, target: Picture, mask: Mask, *, parity: bool = False) -> Picture:
    """m S + (1 - m) T, rounded; equal to T to the bit where the mask is zero. parity : truncated in float32 instead."""
    m = mask[..., None]
    mixed = m * source.astype(np.float32) + (1 - m) * target.astype(np.float32)
    return np.asarray(mixed if parity else np.round(mixed), dtype=np.uint8)
