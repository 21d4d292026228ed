"""How good a file is as evidence: what its encoding and its pixels tell, measured in a few milliseconds.

Every measure is a closed formula with its source and its limits. Two constants of `detail_of` were fitted, and it says
on what; nothing was trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import InputError
from verisight.data.faces import Face
from verisight.data.media import LIMITS, Limits, Media
from verisight.data.quality import Picture
from verisight.scan.encoding import Encoding, encoding_of
from verisight.scan.verdict import Quality

Grey = NDArray[np.float32]

_FACES = 4  # per file whose detail is measured
_WINDOW_PX = 320  # of a face, around its middle, at most
_PICTURES = 2  # per file that are tested for the raster of a screen


def measure_quality(
    path: Path,
    media: Media,
    *,
    pictures: Sequence[Picture],
    faces: Sequence[Sequence[Face]],
    limits: Limits = LIMITS,
) -> Quality:
    """What a file that was looked at is made of.

    path : the file, opened once more for its headers; no pixel is decoded.
    media : the same file as it was opened.
    pictures : some of those that were looked at, (H, W, 3) uint8 RGB, upright. May be none.
    faces : of each picture, those that were scored, the best first.
    limits : with which it was opened.

    Faces are measured in the picture, not on the detector's crops, which were resized and encoded once more. A file
    that has gone or changed in the meantime has the codec `unknown`: what its pixels told still stands.
    """
    if len(pictures) != len(faces):
        raise ValueError(f"{len(pictures)} pictures, but the faces of {len(faces)}")
    try:
        encoding = encoding_of(path, limits=limits)
    except InputError:
        encoding = Encoding("unknown")
    seen = [(picture, face) for picture, found in zip(pictures, faces, strict=True) for face in found]
    first = [(picture, found[0]) for picture, found in zip(pictures, faces, strict=True) if found]
    details = [detail_of(face_window(*pair)) for pair in (first if len(first) > 1 else seen)[:_FACES]]
    known = [detail for detail in details if detail is not None]
    rasters = [p for p in map(screen_p, islice(pictures, _PICTURES)) if p is not None]
    return Quality(
        **encoding._asdict(),
        width=media.width,
        height=media.height,
        duration_s=None if media.duration_s is None else round(media.duration_s, 3),
        face_px=round(float(np.median([face.size_px for _, face in seen])), 1) if seen else None,
        detail=round(float(np.median(known)), 3) if known else None,
        screen=max(rasters, default=None),  # what shows in one picture of two may be a shirt
        monochrome=all(map(is_monochrome, pictures)) if pictures else None,
    )


# --- detail -----------------------------------------------------------------------------------------------------

_REBLUR_PX = 1.5  # s1 of `detail_of`
_EDGES = 60  # of a face: brows, lids, lips, nostrils, outline
_EDGE_LEVELS = 1.0  # slope in grey levels per pixel after the second blur, below which there is no edge to speak of
_OWN_VAR_PX2 = 0.46  # variance of a face's own edges and of the difference of neighbours, in pixels squared
_PIXEL_VAR_PX2 = 0.20  # variance of the blur that one pixel of the content brings with it, in its own pixels squared


def face_window(picture: Picture, face: Face) -> Picture:
    """The middle of a face as it stands in the picture, not resized, at most 320 px a side; may be empty."""
    height, width = picture.shape[:2]
    x, y, w, h = face.box
    if not all(map(math.isfinite, face.box)):
        return picture[:0, :0]
    half_w, half_h = (min(1.25 * side, _WINDOW_PX) / 2 for side in (w, h))
    left, right = (int(np.clip(x + w / 2 + step, 0, width)) for step in (-half_w, half_w))
    top, bottom = (int(np.clip(y + h / 2 + step, 0, height)) for step in (-half_h, half_h))
    return picture[top:bottom, left:right]


def detail_of(face: Picture) -> float | None:
    """Effective resolution of a face: the share 0..1 of its pixels that its content needs; None without clear edges.

    face : (H, W, 3) uint8 RGB, as large as it stands in the picture.

    An edge of blur s (pixels) has the slope R = sqrt(s^2 + s1^2) / s times that which it has after another blur of s1,
    so s = s1 / sqrt(R^2 - 1) (Zhuo, Sim, "Defocus map estimation from a single image", 2011, eq. 5). R is the upper
    quartile over the 60 clearest edges. Of a picture that was enlarged from the share d, s^2 = a + b / d^2, where a is
    the width of what a face has for edges and b that of one pixel of the small picture; both were set once, on 29 faces
    (24 photographs and generated ones, the astronaut, 4 synthetic ones) at d = 1 and 1/2, JPEG 90.

    On those faces it falls with d = 1, 1/2, 1/3, 1/4 in 231 of 232 runs (enlarged linearly or bicubically; lossless,
    JPEG 90, 70, 50), its means there are 0.88, 0.51, 0.37, 0.30, and JPEG 90 to 50 moves it by at most 0.2, mostly by
    less than 0.08. Of a single face it is a coarse measure (standard deviation 0.13 at d = 1): lenses, make-up and
    smooth skin count as loss, too. A spectrum's cut-off tells 1/2 from 1 better in lossless pictures, but JPEG fills
    it up: at quality 70 it saw almost nothing.
    """
    if min(face.shape[:2]) < 16:
        return None
    grey = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY).astype(np.float32)
    sharp, soft = _slope(grey), _slope(cv2.GaussianBlur(grey, (0, 0), _REBLUR_PX))
    peaks = (soft >= cv2.dilate(soft, np.ones((3, 3), np.uint8))) & (soft > _EDGE_LEVELS)
    sharp, soft = sharp[peaks], soft[peaks]
    if len(soft) < 5:
        return None
    clearest = np.argsort(soft)[-_EDGES:]
    ratio = float(np.quantile(sharp[clearest] / soft[clearest], 0.75))
    blur_var = _REBLUR_PX**2 / max(ratio**2 - 1, 1e-6)
    return min(1.0, math.sqrt(_PIXEL_VAR_PX2 / max(blur_var - _OWN_VAR_PX2, _PIXEL_VAR_PX2)))


def _slope(grey: Grey) -> Grey:
    """Size of the gradient by central differences, 3 px from the border inwards."""
    x = (grey[3:-3, 4:-2] - grey[3:-3, 2:-4]) / 2
    y = (grey[4:-2, 3:-3] - grey[2:-4, 3:-3]) / 2
    return np.hypot(x, y)


# --- screen -----------------------------------------------------------------------------------------------------

_MOST_PX = 384  # of a picture, around its middle
_CAP = 8.0  # what a tile may say at most: no pattern of a few tiles can carry the picture
_LOWEST = 0.1  # cycles per pixel


def screen_p(picture: Picture) -> float | None:
    """How likely a picture of no screen has a pattern as regular as this one: 0..1; small where a raster shows.

    picture : (H, W, 3) uint8 RGB; None where a side is under 128 px.

    The middle is cut into tiles. In every tile, a bin of the periodogram over the median around it, times ln 2, is an
    Exp(1) draw wherever the picture is noise of a smooth spectrum. Capped at 8 and added over K tiles it is at most a
    Gamma(K), so that the highest of N bins has p <= N * Q(K, sum): the null is a formula. A raster stands in all tiles,
    a striped collar in some. Not looked at: long waves, the axes and the multiples of 1/8 cycles per pixel, where
    JPEG blocks, resizing and the up-sampling of generators leave peaks of their own.

    Measured at p < 1e-4. Detected, of synthetic screens (stripes of R, G and B under a black grid, turned by 1 to 15
    degrees, blurred, noise of 2 levels, JPEG 90): at 1.4 to 3 camera pixels per screen pixel all of 64 pictures of 384
    and 512 px, 97 % of 32 of 256 px and 84 % of 32 of 160 px; at 0.8 to 1.1 half of the large and a tenth of the small.
    False alarms: one of 1500 face crops of 160 px, none of 146 frames of 14 clips, none of synthetic faces and the
    astronaut at JPEG 30 to 95; but brick walls and printed pages are periodic and do alarm. A screen that stands
    straight, or whose pixels the camera does not resolve, passes. No screen but simulated ones was tested.
    """
    shown = min(_MOST_PX, *picture.shape[:2])
    if shown < 128:
        return None

    power = _periodograms(picture, 128 if shown >= 256 else 64)
    kept = _free_bins(power.shape[1])
    # The median filter wants bytes: sixths of an octave, from 1e-3 of a level squared on.
    octaves = np.log2(power + 1e-3)
    coarse = np.clip((octaves + 10) * 6, 0, 255).astype(np.uint8)
    around = np.stack([cv2.medianBlur(tile, 9)[kept] for tile in coarse])
    ratio = np.exp2(octaves[:, kept] - ((around + np.float32(0.5)) / 6 - 10))
    highest = float(np.minimum(math.log(2) * ratio, _CAP).sum(axis=0).max())
    tail = math.exp(-highest) * sum(highest**i / math.factorial(i) for i in range(len(power)))  # Q(K, x), K whole
    return float(min(1.0, kept.sum() * tail))


def _periodograms(picture: Picture, tile: int) -> NDArray[np.float32]:
    """(K, T, T / 2 + 1) of the tiles around the middle, under Hann windows."""
    height, width = picture.shape[:2]
    rows, columns = (min(side, _MOST_PX) // tile for side in (height, width))
    top, left = (height - rows * tile) // 2, (width - columns * tile) // 2
    middle = np.ascontiguousarray(picture[top : top + rows * tile, left : left + columns * tile])
    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32)
    tiles = grey.reshape(rows, tile, columns, tile).swapaxes(1, 2).reshape(-1, tile, tile)
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * _window(tile)
    return np.asarray(np.abs(np.fft.rfft2(tiles)) ** 2, dtype=np.float32)


@cache
def _window(tile: int) -> NDArray[np.float32]:
    return np.outer(np.hanning(tile), np.hanning(tile)).astype(np.float32)


@cache
def _free_bins(tile: int) -> NDArray[np.bool_]:
    """(T, T / 2 + 1) where only a raster has a reason to peak."""
    v, u = np.fft.fftfreq(tile)[:, None], np.fft.rfftfreq(tile)[None]
    wide, near = 2.5 / tile, 1.5 / tile
    inside = [(np.abs(f) > wide) & (np.abs(f) < 0.5 - wide) for f in (u, v)]
    on_blocks = [np.abs(8 * f - np.rint(8 * f)) < 8 * near for f in (u, v)]
    return np.asarray((np.hypot(u, v) > _LOWEST) & inside[0] & inside[1] & ~(on_blocks[0] & on_blocks[1]))


# --- colour -----------------------------------------------------------------------------------------------------

_COLOUR_LEVELS = 2.0  # mean deviation of Cr and Cb from their medians that JPEG leaves in a grey picture, and more


def is_monochrome(picture: Picture) -> bool:
    """Whether a picture has one tint, grey or another, all over."""
    step = max(1, max(picture.shape[:2]) // 128)
    small = np.ascontiguousarray(picture[::step, ::step])
    if small.size == 0:
        return False
    chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:].reshape(-1, 2).astype(np.float32)
    return bool((np.abs(chroma - np.median(chroma, axis=0)).mean(axis=0) < _COLOUR_LEVELS).all())
