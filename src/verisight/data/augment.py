"""What training does to a crop. Seeded per sample and epoch, so the order of workers changes nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.recipe import AugmentSpec
from verisight.data.quality import Picture, jpeg


def augment(crop: Picture, spec: AugmentSpec, rng: np.random.Generator) -> Picture:
    """One random variant of a square RGB crop (S, S, 3) uint8, of the same size.

    Geometry first, then colour, then what a file goes through on its way: resizing, blur, JPEG.
    """
    crop = _random_square(crop, spec.crop, rng)
    if spec.flip and rng.random() < 0.5:
        crop = crop[:, ::-1]
    if spec.colour > 0:
        crop = _colour(crop, spec.colour, rng)
    size = crop.shape[0]
    if rng.random() < spec.resize:
        small = round(size * rng.uniform(0.5, 1.0))
        crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if rng.random() < spec.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < spec.jpeg:
        crop = jpeg(np.ascontiguousarray(crop), int(rng.integers(spec.jpeg_quality[0], spec.jpeg_quality[1] + 1)))
    return np.ascontiguousarray(crop, dtype=np.uint8)


def _random_square(crop: Picture, largest_cut: float, rng: np.random.Generator) -> Picture:
    size = crop.shape[0]
    side = max(1, round(size * rng.uniform(1 - largest_cut, 1)))
    if side == size:
        return crop
    top, left = rng.integers(0, size - side + 1, size=2)
    square = crop[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _colour(crop: Picture, strength: float, rng: np.random.Generator) -> Picture:
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, size=3)
    pixels: NDArray[np.float32] = crop.astype(np.float32) * brightness
    pixels = (pixels - pixels.mean()) * contrast + pixels.mean()
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = grey[..., None] + (pixels - grey[..., None]) * saturation
    return np.clip(pixels, 0, 255).astype(np.uint8)
