"""The one place where files are decoded. A stranger's file is hostile until it is read.

A file is what its content says, never what its name says. Sizes are checked in the header before pixels are decoded.
Nothing that a file names (playlist entries, external tracks, URLs) is ever opened.
"""

from __future__ import annotations

from pathlib import Path

from verisight.core.frames import FramePolicy, sample_times
from verisight.data.decode.clips import open_clip
from verisight.data.decode.files import LIMITS, Frame, Limits, Media, refusing, regular
from verisight.data.decode.pictures import open_picture
from verisight.data.decode.sniff import sniff

__all__ = ["LIMITS", "Frame", "Limits", "Media", "open_media", "sample_times"]


def open_media(path: Path, *, frames: int | str = 16, limits: Limits = LIMITS) -> Media:
    """Open a picture or a clip, whatever its name says.

    frames : pictures wanted from a clip: a number, for those on show at `sample_times`, each once; or another rule of
        `verisight.core.frames`. With `clip:LxK` a frame of two overlapping clips comes twice, in time order as ever.
        Of an animated or multi-page picture only the first is read.

    Pictures: JPEG, PNG, WebP, TIFF, BMP, GIF, and AVIF where Pillow reads it. EXIF orientation is applied,
    transparency is put on white, colour profiles are ignored, deeper pixels are scaled to 8 bit (`pictures.to_rgb`).
    Clips: MP4, MOV, 3GP, Matroska, WebM, AVI, MPEG-TS, MPEG-PS, FLV, Ogg, ASF. The display rotation is applied in
    quarter turns; the pixel aspect ratio is ignored and interlaced frames stay woven (a face finder minds neither).

    Raises
    ------
    InputError : not a regular file, unreadable, past a limit, nothing that Verisight reads, or broken.
    RecipeError : no such rule for frames.
    """
    policy = FramePolicy.parse(frames)
    with refusing(path, "a broken file"), regular(path, limits) as file:
        head = file.read(4096)
        kind, name = sniff(path, head)
    return open_picture(path, name, limits) if kind == "image" else open_clip(path, name, policy, limits)
