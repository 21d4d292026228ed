"""The one place where files are decoded. A stranger's file is hostile until it is read.

A file is what its content says, never what its name says. Limits are checked before pixels are decoded. Nothing that a
file names (playlist entries, external tracks, URLs) is ever opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import InputError, one_line
from verisight.core.value import Value

Picture = NDArray[np.uint8]  # (H, W, 3) RGB, upright


class Limits(Value):
    """What a file may ask of the decoder; whatever asks for more is refused by name.

    max_bytes : size of the file. max_side, max_pixels : of one picture.
    max_seconds : duration of a clip. max_frames : pictures decoded from one clip, wanted or passed over.
    """

    max_bytes: int = 8 * 2**30
    max_side: int = 30_000
    max_pixels: int = 120_000_000
    max_seconds: float = 6 * 3600
    max_frames: int = 60_000


LIMITS = Limits()


@dataclass(frozen=True)
class Frame:
    """One picture. rgb : (H, W, 3) uint8, upright. time_s : seconds from the start of the clip; None for a picture."""

    rgb: Picture
    time_s: float | None


class Media:
    """An opened picture or clip. Iterating decodes, one frame at a time; it can be done again.

    kind : what it is. notes : one-line remarks, filled while iterating ("stops early: 13 of 16 pictures read").
    """

    def __init__(
        self, path: Path, kind: Literal["image", "video"], wanted: int, container: str, limits: Limits
    ) -> None:
        self.path, self.kind, self.notes = path, kind, list[str]()
        self._wanted, self._container, self._limits = wanted, container, limits

    def __iter__(self) -> Iterator[Frame]:
        self.notes.clear()
        with _refusing(self.path):
            if self.kind == "image":
                yield Frame(_read_picture(self.path, self._container, self._limits, self.notes), None)
                return
        clip = _read_clip(self.path, self._container, self._wanted, self._limits, self.notes)
        while True:  # the consumer's errors are not the file's: only the decoder runs under `_refusing`
            with _refusing(self.path):
                frame = next(clip, None)
            if frame is None:
                return
            yield frame


def open_media(path: Path, *, frames: int = 16, limits: Limits = LIMITS) -> Media:
    """Look at a file and say what it is.

    frames : pictures wanted from a clip, at the middles of as many equal stretches of it.

    Raises
    ------
    InputError : not a regular file, empty, too large, or nothing that Verisight reads. Iterating raises it too, when
        the content turns out broken.
    """
    with _refusing(path):
        size = _regular_size(path)
        if size > limits.max_bytes:
            raise InputError(path, f"{size} bytes, over the limit of {limits.max_bytes}")
        with open(path, "rb") as file:
            head = file.read(4096)
    kind, container = sniff(head, path)
    return Media(path, kind, frames, container, limits)


# --- what is it
# ---------------------------------------------------------------------------------------------------------

_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_CLIPS: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (b"\x00\x00\x01\xba", "mpeg"),
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"#EXTM3U", "a playlist; what it names is never opened"),
    (b"ffconcat", "a playlist; what it names is never opened"),
    (b"[playlist]", "a playlist; what it names is never opened"),
    (b"<?xml", "an XML file (playlist, SVG or manifest), not a picture or clip"),
    (b"<svg", "an SVG drawing, not a picture or clip"),
    (b"<MPD", "a playlist; what it names is never opened"),
    (b"v=0", "a stream description; what it names is never opened"),
    (b"%PDF", "a PDF document, not a picture or clip"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"Rar!", "an archive; unpack it first"),
    (b"7z\xbc\xaf", "an archive; unpack it first"),
    (b"ID3", "a sound file: there is no picture in it"),
    (b"fLaC", "a sound file: there is no picture in it"),
)


def sniff(head: bytes, path: Path) -> tuple[Literal["image", "video"], str]:
    """Kind and format from the first bytes.

    Raises
    ------
    InputError : nothing that Verisight reads; says what it is when that is known.
    """
    for magic, name in _PICTURES:
        if head.startswith(magic):
            return "image", name
    for magic, name in _CLIPS:
        if head.startswith(magic):
            return "video", name
    if head[:4] == b"RIFF":
        if head[8:12] == b"WEBP":
            return "image", "WEBP"
        if head[8:12] == b"AVI ":
            return "video", "avi"
        raise InputError(path, "a RIFF file that is neither WebP nor AVI")
    if head[4:8] in _MP4_BOXES:
        if head[8:12] in (b"avif", b"avis"):
            return "image", "AVIF"
        if head[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
            raise InputError(path, "a HEIC picture, which is not read", "convert it to JPEG or PNG")
        return "video", "mov"
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return "video", "mpegts"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, what in _REFUSED:
        if text[: len(magic)].lower() == magic.lower():
            raise InputError(path, what)
    raise InputError(path, "not a picture or clip that Verisight reads (judged by content, not by name)")


def _regular_size(path: Path) -> int:
    """Size of a regular file; anything else is refused before it is opened, so that a pipe cannot hang."""
    mode = os.stat(path)
    if stat.S_ISDIR(mode.st_mode):
        raise InputError(path, "a folder, not a file")
    if not stat.S_ISREG(mode.st_mode):
        raise InputError(path, "not a regular file (a pipe, socket or device)")
    if mode.st_size == 0:
        raise InputError(path, "an empty file")
    return mode.st_size


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever a decoder throws at a bad file becomes one InputError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(path, "no such file") from error
    except PermissionError as error:
        raise InputError(path, "may not be read (permission denied)") from error
    except MemoryError as error:
        raise InputError(path, "asks for more memory than there is") from error
    except Exception as error:  # Pillow and FFmpeg throw a dozen types (SyntaxError and struct.error among them)
        raise InputError(path, f"cannot be decoded ({one_line(error) or type(error).__name__})") from error


def _check_size(path: Path, width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise InputError(path, f"has no pixels ({width} x {height})")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise InputError(
            path, f"{width} x {height} pixels, over the limit of {limits.max_pixels} pixels or {limits.max_side} a side"
        )


# --- pictures
# -----------------------------------------------------------------------------------------------------------


def _read_picture(path: Path, format: str, limits: Limits, notes: list[str]) -> Picture:
    from PIL import Image, ImageOps

    with open(path, "rb") as file, Image.open(file, formats=[format]) as image:
        _check_size(path, *image.size, limits)  # from the header: nothing is decoded yet
        if getattr(image, "n_frames", 1) > 1:
            notes.append("holds several pictures: only the first is judged")
            image.seek(0)
        image.load()
        upright = ImageOps.exif_transpose(image)
        return _to_rgb(upright)


def _to_rgb(image: Any) -> Picture:
    """Any Pillow mode to RGB, 8 bit. Transparency is put on white; 16-bit and float greys are scaled to their range."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.float64)
        finite = grey[np.isfinite(grey)]
        top = finite.max() if finite.size else 0.0
        # 16 bit uses its full scale, 0..255 stays as it is; floats in 0..1 and wider ranges are scaled by their
        # largest.
        scale = 65535.0 if image.mode != "F" and 255 < top <= 65535 else (top if top > 255 or 0 < top <= 1 else 255.0)
        eight = np.clip(np.nan_to_num(grey) / scale * 255, 0, 255).round().astype(np.uint8)
        return np.ascontiguousarray(np.repeat(eight[..., None], 3, axis=2))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.array(image.convert("RGB"), dtype=np.uint8)


