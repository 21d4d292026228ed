"""Traces in pictures: camera and software tags, marks that generators leave, and how a JPEG was written."""

from __future__ import annotations

import html
import io
import re
from functools import cache
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verisight.scan.provenance.containers import Parts, jpeg, note_exif
from verisight.scan.provenance.exif import Exif
from verisight.scan.provenance.words import Traces, moment, plain, quoted, tool_kind

_SPEAKER = "Its metadata, which are not signed, say"
_SHAPE_TOLERANCE = 0.04  # of an aspect ratio: a thumbnail of 160 pixels is rounded by some per cent
_MOST_AVIF = 2**27  # bytes: Pillow reads it whole
_MOST_THUMBNAIL = 512  # pixels a side
_BAR = 24  # grey level, in the mean over a bar: JPEG blurs its edge
_A1111 = re.compile(r"\bSteps: \d+, .{0,200}?\bSampler: ", re.DOTALL)
_MODEL = re.compile(r"\bModel: ([^,\n]{1,80})")
_MIDJOURNEY = re.compile(r"\bJob ID: [0-9a-f]{8}-[0-9a-f]{4}-")
_COMFY = re.compile(r'"class_type"\s*:|"last_node_id"\s*:')
_AIGC = re.compile(r"""AIGC["']?\s*[:=>]""")


def picture_traces(file: BinaryIO, name: str, parts: Parts, traces: Traces) -> None:
    """Note what a picture says, from its parts. file : the open picture. name : of its format."""
    if name == "AVIF":
        _avif_parts(file, parts)
    _texts(parts.texts, traces)
    _exif(parts.exif, traces)
    xmp_traces(parts.xmp, traces)
    _iptc(parts.iptc, traces)
    if name == "JPEG":
        _jpeg(parts, traces)


def _avif_parts(file: BinaryIO, parts: Parts) -> None:
    """Its metadata are items that lie anywhere; Pillow knows where."""
    if file.seek(0, io.SEEK_END) > _MOST_AVIF:
        return
    file.seek(0)
    with Image.open(file, formats=["AVIF"]) as image:
        if exif := image.info.get("exif"):
            note_exif(io.BytesIO(exif.removeprefix(b"Exif\0\0")), parts)
        parts.xmp = parts.xmp or image.info.get("xmp", b"")


def _exif(exif: Exif, traces: Traces) -> None:
    for raw in (exif.comment[8:], exif.description, exif.make, exif.model):
        settings(_comment(raw), traces)
    make, model = plain(exif.make, 40), plain(exif.model, 40)
    if make.startswith(("{", "prompt:", "workflow:")) or model.startswith(("{", "prompt:", "workflow:")):
        make = model = ""  # where ComfyUI keeps its workflow in a WebP
    camera = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    if camera:
        traces.made_with.append(f"camera: {camera}")
    traces.software(plain(exif.software))
    traces.taken = traces.taken or moment(exif.taken, exif.taken_offset)


def _comment(raw: bytes) -> str:
    """A user comment: EXIF names UCS-2 `UNICODE` and leaves its byte order to the reader."""
    if raw[:64:2].count(0) > 8:
        return raw.decode("utf-16-be", "replace")
    return raw.decode("utf-16-le" if raw[1:64:2].count(0) > 8 else "utf-8", "replace")


def _texts(texts: list[tuple[str, str]], traces: Traces) -> None:
    """Text chunks of a PNG. Of prompts nothing is shown: they are the maker's own words."""
    for keyword, text in texts:
        if keyword in ("parameters", "Description", "Comment", "prompt", "workflow", "UserComment"):
            settings(text, traces)
        elif keyword in ("invokeai_metadata", "sd-metadata", "Dream", "invokeai_graph"):
            traces.urgent.append("Settings of the image generator InvokeAI are stored in the file.")
        elif keyword in ("fooocus_scheme", "sui_image_params"):
            traces.urgent.append("Settings of a Stable Diffusion program are stored in the file.")
        elif keyword == "AIGC":
            _aigc(f"AIGC: {text}", traces)
        elif keyword == "Software":
            traces.software(plain(text))
        elif keyword in ("Title", "Source") and (kind := tool_kind(text[:200])):
            traces.urgent.append(f"Its metadata name {kind}: {quoted(plain(text))}.")
        if keyword == "Title" and text.lower().startswith("ai generated"):
            traces.urgent.append(f"{_SPEAKER} that it was made by generative AI.")


def settings(text: str, traces: Traces) -> None:
    """What image generators write in the clear, wherever they write it."""
    if _A1111.search(text):
        model = _MODEL.search(text)
        named = f" (model {quoted(plain(model[1], 40))})" if model else ""
        traces.urgent.append(f"Stable Diffusion settings are stored in the file{named}.")
    if _COMFY.search(text):
        traces.urgent.append("A workflow of the image generator ComfyUI is stored in the file.")
    if _MIDJOURNEY.search(text):
        traces.urgent.append("A job number of the image generator Midjourney is stored in the file.")
    _aigc(text, traces)


def _aigc(text: str, traces: Traces) -> None:
    """The label that Chinese services must write into generated media (GB 45438-2025)."""
    if _AIGC.search(text):
        traces.urgent.append("It carries the label AIGC, with which Chinese services mark what AI has generated.")


