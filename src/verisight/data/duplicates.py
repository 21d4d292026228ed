"""Which files show the same picture: exact copies by content, near ones by a difference hash and a second look.

A picture (of a clip: the ones at one, three and five sixths of its length) becomes 256 bits and a small grey copy. The
bits say, for each of 16 x 16 places of the picture shrunk to 17 x 16, whether it gets brighter to the right. Two
pictures are near-duplicates when at most MAX_BITS of the 256 differ *and* their grey copies correlate by at least
MIN_CORRELATION. A flat picture (grey deviation below MIN_CONTRAST) has no hash: everything flat looks alike.

What the limits do: among the 13 million pairs of 5,085 CIFAR-10 pictures they call none alike; of 30 synthetic faces
they know every one again after JPEG at quality 30, at half the size, and brighter by a tenth; after a crop of 3 % on
every side they do not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import InputError
from verisight.core.progress import track
from verisight.data.decode.sniff import sniff
from verisight.data.media import open_media
from verisight.data.quality import Picture

MAX_BITS = 40  # of 256; unrelated pictures differ in about 128, a JPEG of quality 30 in a handful, seldom in 40
MIN_CORRELATION = 0.97
MIN_CONTRAST = 4.0  # levels of 255
GREY_SIDE = 24
AT_ONCE = 2**15  # candidates whose grey copies are compared together: some hundred megabytes

Bits = NDArray[np.uint64]  # (N, 4)
Grey = NDArray[np.uint8]  # (N, GREY_SIDE ** 2)


@dataclass(frozen=True)
class Seen:
    """What reading a file once told.

    fault : why it cannot be read; "" when it can. digest : SHA-256 of its content. format : by content, not by name.
    width, height : pixels, upright. bytes : of the file. bits : (K, 4) uint64 and grey : (K, 576) uint8 of its K
    pictures that are not flat.
    """

    fault: str = ""
    digest: bytes = b""
    format: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    bits: Bits | None = None
    grey: Grey | None = None


def look_at(paths: Sequence[Path]) -> list[Seen]:
    """Read, hash and decode every file once, on all cores; a file that cannot be read says why."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(track(pool.map(_look, paths), "looking at files", total=len(paths)))


def _look(path: Path) -> Seen:
    try:
        media = open_media(path, frames=3)  # first: it refuses what is no regular file
        pictures = [frame.rgb for frame in media]
        with open(path, "rb") as file:
            _, name = sniff(path, file.read(4096))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            size = os.fstat(file.fileno()).st_size
    except InputError as error:
        return Seen(fault=error.reason)
    except OSError as error:
        return Seen(fault=error.strerror or "cannot be read")
    greys = [grey for grey in map(_grey, pictures) if grey.std() >= MIN_CONTRAST]
    bits = np.stack([difference_hash(g) for g in greys]) if greys else np.empty((0, 4), np.uint64)
    small = [np.round(_shrink(g, GREY_SIDE, GREY_SIDE)).astype(np.uint8).reshape(-1) for g in greys]
    return Seen("", digest, name, media.width, media.height, size, bits, np.reshape(small, (-1, GREY_SIDE**2)))


def _grey(picture: Picture) -> NDArray[np.float32]:
    """Grey levels at no more than 256 px: all that the hash needs."""
    scale = min(1.0, 256 / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _shrink(grey: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))


def difference_hash(grey: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(4,) uint64: 256 bits of a grey picture (H, W). Shifting and stretching its levels changes none of them."""
    small = _shrink(grey, 17, 16)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


def close_pairs(
    first: tuple[Bits, Grey], second: tuple[Bits, Grey], title: str = "comparing"
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Index pairs (i, j), block by block, of the near-duplicates among `first` and `second`.

    Every pair is compared: exact, and at 10^9 pairs in some seconds, because XOR and bit counts are all it takes.
    """
    rows, columns = 512, 4096  # a block's distances stay in the cache
    starts = range(0, len(first[0]), rows)
    for top in track(starts, title, total=len(starts)):
        a = first[0][top : top + rows]
        for left in range(0, len(second[0]), columns):
            b = second[0][left : left + columns]
            distance = np.zeros((len(a), len(b)), np.uint16)
            for word in range(4):
                distance += np.bitwise_count(a[:, word, None] ^ b[None, :, word])
            i, j = np.nonzero(distance <= MAX_BITS)
            for part in range(0, len(i), AT_ONCE):
                near_i, near_j = i[part : part + AT_ONCE] + top, j[part : part + AT_ONCE] + left
                alike = correlation(first[1][near_i], second[1][near_j]) >= MIN_CORRELATION
                if alike.any():
                    yield near_i[alike], near_j[alike]


def correlation(a: Grey, b: Grey) -> NDArray[np.float64]:
    """(N,) Pearson correlation of the rows of two tables."""
    x, y = (rows.astype(np.float64) - rows.mean(axis=1, keepdims=True) for rows in (a, b))
    return np.asarray((x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1)).clip(1e-12))
