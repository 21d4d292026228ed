"""The few EXIF fields that speak of origin.

Pillow reads every entry of every directory in full, however many and however large they say that they are. A stranger's
file gets this reader, which looks at the fields wanted and no others: not at GPS, names, owners or serial numbers.
Source: TIFF 6.0, section 2; EXIF 3.0 (CIPA DC-008), section 4.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_MOST_ENTRIES = 512  # of one directory; cameras write some fifty
_MOST_BYTES = 2**18  # of one field; a workflow in a comment is as large
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 13: 4}  # type -> bytes of one value

DESCRIPTION, MAKE, MODEL, THUMBNAIL_AT, THUMBNAIL_LENGTH, SOFTWARE = 0x010E, 0x010F, 0x0110, 0x0201, 0x0202, 0x0131
XMP, IPTC, EXIF_DIRECTORY, MANIFEST = 0x02BC, 0x83BB, 0x8769, 0xCD41
TAKEN, TAKEN_OFFSET, COMMENT, PIXELS_ACROSS, PIXELS_DOWN = 0x9003, 0x9011, 0x9286, 0xA002, 0xA003


class _Entry(NamedTuple):
    """kind, values : of TIFF, what they are and how many. inline : the last four bytes, a value or where it stands."""

    kind: int
    values: int
    inline: bytes


@dataclass
class Exif:
    """The fields as they stand, empty where absent. size : of the picture as the camera wrote it."""

    make: bytes = b""
    model: bytes = b""
    software: bytes = b""
    description: bytes = b""
    comment: bytes = b""
    taken: bytes = b""
    taken_offset: bytes = b""
    size: tuple[int, int] | None = None
    thumbnail: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    manifest: bool = False


def read_exif(stream: BinaryIO) -> Exif:
    """Fields from what begins with a TIFF header.

    Raises
    ------
    ValueError : it does not begin with one.
    """
    tiff = _Tiff(stream)
    first, after = tiff.directory(tiff.number(4))
    found = Exif(
        make=tiff.value(first, MAKE),
        model=tiff.value(first, MODEL),
        software=tiff.value(first, SOFTWARE),
        description=tiff.value(first, DESCRIPTION),
        xmp=tiff.value(first, XMP),
        iptc=tiff.value(first, IPTC),
        manifest=MANIFEST in first,
    )
    if below := tiff.whole(first, EXIF_DIRECTORY):
        inner, _ = tiff.directory(below)
        found.taken, found.taken_offset = tiff.value(inner, TAKEN), tiff.value(inner, TAKEN_OFFSET)
        found.comment = tiff.value(inner, COMMENT)
        size = tiff.whole(inner, PIXELS_ACROSS), tiff.whole(inner, PIXELS_DOWN)
        found.size = size if all(size) else None
    if after:
        second, _ = tiff.directory(after)
        found.thumbnail = tiff.read(tiff.whole(second, THUMBNAIL_AT), tiff.whole(second, THUMBNAIL_LENGTH))
    return found


class _Tiff:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        head = self.read(0, 4)
        if head not in (b"II*\0", b"MM\0*"):
            raise ValueError("no TIFF header")
        self._order = "<" if head[:1] == b"I" else ">"

    def read(self, at: int, length: int) -> bytes:
        """At most _MOST_BYTES; fewer than `length` where the file ends."""
        self._stream.seek(at)
        return self._stream.read(min(length, _MOST_BYTES))

    def number(self, at: int) -> int:
        """The 32-bit number at a place; 0 where the file ends before."""
        raw = self.read(at, 4)
        return int(struct.unpack(self._order + "I", raw)[0]) if len(raw) == 4 else 0

    def directory(self, at: int) -> tuple[dict[int, _Entry], int]:
        """The entries of a directory by tag, and where the next directory stands; 0 for none."""
        raw = self.read(at, 2)
        count = int(struct.unpack(self._order + "H", raw)[0]) if len(raw) == 2 else 0
        body = self.read(at + 2, 12 * min(count, _MOST_ENTRIES))
        rows = struct.iter_unpack(self._order + "HHI4s", body[: len(body) // 12 * 12])
        return {tag: _Entry(*row) for tag, *row in rows}, self.number(at + 2 + 12 * count)

    def value(self, entries: dict[int, _Entry], tag: int) -> bytes:
        """The bytes of a field; empty when it is absent."""
        entry = entries.get(tag)
        if entry is None:
            return b""
        length = entry.values * _WIDTHS.get(entry.kind, 0)
        if length <= 4:
            return entry.inline[:length]
        return self.read(int(struct.unpack(self._order + "I", entry.inline)[0]), length)

    def whole(self, entries: dict[int, _Entry], tag: int) -> int:
        """A field that is one whole number; 0 when it is absent or something else."""
        entry = entries.get(tag)
        if entry is None or entry.values != 1 or entry.kind not in (3, 4, 13):
            return 0
        if entry.kind == 3:
            return int(struct.unpack(self._order + "H", entry.inline[:2])[0])
        return int(struct.unpack(self._order + "I", entry.inline)[0])
