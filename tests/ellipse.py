"""A synthetic face with 81 landmarks, and plain references for the steps of self-blending: scipy and formulas only."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

Array = NDArray[np.floating]
SIZE = 400


def landmarks81(size: int = SIZE) -> Array:
    """(81, 2) x, y of a face that is its own mirror image about the middle of the picture; forehead left to right."""
    t = np.radians(np.linspace(-12, 192, 17))
    jaw = np.stack([-0.25 * np.cos(t), 0.32 * np.sin(t)], axis=1)
    brow = np.array([[-0.19, -0.10], [-0.155, -0.125], [-0.115, -0.135], [-0.08, -0.13], [-0.045, -0.115]])
    bridge = np.array([[0, -0.06], [0, -0.02], [0, 0.02], [0, 0.06]])
    nostrils = np.array([[-0.05, 0.085], [-0.025, 0.095], [0, 0.10], [0.025, 0.095], [0.05, 0.085]])
    eye = np.array([[-15, -6], [-12, -7.5], [-9, -7.5], [-6, -5.5], [-9, -4.5], [-12, -4.5]]) / 100
    u = np.radians(180 + np.arange(12) * 30)
    lips = np.stack([0.09 * np.cos(u), 0.17 + 0.04 * np.sin(u)], axis=1)
    v = np.radians(180 + np.arange(8) * 45)
    mouth = np.stack([0.07 * np.cos(v), 0.17 + 0.015 * np.sin(v)], axis=1)
    w = np.radians(np.linspace(195, 345, 13))
    forehead = np.stack([0.25 * np.cos(w), -0.02 + 0.30 * np.sin(w)], axis=1)
    # the right brow runs on from the nose; the right eye starts at its inner corner, on from the nose, over the top
    right_brow, right_eye = brow[::-1] * (-1, 1), eye[[3, 2, 1, 0, 5, 4]] * (-1, 1)
    parts = [jaw, brow, right_brow, bridge, nostrils, eye, right_eye, lips, mouth, forehead]
    points: Array = np.concatenate(parts) * size + np.array([(size - 1) / 2, size * 0.53])
    return points


def face(seed: int, size: int = SIZE) -> NDArray[np.uint8]:
    """(S, S, 3): an ellipse of smooth skin before a smooth background, with the noise of a sensor."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    smooth = [ndimage.zoom(rng.uniform(-1, 1, (6, 6)), size / 6, order=3)[:size, :size] for _ in range(4)]
    skin = np.stack([170 + 30 * smooth[i] for i in range(3)], axis=-1) - (0, 30, 50)
    back = np.stack([rng.uniform(40, 200) + 30 * smooth[3] for _ in range(3)], axis=-1)
    inside = (((x - 0.5) / 0.26) ** 2 + ((y - 0.53) / 0.34) ** 2 < 1)[..., None]
    picture = np.where(inside, skin, back) + rng.normal(0, 3, (size, size, 3))
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


# --- references ---


def depth(points: Array, shape: tuple[int, int]) -> Array:
    """(H, W) how far inside the convex hull of the points a pixel lies, at least; below 0 outside.

    The smallest distance to a side's line: inside that is the distance to the border of the hull, outside a lower
    bound of it.
    """
    sides = ConvexHull(points, qhull_options="QJ").equations  # points on one line, too
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.min([-(a * x + b * y + c) for a, b, c in sides], axis=0)


def union_depth(parts: list[Array], shape: tuple[int, int]) -> Array:
    return np.max([depth(part, shape) for part in parts], axis=0)


DFL_FULL = [[*range(17), *range(48, 68)], [*range(27, 31), 33], [*range(17, 27), 0, 27, 16, 33]]
COMPONENTS = [
    [*range(9), 17],
    [*range(8, 17), 26],
    [*range(17, 20), 8],
    [*range(24, 27), 8],
    [*range(19, 25), 8],
    [*range(17, 22), 27, *range(31, 36), 8],
    [*range(22, 27), 27, *range(31, 36), 8],
    [*range(27, 31), *range(31, 36)],
]


def lifted(points: NDArray[np.integer]) -> NDArray[np.integer]:
    """Landmarks (68.., 2) in whole pixels with the brows lifted by half their height above the eyes (*extended*)."""
    p = points.copy()
    left = (p[36] + (p[36] + p[0]) // 2) // 2
    right = (p[45] + (p[16] + p[45]) // 2) // 2
    below = [left, p[36], p[37], p[38], p[39], p[42], p[43], p[44], p[45], right]
    for j, b in zip(range(17, 27), below, strict=True):
        p[j] = points[j] + (points[j] - b) // 2
    return p


def kernel(size: int, sigma: float) -> Array:
    """(size,) Gauss; sigma 0 stands for 0.3 ((size - 1) / 2 - 1) + 0.8."""
    sigma = sigma or 0.3 * ((size - 1) / 2 - 1) + 0.8
    i = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(i**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def gauss(mask: Array, size: int, sigma: float) -> Array:
    """Separable, mirrored about the border pixel."""
    k = kernel(size, sigma)
    return reduce(lambda m, axis: ndimage.correlate1d(m, k, axis=axis, mode="mirror"), (0, 1), mask.astype(np.float64))


def erode(mask: Array, size: int) -> NDArray[np.bool_]:
    """By a square of side `size`, where the mask is one."""
    return np.asarray(ndimage.minimum_filter(mask >= 1, size=size, mode="mirror"))


def dilate(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.maximum_filter(mask, size=size, mode="mirror"))


def soften(mask: Array, k1: int, k2: int, sigma: float) -> Array:
    """(H, W) -> b: eroded by k1, blurred by k2, of maximum 1."""
    blurred = gauss(erode(mask, k1), k2, sigma)
    return np.asarray(blurred / blurred.max())


def eroded_by_rounding(mask: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """What is left by the first step of the published code on a mask of whole numbers: the blur rounds to 0 or 1."""
    return np.round(gauss(mask, size, 0)) >= 1
