"""Sound files of every format, from which tests and hostile files are made: gradients, noise, no real person."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image


def gradient(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: a colour gradient with noise."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / max(1, width - 1), y * 255 / max(1, height - 1), (x + y) % 256], axis=-1)
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """A picture file of this Pillow format."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def clip(
    container: str,
    codec: str,
    *,
    frames: int = 24,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    fps: int = 24,
    rotation: float | None = None,
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    movflags: str = "",
    picture: Callable[[int], np.ndarray] | None = None,
) -> bytes:
    """A clip of grey frames, frame i at level 10 i (mod 256) with a white left quarter, or of `picture(i)`.

    options : of the encoder. movflags : of the MP4 muxer. times : timestamps in 1/1000 s for a variable frame rate.
    rotation : degrees counter-clockwise, as displayed.
    """
    encoder = {"threads": "1"}
    if codec == "libx264":  # its look-ahead thread makes one file in a hundred differ
        encoder["x264-params"] = "rc-lookahead=0:sync-lookahead=0:mbtree=0"
    muxer = {"fflags": "+bitexact"} | ({"movflags": movflags} if movflags else {})
    with tempfile.NamedTemporaryFile() as file:  # to move the index to the front, the muxer opens its file again
        with av.open(file.name, "w", format=container, options=muxer) as out:
            stream = out.add_stream(codec, rate=fps, options=encoder | (options or {}))
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            if times is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if rotation is not None:
                stream.set_display_rotation(rotation)
            for i in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(i) if picture else _level(i, size), format="rgb24")
                frame.pts, frame.time_base = (i, Fraction(1, fps)) if times is None else (times[i], Fraction(1, 1000))
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        return Path(file.name).read_bytes()


def _level(i: int, size: tuple[int, int]) -> np.ndarray:
    pixels = np.full((size[1], size[0], 3), 10 * i % 256, np.uint8)
    pixels[:, : size[0] // 4] = 255
    return pixels


def sound(container: str, codec: str) -> bytes:
    """A quarter of a second of noise and no picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream(codec, rate=48000, layout="mono")
        wanted = stream.codec_context.format.name
        samples = np.random.default_rng(1).integers(-3000, 3000, (1, 12000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        for part in av.AudioResampler(wanted, "mono", 48000, stream.codec_context.frame_size or 960).resample(frame):
            out.mux(stream.encode(part))
        out.mux(stream.encode())
    return buffer.getvalue()


class Samples:
    """One sound file of each format, from which the broken ones are made."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rgb = gradient(60, 80, self.rng)
        image = Image.fromarray(self.rgb)
        self.pictures = {
            "jpg": encode(image, "JPEG", quality=90),
            "png": encode(image, "PNG"),
            "webp": encode(image, "WEBP", quality=90),
            "tiff": encode(image, "TIFF"),
            "bmp": encode(image, "BMP"),
            "gif": encode(image, "GIF"),
        }
        self.clips = {
            "mp4": clip("mp4", "libx264"),
            "mov": clip("mov", "libx264"),
            "mkv": clip("matroska", "libx264"),
            "webm": clip("webm", "libvpx"),
            "avi": clip("avi", "mpeg4"),
            "ts": clip("mpegts", "libx264"),
        }
        self.all = self.pictures | self.clips

    def noise(self, count: int) -> bytes:
        return self.rng.bytes(count)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, compressed: bytes, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", compressed) + png_chunk(b"IEND", b"")


def playlists(target: str, url: str) -> dict[str, bytes]:
    """Every kind of file that names others: here a local file and a URL."""
    segments = f"#EXTINF:1,\nfile://{target}\n#EXTINF:1,\n{url}\n"
    texts = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segments}#EXT-X-ENDLIST\n",
        "m3u": f"\ufeff\n#EXTM3U\n{target}\n{url}\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{target}'\nfile '{url}'\n",
        "concat": f"file '{target}'\nfile '{url}'\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=control:{url}\n",
        "pls": f"[playlist]\nFile1={target}\nFile2={url}\n",
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "mpd": f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        "xspf": f'<?xml version="1.0"?><playlist><track><location>{url}</location></track></playlist>',
        "smil": f'<?xml version="1.0"?><smil><body><video src="{target}"/><video src="{url}"/></body></smil>',
        "ram": f"{url}\n{target}\n",
    }
    return {kind: text.encode() for kind, text in texts.items()}
