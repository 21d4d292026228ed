"""What a file may ask for, what comes out of it, and which files are opened at all."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from verisight.core.errors import InputError
from verisight.core.value import Value

Kind = Literal["image", "video"]
Picture = NDArray[np.uint8]  # (H, W, 3) RGB, upright


class Limits(Value):
    """What a file may ask of the decoder; whatever asks for more is refused by name.

    max_bytes : size of the file. max_side, max_pixels : of one picture (Pillow stops at 179 million whatever is set).
    max_seconds : duration of a clip. max_frames : decoded in one clip, given out or passed over.
    """

    max_bytes: int = 8 * 2**30
    max_side: int = 30_000
    max_pixels: int = 120_000_000
    max_seconds: float = 6 * 3600
    max_frames: int = 60_000


LIMITS = Limits()


@dataclass(frozen=True)
class Frame:
    """One picture.

    rgb : (H, W, 3) uint8, upright. time_s : seconds from the start of the clip; None for a picture.
    index : its number among the frames of the clip, from 0; None for a picture, and where they were not counted.
    clip : number of the short clip that it belongs to, with the policy `clip:LxK`; else 0.
    """

    rgb: Picture
    time_s: float | None
    index: int | None = None
    clip: int = 0


class Media:
    """An opened picture or clip. Iterating decodes lazily, in time order; it can be done again.

    kind : what it is. width, height : pixels of the (first) picture, upright. duration_s : None for a picture.
    frames : how many a clip holds; None for a picture, and where they were not counted.
    notes : one-line remarks, filled while iterating ("truncated: read 13 of 40 frames").

    Iterating raises InputError when the content turns out broken. No file stays open between iterations.
    """

    def __init__(
        self,
        kind: Kind,
        size: tuple[int, int],
        duration_s: float | None,
        decode: Callable[[list[str]], Iterator[Frame]],
        *,
        at: Callable[[Sequence[float], bool], Iterator[Frame]] | None = None,
        frames: int | None = None,
    ) -> None:
        self.kind, self.duration_s, self.notes, self.frames = kind, duration_s, list[str](), frames
        self.width, self.height = size
        self._decode, self._at = decode, at

    def __iter__(self) -> Iterator[Frame]:
        self.notes.clear()
        yield from self._decode(self.notes)

    def at(self, times_s: Sequence[float], *, nearby: bool = False) -> Iterator[Frame]:
        """Another look at a clip: the frames on show at these times, rising, each once.

        times_s : seconds from the start of the clip, in any order. A frame is on show at its own time.
        nearby : where a time is reached by seeking, the key frame before it does: it costs one frame to decode instead
            of the hundred or more that may lie between two key frames.

        Raises
        ------
        ValueError : of a picture. InputError : while iterating, as from the clip itself.
        """
        if self._at is None:
            raise ValueError("a picture has no times")
        return self._at(times_s, nearby)


# All that Pillow, PyAV and what is below them were seen to throw at hostile files. Anything else is a fault of ours.
DECODER_FAULTS = (
    *(OSError, EOFError, ValueError, TypeError, SyntaxError, LookupError, ArithmeticError, MemoryError, RuntimeError),
    *(struct.error, zlib.error, av.error.FFmpegError),
)


@contextlib.contextmanager
def refusing(path: Path, what: str) -> Iterator[None]:
    """Whatever a decoder throws becomes one InputError that names the file, what it is, and the reason."""
    try:
        yield
    except av.error.FFmpegError as error:  # first: some of its types are Python's own, PermissionError among them
        raise InputError(path, f"{what} ({error.strerror})") from error
    except FileNotFoundError as error:
        reason = "a symbolic link to nothing" if path.is_symlink() else "no such file"
        raise InputError(path, reason) from error
    except PermissionError as error:
        raise InputError(path, "may not be read (permission denied)") from error
    except MemoryError as error:
        raise InputError(path, f"{what} (asks for more memory than there is)") from error
    except Image.DecompressionBombError as error:
        raise InputError(path, f"{what} or a huge one ({error})") from error
    except DECODER_FAULTS as error:
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            detail = "its header cannot be read"
        raise InputError(path, f"{what} ({str(detail)[:200]})") from error


@contextlib.contextmanager
def regular(path: Path, limits: Limits) -> Iterator[BinaryIO]:
    """The file, open for reading, if it is a regular one. A pipe never blocks and a device is never opened."""
    _check_regular(path, os.stat(path), limits)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        _check_regular(path, os.fstat(descriptor), limits)  # again: the name may have changed hands in between
        yield file


def _check_regular(path: Path, facts: os.stat_result, limits: Limits) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise InputError(path, "a folder, not a file")
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(path, "not a regular file (a pipe, socket or device)")
    if facts.st_size == 0:
        raise InputError(path, "an empty file")
    if facts.st_size > limits.max_bytes:
        raise InputError(path, f"{facts.st_size} bytes, over the limit of {limits.max_bytes}")


def check_size(path: Path, width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise InputError(path, f"has no pixels ({width} x {height})")
    if max(width, height) > limits.max_side:
        raise InputError(path, f"{width} x {height} pixels, over the limit of {limits.max_side} a side")
    if width * height > limits.max_pixels:
        raise InputError(path, f"{width} x {height} pixels, over the limit of {limits.max_pixels}")
