"""From crops to the tensor that a detector takes. The value itself is `verisight.core.preprocess.Preprocess`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verisight.core.preprocess import Preprocess


def normalise(crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float32, (x / 255 - mean) / std per channel."""
    mean = np.asarray(preprocess.mean, np.float32) * 255
    std = np.asarray(preprocess.std, np.float32) * 255
    scaled = (np.asarray(crops, dtype=np.float32) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
