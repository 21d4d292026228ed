"""Self-blended pseudo-fakes: a real face blended with a slightly changed copy of itself (Shiohara, Yamasaki, CVPR
2022).

The blend carries what face swaps leave behind (a seam, a step in colour, sharpness or position) and nothing of a
particular generator. Written from the published description: change one of the two copies (`change`), misalign the
source and its mask (`misalign`), soften the mask (`blend_mask`), blend F = m S + (1 - m) T. The hull comes from five
landmarks here, which is simpler than the 68 or 81 of the paper; it says so on the card of whatever is trained with it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.data.quality import Picture

Mask = NDArray[np.float32]  # (H, W) in [0, 1]
RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)


def self_blend(picture: Picture, landmarks: NDArray[np.float32], rng: np.random.Generator) -> Picture:
    """One pseudo-fake of a real face crop.

    picture : (H, W, 3) uint8 RGB. landmarks : (5, 2) eyes, nose tip, mouth corners, in pixels of the picture.

    Raises
    ------
    ValueError : the hull covers no pixel.
    """
    mask = hull_mask(landmarks, picture.shape[:2], forehead=bool(rng.random() < 0.75))
    if not mask.any():
        raise ValueError("the face hull covers no pixel of the crop")
    source, target = (change(picture, rng), picture) if rng.random() < 0.5 else (picture, change(picture, rng))
    source, mask = misalign(source, mask, rng)
    soft = blend_mask(mask, rng) * rng.choice(RATIOS)
    return blend(source, target, soft)


def blend(source: Picture, target: Picture, mask: Mask) -> Picture:
    """m S + (1 - m) T, rounded; equal to T to the bit where the mask is zero."""
    m = mask[..., None]
    return np.asarray(np.round(source * m + target * (1 - m)), dtype=np.uint8)


def hull_mask(landmarks: NDArray[np.float32], shape: tuple[int, int], *, forehead: bool) -> Mask:
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
    mask = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1.0)
    return mask


def change(picture: Picture, rng: np.random.Generator) -> Picture:
    """Colour shifts, brightness and contrast, then either a loss of resolution or a sharpening."""
    pixels = picture.astype(np.float32)
    pixels += np.where(rng.random(3) < 0.3, rng.uniform(-20, 20, 3), 0).astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * np.float32(1 + rng.uniform(-0.3, 0.3))  # saturation
    pixels = pixels * np.float32(1 + rng.uniform(-0.1, 0.1)) + np.float32(255 * rng.uniform(-0.1, 0.1))
    pixels = np.clip(pixels, 0, 255)
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        factor = int(rng.choice((2, 4)))
        small = cv2.resize(pixels, (width // factor, height // factor), interpolation=cv2.INTER_NEAREST)
        pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        alpha = rng.uniform(0.2, 0.5)
        pixels = pixels + np.float32(alpha) * (pixels - cv2.GaussianBlur(pixels, (3, 3), 0)) * 4
    return np.asarray(np.clip(np.round(pixels), 0, 255), dtype=np.uint8)


def misalign(source: Picture, mask: Mask, rng: np.random.Generator) -> tuple[Picture, Mask]:
    """Shift up to 3 % and 1.5 %, scale up to 5 % for each axis, about the centre; then bend the mask alone."""
    height, width = mask.shape
    scale = rng.uniform(0.95, 1 / 0.95, 2)
    shift = rng.uniform((-0.03 * width, -0.015 * height), (0.03 * width, 0.015 * height))
    centre = np.array([width, height]) / 2
    matrix = np.column_stack([np.diag(scale), centre - scale * centre + shift])
    moved = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved_mask = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(moved, dtype=np.uint8), _bend(np.asarray(moved_mask), rng)


def _bend(mask: Mask, rng: np.random.Generator) -> Mask:
    """Elastic deformation with a smooth random field (Simard et al. 2003): alpha 50, sigma 7 at 256 px."""
    height, width = mask.shape
    unit = max(height, width) / 256
    field = [
        cv2.GaussianBlur(rng.uniform(-1, 1, mask.shape).astype(np.float32), (0, 0), 7 * unit) * np.float32(50 * unit)
        for _ in range(2)
    ]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(cv2.remap(mask, x + field[0], y + field[1], cv2.INTER_NEAREST))


def blend_mask(mask: Mask, rng: np.random.Generator) -> Mask:
    """Erode by a random square, blur by a random Gaussian, at a random size of 192..256 px; the maximum is 1.

    A mask that the erosion would empty is blurred as it is.
    """
    height, width = mask.shape
    size = tuple(int(v) for v in rng.integers(192, 257, 2))
    resized = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
    erode, blur = (int(v) for v in 2 * rng.integers(2, 13, 2) + 1)  # odd, 5..25
    eroded = cv2.erode((resized >= 1 - 1e-6).astype(np.float32), np.ones((erode, erode), np.uint8))
    soft = cv2.GaussianBlur(eroded if eroded.any() else resized, (blur, blur), int(rng.integers(5, 46)))
    back = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(back / max(back.max(), 1e-6), 0, 1), dtype=np.float32)
