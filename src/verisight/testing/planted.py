"""The synthetic problem that methods are tried on: shaded skin, and a forgery in the middle of half of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest

SIZE = 32
PAIRS = 48
SKIN = np.array([190, 140, 110])  # RGB
STEP = 24  # of 255
EYES_NOSE_MOUTH = np.array([[11, 12], [21, 12], [16, 17], [12, 22], [20, 22]], np.float32)  # where a face has them


def planted_forgeries(seed: int) -> tuple[CropSet, Manifest]:
    """PAIRS originals and as many forgeries of them, (SIZE, SIZE) pixels; other seeds give other pictures.

    An original is a skin tone, softly shaded, with the noise of a sensor: what is blended into it shows. Its forgery is
    the same picture with the rows of the inner half made lighter and darker in turn, so that its mean colour says
    nothing. Rows have a person, a pair, one of two generators and one of two sources, as those of a real set would.
    """
    rng = np.random.default_rng((seed, SIZE))
    coarse = (SKIN + rng.integers(-8, 8, (PAIRS, 4, 4, 3))).astype(np.float32)
    shaded = np.stack([cv2.resize(each, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for each in coarse])
    real = shaded + rng.integers(-12, 13, shaded.shape)
    fake = real.copy()
    inner = slice(SIZE // 4, 3 * SIZE // 4)
    fake[:, inner, inner][:, ::2] += STEP
    fake[:, inner, inner][:, 1::2] -= STEP
    names = [f"{i:02d}" for i in range(PAIRS)]
    columns: dict[str, Sequence[Any]] = {
        "path": [f"{label}/{name}.png" for label in ("real", "fake") for name in names],
        "label": [0] * PAIRS + [1] * PAIRS,
        "group": names * 2,
        "subject": names * 2,
        "donor": [""] * PAIRS + names[1:] + names[:1],
        "pair": names * 2,
        "generator": ["real"] * PAIRS + [f"swap{i % 2}" for i in range(PAIRS)],
        "source": [f"camera{i % 2}" for i in range(PAIRS)] + [""] * PAIRS,
    }
    rows = 2 * PAIRS
    crops = CropSet(
        images=np.concatenate([real, fake]).clip(0, 255).astype(np.uint8),
        row=np.arange(rows),
        time_s=np.zeros(rows),
        landmarks=np.tile(EYES_NOSE_MOUTH, (rows, 1, 1)),
        skipped=(),
    )
    return crops, Manifest.from_columns(columns, Path("planted"))