# --- clips
# --------------------------------------------------------------------------------------------------------------

# Forced by what was sniffed, so that FFmpeg cannot take a file for a playlist; with an empty protocol list it cannot
# open anything by name either (the file itself comes through a Python file object).
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0", "use_absolute_path": "0"}
_SEEK_FROM_S = 4.0  # sampling points farther apart than this are reached by seeking to the key frame before


def sample_times(duration_s: float, frames: int) -> list[float]:
    """The middles of `frames` equal stretches of a clip: (i + 1/2) duration / frames."""
    return [(i + 0.5) * duration_s / frames for i in range(frames)]


def _read_clip(path: Path, format: str, wanted: int, limits: Limits, notes: list[str]) -> Iterator[Frame]:
    """The frames shown at the sampling times, in order, each once."""
    with open(path, "rb") as file, _container(file, format) as container:
        if not container.streams.video:
            raise InputError(path, "holds no moving picture (sound only?)")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        _check_size(path, stream.codec_context.width, stream.codec_context.height, limits)
        duration_s, expected = _duration(container, stream)
        if duration_s > limits.max_seconds:
            raise InputError(path, f"{duration_s:.0f} s long, over the limit of {limits.max_seconds:.0f} s")
        shown = 0
        for picture, time_s in _sampled(container, stream, duration_s, expected, wanted, limits):
            shown += 1
            yield Frame(_upright(path, picture, limits), time_s)
        if shown == 0:
            raise InputError(path, "not one picture of the clip can be decoded")
        if shown < min(wanted, expected or wanted):
            notes.append(f"stops early or is damaged: {shown} of {min(wanted, expected or wanted)} pictures read")


