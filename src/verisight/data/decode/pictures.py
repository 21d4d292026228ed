"""Pictures through Pillow: one named plugin, the size checked before the pixels, any mode to upright RGB."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, _imaging

from verisight.core.errors import InputError
from verisight.data.decode.files import DECODER_FAULTS, Frame, Limits, Media, Picture, check_size, refusing, regular

# libav is silent under PyAV unless somebody asks for its log. Pillow warns and logs about oddities of a file; those
# that matter are errors here, the others must not reach the terminal of a scan over a million files.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(OSError, AttributeError):  # libtiff writes to the terminal by itself, in any thread
    _libtiff = ctypes.CDLL(_imaging.__file__)  # a handle finds what its library links to
    for _setter in (_libtiff.TIFFSetErrorHandler, _libtiff.TIFFSetWarningHandler):
        _setter.argtypes, _setter.restype = [ctypes.c_void_p], ctypes.c_void_p
        _setter(None)
_TURNS = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(path: Path, name: str, limits: Limits) -> Media:
    with _picture(path, name, limits) as image:
        width, height = image.size
        # Pillow gives TIFF sizes upright and turns the pixels itself.
        size = (height, width) if name != "TIFF" and _orientation(image) >= 5 else (width, height)
    return Media("image", size, None, partial(_read_picture, path, name, limits))


@contextlib.contextmanager
def _picture(path: Path, name: str, limits: Limits) -> Iterator[Image.Image]:
    """The picture with its header read and checked, and no pixel decoded."""
    with refusing(path, f"a broken {name} picture"), regular(path, limits) as file:
        if os.fstat(file.fileno()).st_size > 8 * limits.max_pixels + 2**20:  # WebP is read whole before it is looked at
            raise InputError(path, f"a {name} picture with more bytes than {limits.max_pixels} pixels can need")
        if name == "WEBP":  # libwebp makes room for the canvas as soon as it is opened
            check_size(path, *_webp_size(file), limits)
        with Image.open(file, formats=[name]) as image:
            check_size(path, *image.size, limits)
            if name == "TIFF":  # a tile is decoded whole, however little of it shows
                tags: Any = image.tag_v2  # type: ignore[attr-defined]
                check_size(path, tags.get(322, 1), tags.get(323, 1), limits)
            yield image


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height that a WebP header states (RFC 9649, sections 2.5 to 2.7)."""
    file.seek(0)
    head = file.read(30)
    file.seek(0)
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _read_picture(path: Path, name: str, limits: Limits, notes: list[str]) -> Iterator[Frame]:
    with _picture(path, name, limits) as image:
        image.load()
        if name == "JPEG" and _grey_corner(image) and _cut_short(path, limits):
            raise InputError(path, "a broken JPEG picture (its data end early)")
        turn = _TURNS.get(_orientation(image))
        rgb = to_rgb(image if turn is None else image.transpose(turn))
        if image.format != "MPO" and _has_second(image):  # MPO: a phone's JPEG with its own preview behind it
            notes.append("several pages: first picture only" if name == "TIFF" else "animated: first picture only")
    yield Frame(rgb, None)


def _grey_corner(image: Image.Image) -> bool:
    """Whether the last pixels are of the grey with which libjpeg fills what it was not given, without a word."""
    width, height = image.size
    corner = image.crop((max(0, width - 8), max(0, height - 8), width, height)).convert("RGB")
    return all(127 <= value <= 129 for value in np.asarray(corner).reshape(-1))


def _cut_short(path: Path, limits: Limits) -> bool:
    """Whether a JPEG with an end mark holds less data than its size needs. FFmpeg, told to be strict, notices."""
    strict = av.CodecContext.create("mjpeg", "r")
    strict.options = {"err_detect": "explode", "max_pixels": str(limits.max_pixels)}
    with regular(path, limits) as file:
        packet = av.Packet(file.read())
    try:
        strict.decode(packet)
    except av.error.InvalidDataError:
        return True
    except av.error.FFmpegError:  # a kind of JPEG that FFmpeg does not know
        return False
    return False


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where the block is absent or broken, as every viewer has it."""
    try:
        value = image.getexif().get(0x0112, 1)
    except DECODER_FAULTS:
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _has_second(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except DECODER_FAULTS:  # the first picture is whole; what follows it is not looked at
        return False
    return True


def to_rgb(image: Image.Image) -> Picture:
    """Any Pillow mode as (H, W, 3) uint8 RGB, read-only; transparency is put on white, colour profiles are ignored."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return np.repeat(
            _grey8(np.asarray(image), sixteen=image.mode != "F" and image.mode != "I")[..., None], 3, axis=2
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def _grey8(grey: NDArray[Any], *, sixteen: bool) -> NDArray[np.uint8]:
    """Deep grey (H, W) to 8 bit. 16-bit pixels keep their full scale (65535 is white).

    32-bit integers and floats do not state theirs; it is the smallest of 1 (floats only), 255 and 65535 that holds
    the brightest pixel, else that pixel. Negative and NaN are black.
    """
    values = np.nan_to_num(np.asarray(grey, dtype=np.float32), nan=0.0, posinf=np.inf, neginf=0.0)
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    scales = [1.0, 255.0, 65535.0] if grey.dtype.kind == "f" else [255.0, 65535.0]
    scale = 65535.0 if sixteen else next((s for s in scales if top <= s), top)
    return np.asarray(np.clip(values * np.float32(255.0 / scale), 0, 255).round(), dtype=np.uint8)