def xmp_traces(raw: bytes, traces: Traces) -> None:
    """Fields of XMP. It is searched, not parsed: an XML parser on a stranger's text is a risk for five fields."""
    text = raw.decode("utf-8", "replace")
    for code in _xmp_values(text, "DigitalSourceType"):
        traces.source(code, speaker=_SPEAKER)
    if any(tool_kind(credit) for credit in _xmp_values(text, "photoshop:Credit")):  # else it is a name: not shown
        traces.urgent.append(f"{_SPEAKER} in their credit line that AI was used.")
    _aigc(text, traces)
    settings("\n".join(_xmp_values(text, "dc:description")), traces)
    for tag in ("CreatorTool", "softwareAgent"):
        for name in list(dict.fromkeys(_xmp_values(text, tag)))[:4]:
            traces.software(plain(name))
    for when in _xmp_values(text, "DateTimeOriginal"):
        traces.taken = traces.taken or moment(when)
    if traces.c2pa == "absent" and any("://" in url for url in _xmp_values(text, "dcterms:provenance")):
        traces.claims.append("It names a C2PA manifest that is kept elsewhere; that was not fetched.")


def _xmp_values(text: str, tag: str) -> list[str]:
    """What stands in a tag or attribute, whatever its prefix unless `tag` has one; at most eight."""
    name = tag if ":" in tag else rf"[\w.-]{{1,20}}:{tag}"
    pattern = (
        rf"""<{name}(?:\s[^<>]{{0,200}})?>([^<]{{1,2000}})</|\s{name}\s{{0,9}}=\s{{0,9}}["']([^"'<]{{1,2000}})["']"""
    )
    found = re.finditer(pattern, text)
    return [html.unescape(hit[1] or hit[2]).strip() for hit, _ in zip(found, range(8), strict=False)]


def _iptc(raw: bytes, traces: Traces) -> None:
    """IPTC-IIM: the program (2:65), and the note (2:40) that Facebook and Instagram write on what they have recoded."""
    if program := re.search(rb"\x1c\x02\x41\x00([\x01-\x40])", raw):
        traces.software(plain(raw[program.end() : program.end() + program[1][0]]))
    if re.search(rb"\x1c\x02\x28..FBMD", raw, re.DOTALL):
        traces.made_with.append("processed by: Facebook or Instagram (their mark FBMD)")


def _jpeg(parts: Parts, traces: Traces) -> None:
    """How a JPEG was written, and where its parts do not fit each other. Observations, each with innocent reasons."""
    for maker in parts.makers:
        traces.software(maker)
    if 0 in parts.tables:
        quality = standard_quality(parts.tables)
        traces.made_with.append(
            "JPEG tables: of their own, as of cameras and photo editors"
            if quality is None
            else f"JPEG tables: the standard ones at quality {quality}, as of most software"
        )
    if parts.progressive:
        traces.made_with.append("JPEG scan: progressive, as for the web")
    if parts.size and parts.exif.size and sorted(parts.exif.size) != sorted(parts.size):
        traces.made_with.append(
            f"size: {_by(parts.size)} pixels, but {_by(parts.exif.size)} when it was taken: scaled or cropped since"
        )
    if parts.size and parts.exif.thumbnail and (small := _thumbnail(parts.exif.thumbnail)) is not None:
        aspect = parts.size[0] / max(1, parts.size[1])
        if not (_shows_all(small, aspect) or _shows_all(small, 1 / max(aspect, 1e-9))):  # some software turns only one
            shape = _by((small.shape[1], small.shape[0]))
            traces.made_with.append(
                f"thumbnail: {shape}, another shape than the picture ({_by(parts.size)}): perhaps cropped since"
            )


def standard_quality(tables: dict[int, tuple[int, ...]]) -> int | None:
    """The quality 1..100 at which libjpeg writes these tables, the highest if there are several; None if it never does.

    tables : by number, in zigzag order; 0 is that of brightness, 1 that of colour where there is one.
    """
    colour = tables.get(1)
    for quality in range(100, 0, -1):
        standard = _standard_tables(quality)
        if tables.get(0) == standard[0] and colour in (None, standard[1]):
            return quality
    return None


@cache
def _standard_tables(quality: int) -> dict[int, tuple[int, ...]]:
    """The tables of one quality. libjpeg itself is asked."""
    written, parts = io.BytesIO(), Parts()
    Image.new("RGB", (8, 8)).save(written, "JPEG", quality=quality)
    written.seek(0)
    jpeg(written, parts)
    return parts.tables


def _thumbnail(raw: bytes) -> NDArray[np.uint8] | None:
    """The grey levels (H, W) of a JPEG thumbnail; None for one that is no thumbnail."""
    with Image.open(io.BytesIO(raw), formats=["JPEG"]) as image:
        if not 32 <= min(image.size) <= max(image.size) <= _MOST_THUMBNAIL:
            return None
        return np.asarray(image.convert("L"))


def _shows_all(small: NDArray[np.uint8], aspect: float) -> bool:
    """Whether a thumbnail may show a whole picture of this aspect: all of it does, or what is left of two black bars,
    which cameras add to make it 4:3."""
    height, width = small.shape
    if abs(aspect * height / width - 1) <= _SHAPE_TOLERANCE:
        return True
    lines = small if aspect > width / height else small.T
    inner = width / aspect if aspect > width / height else height * aspect
    bar = int((len(lines) - inner) / 2)
    return bar < 2 or max(float(lines[:bar].mean()), float(lines[-bar:].mean())) < _BAR


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
