"""What a file is, by its content alone."""

from __future__ import annotations

from pathlib import Path

from PIL import features

from verisight.core.errors import InputError
from verisight.data.decode.files import Kind

_PLAYLIST = "a playlist; what it names is never opened"
_ARCHIVE = "an archive, not a picture or video; unpack it first"
_SOUND = "a sound file: no moving picture in it"
_SCRIPT = "a program or script, not a picture or video"

_MAGIC: tuple[tuple[bytes, Kind, str], ...] = (  # first bytes, kind, name of Pillow's plugin or FFmpeg's demuxer
    (b"\xff\xd8\xff", "image", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "image", "PNG"),
    (b"GIF87a", "image", "GIF"),
    (b"GIF89a", "image", "GIF"),
    (b"II*\x00", "image", "TIFF"),
    (b"MM\x00*", "image", "TIFF"),
    (b"\x1aE\xdf\xa3", "video", "matroska"),
    (b"FLV\x01", "video", "flv"),
    (b"OggS", "video", "ogg"),
    (b"0&\xb2u\x8ef\xcf\x11", "video", "asf"),
    (b"\x00\x00\x01\xba", "video", "mpeg"),
)
_REFUSED: tuple[tuple[bytes, str], ...] = (  # in lower case: the first bytes after blanks
    (b"#extm3u", _PLAYLIST),
    (b"ffconcat", _PLAYLIST),
    (b"file '", _PLAYLIST),
    (b"[playlist]", _PLAYLIST),
    (b"[reference]", _PLAYLIST),
    (b"<asx", _PLAYLIST),
    (b"<mpd", _PLAYLIST),
    (b"v=0", "a stream description (SDP); what it names is never opened"),
    (b"<svg", "an SVG drawing, not a picture or video"),
    (b"<!doctype", "a web page, not a picture or video"),
    (b"<html", "a web page, not a picture or video"),
    (b"%pdf", "a PDF document, not a picture or video"),
    (b"pk\x03\x04", _ARCHIVE),
    (b"\x1f\x8b", _ARCHIVE),
    (b"bzh", _ARCHIVE),
    (b"\xfd7zxz", _ARCHIVE),
    (b"7z\xbc\xaf", _ARCHIVE),
    (b"rar!", _ARCHIVE),
    (b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (b"#!", _SCRIPT),
    (b"mz\x90", _SCRIPT),
    (b"\x7felf", _SCRIPT),
    (b"\x80\x04\x95", "a Python pickle, which is never loaded"),
    (b"id3", _SOUND),
    (b"flac", _SOUND),
    (b"\xff\xfb", _SOUND),
    (b"\xff\xf1", _SOUND),
)
_XML: tuple[tuple[bytes, str], ...] = (
    (b"<svg", "an SVG drawing, not a picture or video"),
    (b"<mpd", _PLAYLIST),
    (b"<playlist", _PLAYLIST),
    (b"<smil", _PLAYLIST),
    (b"", "an XML file, not a picture or video"),
)
_BOXES = (
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"pnot",
    b"uuid",
)  # of MP4 and QuickTime, which may lead
_TS_PACKET = 188


def sniff(path: Path, head: bytes) -> tuple[Kind, str]:
    """Kind and decoder from the first bytes (4096 suffice).

    Raises
    ------
    InputError : nothing that Verisight reads; says what it is when that is known.
    """
    for magic, kind, name in _MAGIC:
        if head.startswith(magic):
            return kind, name
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # two reserved words; "BM" alone starts many a text
        return "image", "BMP"
    if head[:4] == b"RIFF":
        return _sniff_riff(path, head[8:12])
    if head[4:8] in _BOXES:
        return _sniff_boxes(path, head)
    if len(head) > 2 * _TS_PACKET and all(head[i * _TS_PACKET] == 0x47 for i in range(3)):
        return "video", "mpegts"
    if len(head) > 2 * 192 and all(head[4 + i * 192] == 0x47 for i in range(2)):  # M2TS: a time code before each packet
        return "video", "mpegts"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, reason in _REFUSED:
        if text.startswith(magic):
            raise InputError(path, reason)
    if text.startswith(b"<?xml"):
        raise InputError(path, next(reason for tag, reason in _XML if tag in text))
    raise InputError(path, "not a picture or video that Verisight reads")


def _sniff_riff(path: Path, form: bytes) -> tuple[Kind, str]:
    if form == b"WEBP":
        return "image", "WEBP"
    if form == b"AVI ":
        return "video", "avi"
    raise InputError(path, _SOUND if form == b"WAVE" else "not a picture or video that Verisight reads")


def _sniff_boxes(path: Path, head: bytes) -> tuple[Kind, str]:
    """MP4 and its relatives: the brands tell stills from clips."""
    brands = [head[i : i + 4] for i in (8, *range(16, min(int.from_bytes(head[:4]), 256, len(head)), 4))]
    if head[4:8] != b"ftyp" or brands[0] not in (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"hevc"):
        return "video", "mov"
    if (b"avif" in brands or b"avis" in brands) and features.check("avif"):
        return "image", "AVIF"
    raise InputError(path, "a HEIF picture, which is not read here", "convert it to JPEG or PNG")
