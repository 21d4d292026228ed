"""Forgeries made on the spot, for demos, tutorials and tests. Everything made here is to be called synthetic."""

from __future__ import annotations

import cv2
import numpy as np

from verisight.data.faces import Face
from verisight.data.quality import Picture


def blended_forgery(picture: Picture, face: Face) -> Picture:
    """The picture with another version of its own face blended in.

    The inner face is mirrored, shrunk to two fifths and enlarged again, shifted in colour, and blended over a soft
    ellipse in the face box: the traces of a face swap (soft inner face, seam, colour step) without a second person.

    picture : (H, W, 3) uint8 RGB. face : of that picture.
    """
    x, y, w, h = (round(v) for v in face.box)
    height, width = picture.shape[:2]
    left, top, right, bottom = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
    inner = picture[top:bottom, left:right]
    size = (inner.shape[1], inner.shape[0])
    small = cv2.resize(
        inner[:, ::-1], (max(2, size[0] * 2 // 5), max(2, size[1] * 2 // 5)), interpolation=cv2.INTER_AREA
    )
    other = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    other = np.clip(other * np.array([1.06, 0.98, 0.92], np.float32) + 4, 0, 255)

    mask = np.zeros(inner.shape[:2], np.float32)
    cv2.ellipse(mask, (size[0] // 2, size[1] * 11 // 20), (size[0] * 2 // 5, size[1] * 2 // 5), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), max(1.0, size[0] / 25))[..., None]
    forged = picture.copy()
    forged[top:bottom, left:right] = np.round(inner * (1 - mask) + other * mask).astype(np.uint8)
    return forged
