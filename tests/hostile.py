"""Files that a stranger might send: broken, lying, huge, mislabelled, and sound but odd ones.

Everything is made on the spot from gradients and noise; the same seed gives the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, features
from samples import Samples, clip, encode, playlists, png, png_chunk, sound

Expect = Literal["fails", "reads", "either"]
Content = bytes | Callable[[Path], Any]  # what stands in the file, or what makes something that is no plain file
Case = tuple[str, Content, Expect]  # file name, content, expectation

NOWHERE = "http://127.0.0.1:9/never.mp4"  # the discard port


@dataclass(frozen=True)
class Hostile:
    """path : the file. expect : `fails` with an InputError, `reads`, or `either`. name : short, unique, printable."""

    path: Path
    expect: Expect
    name: str


def hostile_files(folder: Path, seed: int = 0) -> list[Hostile]:
    """Fill an empty folder with hostile files (more than 240) and say what is to be expected of each."""
    samples = Samples(seed)
    groups = (
        *(_sound_pictures, _sound_clips, _odd_names, _truncated, _damaged, _headers, _bombs, _lying),
        *(_silent_or_short, _foreign, _playlists, _polyglots, _special),
    )
    made: list[Hostile] = []
    for group in groups:
        below = folder / group.__name__.strip("_")
        below.mkdir(parents=True)
        for name, content, expect in group(samples):
            path = below / name
            if callable(content):
                content(path)
            else:
                path.write_bytes(content)
            shown = "".join(c if c.isprintable() and c.isascii() else "?" for c in name)
            shown = shown if len(shown) < 60 else f"{shown[:20]}...{shown[-10:]}"
            made.append(Hostile(path, expect, f"{below.name}/{shown}"))
    return made


# ---- sound files, many of them odd


def _sound_pictures(s: Samples) -> Iterator[Case]:
    image = Image.fromarray(s.rgb)
    grey = image.convert("L")
    deep = Image.fromarray((np.asarray(grey).astype(np.uint16)) * 257)
    for extension, content in s.pictures.items():
        yield f"good.{extension}", content, "reads"
        yield f"named-wrong-{extension}.mp4", content, "reads"
        yield f"without-extension-{extension}", content, "reads"
        format = {"jpg": "JPEG"}.get(extension, extension.upper())
        yield f"one-pixel.{extension}", encode(Image.new("RGB", (1, 1), "red"), format), "reads"
        yield f"faceless.{extension}", encode(Image.new("RGB", (90, 70), "teal"), format), "reads"
        yield f"thin.{extension}", encode(Image.new("RGB", (1, 900), "teal"), format), "reads"
    modes = {
        "rgba.png": image.convert("RGBA"),
        "la.png": image.convert("LA"),
        "palette.png": image.convert("P"),
        "one-bit.png": image.convert("1"),
        "grey.png": grey,
        "grey16.png": deep,
        "grey16.tiff": deep,
        "float.tiff": Image.fromarray(np.asarray(grey, np.float32) / 255),
        "float-nan.tiff": Image.fromarray(np.full((9, 9), np.nan, np.float32)),
        "int32.tiff": Image.fromarray(np.asarray(grey, np.int32) * 70000),
        "cmyk.jpg": image.convert("CMYK"),
        "cmyk.tiff": image.convert("CMYK"),
        "ycbcr.jpg": image.convert("YCbCr"),
        "one-bit.tiff": image.convert("1"),
        "one-bit.bmp": image.convert("1"),
        "rgba.webp": image.convert("RGBA"),
        "rgba.tiff": image.convert("RGBA"),
    }
    formats = {"jpg": "JPEG"}
    for name, picture in modes.items():
        extension = name.rpartition(".")[2]
        yield f"mode-{name}", encode(picture, formats.get(extension, extension.upper())), "reads"
    yield "progressive.jpg", encode(image, "JPEG", progressive=True), "reads"
    yield "lossless.webp", encode(image, "WEBP", lossless=True), "reads"
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield f"{compression}.tiff", encode(image, "TIFF", compression=compression), "reads"
    yield "transparent-colour.png", encode(image, "PNG", transparency=(0, 0, 0)), "reads"
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        pages = encode(image, format, save_all=True, append_images=[Image.fromarray(s.rgb[::-1])] * 2)
        yield f"animated.{format.lower()}", pages, "reads"
    for orientation in range(9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation-{orientation}.jpg", encode(image, "JPEG", exif=exif), "reads"
    yield "broken-exif.jpg", encode(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + s.noise(40)), "reads"
    if features.check("avif"):
        yield "good.avif", encode(image, "AVIF", max_threads=1), "reads"


def _sound_clips(s: Samples) -> Iterator[Case]:
    for extension, content in s.clips.items():
        yield f"good.{extension}", content, "reads"
        yield f"named-wrong-{extension}.jpg", content, "reads"
    yield "good.flv", clip("flv", "flv"), "reads"
    yield "good.wmv", clip("asf", "wmv2"), "reads"
    yield "good.ogv", clip("ogg", "libvpx"), "reads"
    yield "good.mpg", clip("vob", "mpeg2video"), "reads"
    yield "good.3gp", clip("3gp", "mpeg4"), "reads"
    yield "vp9.webm", clip("webm", "libvpx-vp9"), "reads"
    yield "motion-jpeg.avi", clip("avi", "mjpeg", pix_fmt="yuvj420p"), "reads"
    yield "lossless.mkv", clip("matroska", "ffv1", pix_fmt="yuv420p"), "reads"
    yield "ten-bit.mp4", clip("mp4", "libx264", pix_fmt="yuv420p10le"), "reads"
    yield "odd-size.mp4", clip("mp4", "libx264", size=(63, 47), pix_fmt="yuv444p"), "reads"
    yield "one-pixel.mkv", clip("matroska", "ffv1", size=(1, 1), pix_fmt="yuv444p"), "reads"
    yield "interlaced.ts", clip("mpegts", "mpeg2video", options={"flags": "+ildct+ilme"}), "reads"
    yield "faststart.mp4", clip("mp4", "libx264", movflags="faststart"), "reads"
    for degrees in (90, 180, -90):
        yield f"rotated-{degrees}.mp4", clip("mp4", "libx264", rotation=degrees), "reads"
    uneven = [0, 10, 20, 500, 510, 900, 2000, 2040]
    for extension, container in {"mp4": "mp4", "mkv": "matroska"}.items():
        yield f"uneven-rate.{extension}", clip(container, "libx264", frames=8, times=uneven), "reads"


def _odd_names(s: Samples) -> Iterator[Case]:
    names = ("-rf", "line\nbreak", "tab\t", "gesicht-ä-面-🙂", "%03d", "concat:a|b", "http:x", "quote'\"", "x" * 240)
    for name in names:
        yield f"{name}.jpg", s.pictures["jpg"], "reads"
        yield f"{name}.mp4", s.clips["mp4"], "reads"
    yield "two\nlines\nand broken.png", s.pictures["png"][:50], "fails"
    yield os.fsdecode(b"not-utf8-\xff.jpg"), s.pictures["jpg"], "reads"
    yield os.fsdecode(b"not-utf8-\xff-broken.jpg"), s.pictures["jpg"][:50], "fails"


# ---- broken files


def _truncated(s: Samples) -> Iterator[Case]:
    for extension, content in s.all.items():
        for percent in (5, 20, 40, 50, 60, 75, 90, 99):
            certain = extension in (*s.pictures, "mp4", "mov")  # an index at the end is lost with it
            expect: Expect = "fails" if certain and percent <= 90 else "either"
            yield f"{percent}-percent.{extension}", content[: len(content) * percent // 100], expect
        yield f"last-byte-lost.{extension}", content[:-1], "either"


def _damaged(s: Samples) -> Iterator[Case]:
    packed = {"group4": Image.fromarray(s.rgb).convert("1"), "tiff_lzw": Image.fromarray(s.rgb)}
    packed |= {"tiff_deflate": packed["tiff_lzw"], "jpeg": packed["tiff_lzw"]}
    tiffs = {f"{name}.tiff": encode(image, "TIFF", compression=name) for name, image in packed.items()}
    for extension, content in (s.all | tiffs).items():
        for i in range(6):
            flipped = bytearray(content)
            for place in s.rng.integers(0, len(content), 1 + 4 * i):
                flipped[place] ^= 1 << int(s.rng.integers(8))
            yield f"flips-{i}.{extension}", bytes(flipped), "either"
        third = len(content) // 3
        yield f"zeroed-middle.{extension}", content[:third] + bytes(third) + content[2 * third :], "either"
        yield f"noisy-middle.{extension}", content[:third] + s.noise(third) + content[2 * third :], "either"
        yield f"missing-middle.{extension}", content[:third] + content[2 * third :], "either"


def _headers(s: Samples) -> Iterator[Case]:
    """A good start with nothing, or noise, behind it."""
    for extension, content in s.all.items():
        for count in (4, 12, 32):
            yield f"first-{count}.{extension}", content[:count], "fails"
        magic = content[: 14 if extension in ("bmp", "avi", "webp") else 8]
        yield f"magic-and-noise.{extension}", magic + s.noise(3000), "fails"
        yield f"magic-and-zeros.{extension}", magic + bytes(3000), "fails"
    packets = b"".join(b"\x47" + s.noise(187) for _ in range(40))
    yield "noise-in-packets.ts", packets, "fails"


def tiff(tags: dict[int, int], tail: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory of 32-bit values."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + tail


def _bombs(s: Samples) -> Iterator[Case]:
    """Headers that ask for gigabytes, some with the data to match."""
    zeros = zlib.compress(bytes(30_000 // 8 * 29_000 + 29_000), 1)  # 110 MB in 0.5 MB; 870 million one-bit pixels
    yield "one-bit-30000.png", png(30_000, 29_000, zeros, depth=1, colour=0), "fails"
    yield "header-100000.png", png(100_000, 100_000, zlib.compress(bytes(100))), "fails"
    yield "header-maximum.png", png(2**31 - 1, 2**31 - 1, zlib.compress(bytes(100))), "fails"
    yield "long-and-thin.png", png(50_000_000, 1, zlib.compress(bytes(100))), "fails"
    text = b"bomb\0\0" + zlib.compress(bytes(50_000_000), 1)
    yield "text.png", png(2, 2, zlib.compress(bytes(14)), extra=png_chunk(b"zTXt", text)), "either"
    jpeg = s.pictures["jpg"]
    size = jpeg.index(b"\xff\xc0") + 5
    yield "header.jpg", jpeg[:size] + struct.pack(">HH", 65500, 65500) + jpeg[size + 4 :], "fails"
    for side in (60_000, 2**31 - 1):
        bmp = s.pictures["bmp"]
        yield f"header-{side}.bmp", bmp[:18] + struct.pack("<ii", side, side) + bmp[26:], "fails"
    gif = s.pictures["gif"]
    yield "screen.gif", gif[:6] + struct.pack("<HH", 65535, 65535) + gif[10:], "fails"
    frame = gif.index(b",", 13 + 3 * 256) + 5
    yield "frame-larger-than-screen.gif", gif[:frame] + struct.pack("<HH", 65535, 65535) + gif[frame + 4 :], "fails"
    basic = {258: 8, 259: 1, 262: 1, 277: 1}
    sides = {256: 100_000, 257: 100_000, 273: 8, 278: 100_000, 279: 10**9}
    yield "header.tiff", tiff(basic | sides, bytes(100)), "fails"
    tiles = {256: 16, 257: 16, 322: 2**20, 323: 2**20, 324: 8, 325: 100}
    yield "tile.tiff", tiff(basic | tiles | {259: 8}, bytes(100)), "fails"
    yield "rows-per-strip.tiff", tiff(basic | {256: 16, 257: 16, 273: 8, 278: 2**31, 279: 2**31}, bytes(10)), "fails"
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16383).to_bytes(3, "little") * 2
    yield "canvas.webp", b"RIFF" + struct.pack("<I", 200) + b"WEBP" + canvas + s.pictures["webp"][12:], "fails"
    webp = s.pictures["webp"]
    yield "vp8.webp", webp[:26] + struct.pack("<HH", 16383, 16383) + webp[30:], "fails"
    lossless = encode(Image.fromarray(s.rgb), "WEBP", lossless=True)
    yield "vp8l.webp", lossless[:21] + b"\xff\xff\xff\x0f" + lossless[25:], "fails"
    raw = clip("avi", "rawvideo", frames=2, size=(16, 16), pix_fmt="bgr24")
    place = raw.index(b"strf") + 12
    yield "raw.avi", raw[:place] + struct.pack("<ii", 60_000, 60_000) + raw[place + 8 :], "fails"
    mp4 = s.clips["mp4"]
    place = mp4.index(b"avc1", mp4.index(b"stsd")) + 28
    yield "sample-entry.mp4", mp4[:place] + b"\xff\xff\xff\xff" + mp4[place + 4 :], "either"


def _lying(s: Samples) -> Iterator[Case]:
    """Lengths, offsets and clocks that are not true."""
    image, jpeg = s.pictures, s.pictures["jpg"]
    yield "chunk-length.png", image["png"][:33] + b"\x7f\xff\xff\xff" + image["png"][37:], "either"
    yield "no-checksum.png", image["png"][:29] + bytes(4) + image["png"][33:], "fails"
    yield "too-little-data.png", png(64, 64, zlib.compress(bytes(900))), "fails"
    yield "segment-of-0.jpg", jpeg[:4] + b"\0\0" + jpeg[6:], "either"
    yield "segment-of-65535.jpg", jpeg[:4] + b"\xff\xff" + jpeg[6:], "fails"
    yield "early-end.jpg", jpeg[: len(jpeg) // 2] + b"\xff\xd9", "fails"
    yield "pixels-behind-end.bmp", image["bmp"][:10] + b"\xff\xff\xff\x7f" + image["bmp"][14:], "fails"
    yield "negative-width.bmp", image["bmp"][:18] + struct.pack("<i", -80) + image["bmp"][22:], "fails"
    yield "directory-behind-end.tiff", b"II*\0\xff\xff\xff\x7f" + bytes(90), "fails"
    yield "directory-in-a-circle.tiff", tiff({256: 1})[:-4] + struct.pack("<I", 8), "fails"
    yield "no-pixels.png", png(0, 10, b""), "fails"
    for extension in ("webp", "avi"):
        content = s.all[extension]
        yield f"riff-length-0.{extension}", content[:4] + bytes(4) + content[8:], "either"
        yield f"riff-length-huge.{extension}", content[:4] + b"\xff\xff\xff\xff" + content[8:], "either"
    for extension in ("mp4", "mov"):
        content = s.clips[extension]
        for box, offset in {
            "mdat": -4,
            "moov": -4,
            "stsz": 8,
            "stco": 4,
            "stts": 4,
            "mdhd": 12,
            "mvhd": 12,
            "tkhd": 4,
        }.items():
            place = content.index(box.encode()) + (4 + offset if offset > 0 else offset)
            for label, word in {"0": bytes(4), "1": b"\0\0\0\1", "huge": b"\xff\xff\xff\xff"}.items():
                yield f"{box}-{label}.{extension}", content[:place] + word + content[place + 4 :], "either"
    mkv = s.clips["mkv"]
    for label, tag in {
        "segment": b"\x18\x53\x80\x67",
        "cluster": b"\x1f\x43\xb6\x75",
        "scale": b"\x2a\xd7\xb1",
    }.items():
        place = mkv.index(tag) + len(tag)
        yield f"{label}-length.mkv", mkv[:place] + b"\x01\xff\xff\xff\xff\xff\xff\xfe" + mkv[place + 8 :], "either"


# ---- files that are something else


def _silent_or_short(s: Samples) -> Iterator[Case]:
    """Clips of one frame, of none, and sound without pictures."""
    one = {"mp4": ("mp4", "libx264"), "mov": ("mov", "libx264"), "mkv": ("matroska", "libx264")}
    one |= {"webm": ("webm", "libvpx"), "avi": ("avi", "mpeg4"), "ts": ("mpegts", "libx264")}
    for extension, (container, codec) in one.items():
        yield f"one-frame.{extension}", clip(container, codec, frames=1), "reads"
        yield f"no-frame.{extension}", clip(container, codec, frames=0), "fails"
    audio = {"wav": "pcm_s16le", "mp3": "libmp3lame", "flac": "flac", "ogg": "libopus", "mov": "aac", "matroska": "aac"}
    audio |= {"avi": "pcm_s16le", "mpegts": "aac", "ipod": "aac", "adts": "aac", "asf": "pcm_s16le", "flv": "aac"}
    for container, codec in audio.items():
        content = sound(container, codec)
        yield f"sound-{container}.mp4", content, "fails"
        yield f"sound-{container}.jpg", content, "fails"


def _foreign(s: Samples) -> Iterator[Case]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("a.jpg"), s.pictures["jpg"])
    contents = {
        "zip": archive.getvalue(),
        "gzip": b"\x1f\x8b\x08" + bytes(7) + s.noise(200),
        "tar": b"a.jpg" + bytes(252) + b"ustar" + bytes(300) + s.pictures["jpg"],
        "pickle": pickle.dumps({"weights": list(range(100))}, protocol=4),
        "pdf": b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n%%EOF",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{NOWHERE}"/></svg>'.encode(),
        "xml-svg": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/hosts">]><svg>&x;</svg>',
        "html": b"<!DOCTYPE html><html><body>Not found</body></html>",
        "json": json.dumps({"error": "not found"}).encode(),
        "python": b"import os\nos.abort()\n",
        "shell": b"#!/bin/sh\nexit 1\n",
        "elf": b"\x7fELF" + s.noise(400),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%true) (r) file\n",
        "text": b"BMW is a car, not a bitmap.\n",
        "numpy": b"\x93NUMPY\x01\x00" + s.noise(200),
        "noise": b"\x00" + s.noise(5000),
        "zeros": bytes(5000),
        "blanks": b"\n" * 5000,
    }
    for what, content in contents.items():
        yield f"{what}.jpg", content, "fails"
        yield f"{what}.mp4", content, "fails"


def _playlists(s: Samples) -> Iterator[Case]:
    for kind, content in playlists("good.mp4", NOWHERE).items():
        yield f"list.{kind}", content, "fails"
        yield f"{kind}.mp4", content, "fails"
        yield f"{kind}.png", content, "fails"


def _polyglots(s: Samples) -> Iterator[Case]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("run.py"), "raise SystemExit")
    for extension in ("jpg", "png", "gif", "webp", "bmp", "mp4"):
        yield f"and-zip.{extension}", s.all[extension] + archive.getvalue(), "reads"
    yield "zip-and.jpg", archive.getvalue() + s.pictures["jpg"], "fails"
    yield "script.gif", b"GIF89a/*" + s.noise(50) + b"*/=1;alert(1)", "fails"
    yield "png-and-clip.mp4", s.pictures["png"] + s.clips["mp4"], "reads"
    yield "pdf-and.jpg", b"%PDF-1.4\n" + s.pictures["jpg"], "fails"
    yield "two-pictures.jpg", s.pictures["jpg"] * 2, "reads"


def _special(s: Samples) -> Iterator[Case]:
    def link(target: str) -> Callable[[Path], None]:
        return lambda path: path.symlink_to(target)

    def unreadable(path: Path) -> None:
        path.write_bytes(s.pictures["jpg"])
        path.chmod(0)

    for extension in ("jpg", "png", "mp4", "mkv"):
        yield f"empty.{extension}", b"", "fails"
        yield f"folder.{extension}", Path.mkdir, "fails"
    yield "pipe.mp4", os.mkfifo, "fails"
    yield "socket.mp4", lambda path: os.mknod(path, 0o600 | stat.S_IFSOCK), "fails"
    yield "zeros.jpg", link("/dev/zero"), "fails"
    yield "null.jpg", link("/dev/null"), "fails"
    yield "link-to-nothing.jpg", link("nothing.jpg"), "fails"
    yield "link-to-itself.jpg", link("link-to-itself.jpg"), "fails"
    yield "link-to-folder.jpg", link("folder.jpg"), "fails"
    yield "link-to-good.jpg", link("../sound_pictures/good.jpg"), "reads"
    yield "unreadable.jpg", unreadable, "either"  # root may read it
    yield "never-made.jpg", lambda path: None, "fails"
