"""Where pictures and clips keep what they say of themselves: segments, chunks and boxes, walked by their headers.

Only what is wanted is read. The number of parts and the bytes of each are bounded, so that a walk over any file takes
milliseconds. Sources: ITU-T T.81 annex B, PNG (W3C) clause 5, RFC 9649 (WebP), ISO/IEC 14496-12 clause 4, and the C2PA
specification 2.1, appendix A (where each of them holds a manifest store).
"""

from __future__ import annotations

import contextlib
import io
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from verisight.scan.provenance.exif import Exif, read_exif

MOST_PARTS = 20_000  # segments, chunks or boxes that are passed; a PNG of 120 million pixels may have as many
MOST_BYTES = 2**18  # that are read of one part; XMP and workflows are as large
_MOST_TEXTS = 64
_C2PA_JUMBF = bytes.fromhex("6332706100110010800000AA00389B71")
_C2PA_BOX = bytes.fromhex("D8FEC3D61B0E483C92975828877EC481")
_XMP_BOX = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


@dataclass
class Parts:
    """What was found.

    manifest : a C2PA manifest store is in the file. xmp, iptc : as they stand.
    texts : keyword and text of the text chunks of a PNG, in order.
    tables : quantisation tables of a JPEG by number, 64 values each in zigzag order. size : width and height of a JPEG.
    progressive : of a JPEG. makers : what its segments say of the software that wrote them.
    """

    manifest: bool = False
    exif: Exif = field(default_factory=Exif)
    xmp: bytes = b""
    iptc: bytes = b""
    texts: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    progressive: bool = False
    makers: list[str] = field(default_factory=list)


def find_parts(file: BinaryIO, name: str, parts: Parts) -> None:
    """Walk a file. name : as `sniff` calls its format. What is found before a fault stays in `parts`."""
    walk = {"JPEG": jpeg, "PNG": _png, "WEBP": _riff, "avi": _riff, "GIF": _gif, "AVIF": _boxes, "mov": _boxes}.get(
        name
    )
    file.seek(0)
    if name == "TIFF":
        note_exif(file, parts)
        parts.manifest = parts.exif.manifest
    elif walk:
        walk(file, parts)


def note_exif(stream: BinaryIO, parts: Parts) -> None:
    """The first EXIF block of a file counts, and what it holds of XMP and IPTC, unless they stand beside it."""
    if parts.exif == Exif():
        with contextlib.suppress(ValueError):
            parts.exif = read_exif(stream)
            parts.xmp, parts.iptc = parts.xmp or parts.exif.xmp, parts.iptc or parts.exif.iptc


def jpeg(file: BinaryIO, parts: Parts) -> None:
    """The segments up to the first scan."""
    file.seek(2, io.SEEK_CUR)
    for _ in range(MOST_PARTS):
        lead, code = (file.read(2) + b"\0\0")[:2]
        if lead != 0xFF or code in (0xD9, 0xDA, 0x00):
            return
        if code == 0xFF:  # a fill byte
            file.seek(-1, io.SEEK_CUR)
        elif not (0xD0 <= code <= 0xD7 or code == 0x01):
            length = int.from_bytes(file.read(2), "big") - 2
            end = file.tell() + length
            if length < 0:
                return
            if code == 0xDB:
                _tables(file.read(length), parts)
            elif 0xE0 <= code <= 0xEF:
                _application(code, file, length, parts)
            elif 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
                frame = file.read(5)
                parts.size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
                parts.progressive = code in (0xC2, 0xC6, 0xCA, 0xCE)
            file.seek(end)


