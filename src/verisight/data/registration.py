"""Do two versions of a picture show the same, pixel by pixel?

Training on pairs compares features place by place: a frame too late, or a pixel to the left, costs more than the
compression does (a shift of one pixel in ADD's frequency loss: three times a blur).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from verisight.core.errors import DataError
from verisight.data.quality import Picture

MOST_PX = 0.5  # median shift
LEAST_SHARE = 0.95  # of frames that are nearest to their own version, not to a neighbour's
MARGIN_DB = 0.5  # by which the neighbour has to be nearer: frames of a still scene are all alike


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of one size, a common brightness aside; infinite where equal."""
    difference = a.astype(np.float32) - b.astype(np.float32)
    error = float(difference.var(axis=(0, 1)).mean())
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def shift_px(a: Picture, b: Picture) -> float:
    """How far one picture is moved against the other, by phase correlation under a Hann window."""
    grey = [cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (a, b)]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(grey[0], grey[1], window)
    return float(np.hypot(x, y))


def require_registered(first: Sequence[Picture], second: Sequence[Picture], what: str) -> None:
    """Neighbouring frames at two qualities.

    what : the two qualities, for the message.

    Raises
    ------
    DataError : they are moved against each other, or in another order.
    """
    moved = float(np.median([shift_px(a, b) for a, b in zip(first, second, strict=True)]))
    if moved > MOST_PX:
        reason = f"crops are moved by {moved:.1f} px against each other, at most {MOST_PX} is allowed"
        raise DataError(what, reason, "cut every quality by the same boxes: verisight prepare --quality A --quality B")
    own = np.array([psnr(a, b) for a, b in zip(first, second, strict=True)])
    other = np.full(len(own), -np.inf)
    for step in (-1, 1):  # the frame before, and the one after
        for i in range(max(0, -step), len(own) - max(0, step)):
            other[i] = max(other[i], psnr(first[i], second[i + step]))
    astray = float(np.mean(other > own + MARGIN_DB))
    if astray > 1 - LEAST_SHARE:
        raise DataError(
            what, f"{astray:.0%} of the frames are nearer to a neighbour's version", "put both in one order"
        )
