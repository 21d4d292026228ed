"""Files that say where they come from, and those who sign them; made on the spot."""

from __future__ import annotations

import io
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from verisight.scan.provenance import provenance_of
from verisight.scan.verdict import Provenance

RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 255, (96, 128, 3), np.uint8))
IPTC_CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED: dict[str, Any] = {
    "claim_generator_info": [{"name": "test tool", "version": "1.0"}],
    "assertions": [
        {
            "label": "c2pa.actions.v2",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": IPTC_CODES + "trainedAlgorithmicMedia",
                        "softwareAgent": {"name": "Dream Machine"},
                    },
                    {"action": "c2pa.color_adjustments"},
                ]
            },
        }
    ],
}
XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description {}/></rdf:RDF></x:xmpmeta>"


def encoded(format: str = "JPEG", picture: Image.Image = PICTURE, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def of(content: bytes, folder: Path, **options: Any) -> Provenance:
    path = folder / "file"
    path.write_bytes(content)
    return provenance_of(path, **options)


A1111 = "a portrait of my neighbour\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Model: dream_8"
COMFY = '{"3": {"class_type": "KSampler", "inputs": {"text": "my neighbour"}}}'


def segment(code: int, body: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def with_thumbnail(picture: Image.Image, small: Image.Image, stated: tuple[int, int]) -> bytes:
    """A JPEG whose EXIF has a thumbnail and a size, written by hand: two directories and the one of EXIF."""
    thumbnail = encoded(picture=small)
    first, inner, second = 8, 8 + 2 + 12 + 4, 8 + 2 + 12 + 4 + 2 + 24 + 4
    at = second + 2 + 24 + 4
    tiff = b"II*\0" + struct.pack("<I", first)
    tiff += struct.pack("<HHHIII", 1, 0x8769, 4, 1, inner, second)
    tiff += struct.pack("<HHHIIHHIII", 2, 0xA002, 4, 1, stated[0], 0xA003, 4, 1, stated[1], 0)
    tiff += struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, at, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    whole = encoded(picture=picture)
    return whole[:2] + segment(0xE1, b"Exif\0\0" + tiff) + whole[2:]


def boxed(inner: tuple[int, int]) -> Image.Image:
    """A thumbnail of 160 x 120 with black bars around a light picture."""
    small = Image.new("RGB", (160, 120))
    small.paste(Image.new("RGB", inner, (180, 170, 160)), ((160 - inner[0]) // 2, (120 - inner[1]) // 2))
    return small


class Listener:
    """A server that counts who calls, and answers nobody."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            caller.close()

    def close(self) -> None:
        self._socket.close()


@dataclass
class Signer:
    """A certificate authority of our own and what it signs. authority : its certificate, PEM."""

    authority: str
    sign: Callable[..., bytes]