def _application(code: int, file: BinaryIO, length: int, parts: Parts) -> None:
    """One APP segment, of which the first bytes say whose it is."""
    start = file.tell()
    head = file.read(min(length, 64))

    def rest(skip: int) -> bytes:
        file.seek(start + skip)
        return file.read(length - skip)

    if code == 0xE1 and head.startswith(b"Exif\0"):
        note_exif(io.BytesIO(rest(6)), parts)
    elif code == 0xE1 and head.startswith(_XMP) and not parts.xmp:
        parts.xmp = rest(len(_XMP))
    elif code == 0xEB and head.startswith(b"JP") and _C2PA_JUMBF in head:
        parts.manifest = True
    elif code == 0xED and head.startswith(b"Photoshop 3.0\0") and not parts.iptc:
        parts.iptc = rest(14)
    elif code == 0xEC and head.startswith(b"Ducky"):
        parts.makers.append("Adobe's 'Save for Web'")
    elif code == 0xEF and b"face_type" in (body := rest(0)) and b"landmarks" in body:  # a pickle: never loaded
        parts.makers.append("DeepFaceLab")


def _tables(body: bytes, parts: Parts) -> None:
    """DQT: four bits of precision, four of number, 64 values; several tables may share a segment."""
    at = 0
    while at < len(body):
        wide, number = 1 + (body[at] >> 4 & 1), body[at] & 15
        values = body[at + 1 : at + 1 + 64 * wide]
        if len(values) < 64 * wide:
            return
        parts.tables[number] = tuple(int.from_bytes(values[i : i + wide], "big") for i in range(0, 64 * wide, wide))
        at += 1 + 64 * wide


def _png(file: BinaryIO, parts: Parts) -> None:
    file.seek(8)
    for _ in range(MOST_PARTS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IEND":
            return
        end = file.tell() + length + 4
        if kind == b"caBX":
            parts.manifest = True
        elif kind == b"eXIf":
            note_exif(io.BytesIO(file.read(min(length, MOST_BYTES))), parts)
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and len(parts.texts) < _MOST_TEXTS:
            _png_text(kind, file.read(min(length, MOST_BYTES)), parts)
        file.seek(end)


def _png_text(kind: bytes, body: bytes, parts: Parts) -> None:
    """A text chunk; a compressed one is unpacked only as far as MOST_BYTES."""
    keyword, _, rest = body.partition(b"\0")
    packed, coding = kind == b"zTXt", "latin-1"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        packed, coding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, MOST_BYTES)
        except zlib.error:
            return
    if keyword == b"XML:com.adobe.xmp":
        parts.xmp = parts.xmp or rest
    else:
        parts.texts.append((keyword.decode("latin-1"), rest.decode(coding, "replace")))


def _riff(file: BinaryIO, parts: Parts) -> None:
    file.seek(12)
    for _ in range(MOST_PARTS):
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[4:], "little"), head[:4]
        end = file.tell() + length + length % 2
        if kind == b"C2PA":
            parts.manifest = True
        elif kind == b"EXIF":
            note_exif(io.BytesIO(file.read(min(length, MOST_BYTES)).removeprefix(b"Exif\0\0")), parts)
        elif kind == b"XMP " and not parts.xmp:
            parts.xmp = file.read(min(length, MOST_BYTES))
        file.seek(end)


def _gif(file: BinaryIO, parts: Parts) -> None:
    """Application extensions stand before the first picture: what lies further in is not looked for."""
    head = file.read(MOST_BYTES)
    parts.manifest = b"\x21\xff\x0bC2PA_GIF" in head
    at = head.find(b"\x21\xff\x0bXMP DataXMP")
    parts.xmp = head[at + 14 :].partition(b"<?xpacket end")[0] if at >= 0 else b""


def _boxes(file: BinaryIO, parts: Parts) -> None:
    for _ in range(MOST_PARTS):
        start, head = file.tell(), file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if kind == b"uuid":
            owner = file.read(16)
            parts.manifest |= owner == _C2PA_BOX
            if owner == _XMP_BOX and not parts.xmp:
                parts.xmp = file.read(min(max(0, start + size - file.tell()), MOST_BYTES))
        if len(head) < 8 or size < 8:  # 0: to the end of the file
            return
        file.seek(start + size)
