"""Up-sampling traces in a real face: pseudo-fakes for generators that draw whole pictures.

Decoders of GANs, of diffusion models and of autoencoders enlarge a small picture of features several times, each time
by zeros (or copies) between the pixels and a learnt filter. The phases of such a filter do not weigh alike, so that
spectral copies stay at fixed frequencies (Zhang, Karaman, Chang, WIFS 2019; Frank et al., ICML 2020). What an uneven
filter k does more than the even one k_0 = [1 3 3 1] x [1 3 3 1] / 64 is added to a real face x:

    y = x + U_k(d(x)) - U_k0(d(x)),    U_k(z) = 4 k * (z with zeros between)

d reduces by 2; or by 4, and then the trace is enlarged once more by the even filter.

Nothing is lost on the way, so neither blur nor sharpness tells y from x: only the trace does.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.data.quality import Picture

Array = NDArray[np.float32]

EVEN = (
    np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
)  # sums to 1; so does each of its four phases, times 4
UNEVEN = (0.02, 0.15)  # standard deviation of a filter's weights, relative to the even ones
LARGER = (1.0, 1.6)  # side of what a generator drew over the side of its crop


def upsampled(picture: Picture, rng: np.random.Generator) -> Picture:
    """A pseudo-fake (H, W, 3) uint8 RGB of a real face of the same size, sides at least 8.

    The trace arises at a random larger size, with filters of random unevenness and their own for each channel.
    """
    height, width = picture.shape[:2]
    larger = rng.uniform(*LARGER)
    halves = int(rng.integers(1, 3))
    step = 2**halves
    size = (max(1, round(width * larger / step)), max(1, round(height * larger / step)))
    small = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    uneven = np.exp(rng.uniform(*np.log(UNEVEN)))
    made = trace(small, uneven, rng)
    for _ in range(halves - 1):  # the next filters are even: they carry the trace to the full size
        made = enlarged(made, [EVEN] * 3)
    how = cv2.INTER_AREA if made.shape[0] > height else cv2.INTER_LINEAR
    added = cv2.resize(made, (width, height), interpolation=how)
    return np.asarray(np.clip(np.rint(picture + added), 0, 255), dtype=np.uint8)


def trace(picture: Array, uneven: float, rng: np.random.Generator) -> Array:
    """(H, W, 3) -> (2H, 2W, 3): what filters of relative unevenness `uneven` do more than the even one; 0 for 0."""
    kernels = []
    for _ in range(3):
        kernel = EVEN * (1 + uneven * rng.standard_normal((4, 4)))
        kernels.append(kernel / kernel.sum())
    return enlarged(picture, kernels) - enlarged(picture, [EVEN] * 3)


def enlarged(picture: Array, kernels: list[NDArray[np.floating]]) -> Array:
    """(H, W, 3) -> (2H, 2W, 3): zeros between the pixels, then a filter (4, 4) that sums to 1 for each channel."""
    height, width = picture.shape[:2]
    spaced = np.zeros((2 * height, 2 * width, 3), np.float32)
    spaced[::2, ::2] = picture
    padded = cv2.copyMakeBorder(spaced, 4, 4, 4, 4, cv2.BORDER_REFLECT_101)  # even: the zeros stay in step
    planes = [
        cv2.filter2D(np.ascontiguousarray(padded[..., c]), cv2.CV_32F, 4 * kernel, anchor=(1, 1))
        for c, kernel in enumerate(kernels)
    ]
    return np.stack(planes, axis=-1)[4:-4, 4:-4]