@contextlib.contextmanager
def _container(file: BinaryIO, format: str) -> Iterator[Any]:
    import av
    import av.logging

    av.logging.set_level(av.logging.PANIC)
    with av.open(file, "r", format=format, options=_OPTIONS, metadata_errors="replace") as container:
        yield container


def _duration(container: Any, stream: Any) -> tuple[float, int]:
    """Seconds (0 when unknown) and number of frames (0 when unknown), as the file states them."""
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / 1_000_000
    else:
        seconds = 0.0
    rate = float(stream.average_rate or 0)
    return max(0.0, seconds), int(stream.frames or round(seconds * rate))


def _sampled(
    container: Any, stream: Any, duration_s: float, expected: int, wanted: int, limits: Limits
) -> Iterator[tuple[Any, float]]:
    """Decoded frames with their times. Long clips are sought; short ones, and those of unknown length, read through."""
    if duration_s <= 0 or 0 < expected <= wanted:
        yield from _every(container, stream, wanted, limits)
        return
    start_s = float((stream.start_time or 0) * stream.time_base)
    targets = sample_times(duration_s, wanted)
    seeking = duration_s / wanted > _SEEK_FROM_S
    decoded = _decode(container, stream, limits)
    current: tuple[Any, float] | None = None
    following = next(decoded, None)
    for target_s in targets:
        if seeking:
            container.seek(int((target_s + start_s) / stream.time_base), stream=stream, backward=True)
            decoded = _decode(container, stream, limits)
            current, following = None, next(decoded, None)
        moved = False
        while following is not None and (following[1] - start_s <= target_s + 1e-6 or (current is None and not moved)):
            current, following, moved = following, next(decoded, None), True
        if moved and current is not None:  # else the frame on show is one that was given out already
            yield current[0], max(0.0, current[1] - start_s)
        if following is None and not seeking:
            return


def _every(container: Any, stream: Any, wanted: int, limits: Limits) -> Iterator[tuple[Any, float]]:
    """All frames of a short clip; of one whose length nobody states, an even choice that is thinned as it goes on."""
    kept: list[tuple[Any, float]] = []
    stride = 1
    for i, (picture, time_s) in enumerate(_decode(container, stream, limits)):
        if i % stride:
            continue
        kept.append((picture, time_s))
        if len(kept) > 2 * wanted:  # twice too many: keep every second one from here on
            kept, stride = kept[::2], stride * 2
    if len(kept) > wanted:
        kept = [kept[int((i + 0.5) * len(kept) / wanted)] for i in range(wanted)]
    start_s = kept[0][1] if kept else 0.0
    for picture, time_s in kept:
        yield picture, max(0.0, time_s - start_s)


def _decode(container: Any, stream: Any, limits: Limits) -> Iterator[tuple[Any, float]]:
    """Frames from here on with their times in seconds, as the stream counts them; damaged packets are passed over.

    A frame without a timestamp is put one frame interval after the one before.
    """
    import av

    interval_s = 1 / float(stream.average_rate or 25)
    last_s, count, damaged = -interval_s, 0, 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            pictures = packet.decode() if packet is not None else []
        except (av.error.InvalidDataError, av.error.EOFError, ValueError):
            damaged += 1
            if damaged > 1000:
                return
            continue
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        for picture in pictures:
            count += 1
            if count > limits.max_frames:
                return
            last_s = float(picture.time) if picture.time is not None else last_s + interval_s
            yield picture, last_s


def _upright(path: Path, picture: Any, limits: Limits) -> Picture:
    """RGB with the display rotation applied. The pixel aspect ratio is ignored: a face finder does not mind."""
    _check_size(path, picture.width, picture.height, limits)  # a stream may change its size on the way
    rgb = picture.to_ndarray(format="rgb24")
    quarter_turns = round(picture.rotation / 90) % 4  # counter-clockwise, as np.rot90
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns) if quarter_turns else rgb)
