"""What training does to a crop. Seeded per sample and epoch, so the order of workers changes nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.recipe import AugmentSpec
from verisight.data.quality import Picture, draw


def augment(crop: Picture, spec: AugmentSpec, rng: np.random.Generator) -> Picture:
    """One random variant of a square RGB crop (S, S, 3) uint8, of the same size.

    Geometry first, then colour, then what a file goes through on its way.
    """
    crop = _random_square(crop, spec, rng)
    if spec.flip and rng.random() < 0.5:
        crop = crop[:, ::-1]
    if spec.colour > 0:
        crop = _colour(crop, spec.colour, rng)
    return np.ascontiguousarray(draw(spec.quality, rng).apply(np.ascontiguousarray(crop)))


def _random_square(crop: Picture, spec: AugmentSpec, rng: np.random.Generator) -> Picture:
    """A square of a random side at a random place, resized to the side that it was."""
    size = crop.shape[0]
    side = max(1, round(size * rng.uniform(1 - spec.crop, 1 + spec.widen)))
    if side == size:
        return crop
    room = max(0, side - size)
    wide = cv2.copyMakeBorder(crop, room, room, room, room, cv2.BORDER_REFLECT_101) if room else crop
    top, left = rng.integers(0, room + 1 if room else size - side + 1, size=2)
    square = wide[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size, size), interpolation=how), dtype=np.uint8)


def _colour(crop: Picture, strength: float, rng: np.random.Generator) -> Picture:
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, size=3)
    pixels: NDArray[np.float32] = crop.astype(np.float32) * brightness
    pixels = (pixels - pixels.mean()) * contrast + pixels.mean()
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = grey[..., None] + (pixels - grey[..., None]) * saturation
    return np.clip(pixels, 0, 255).astype(np.uint8)
