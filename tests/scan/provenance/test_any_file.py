"""Whatever a file holds, the answer is short, printable, soon there, and no error."""

from __future__ import annotations

import functools
import os
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from origins import A1111, PICTURE, XMP, Signer, boxed, encoded, of, with_thumbnail
from PIL import Image, PngImagePlugin
from samples import png_chunk

from verisight.data.decode.files import LIMITS
from verisight.scan.provenance import facts, provenance_of
from verisight.scan.provenance.words import MOST_CHARACTERS, MOST_TEXTS, Traces, moment
from verisight.scan.verdict import Provenance


@given(st.text() | st.binary())
def test_what_is_stored_is_short_and_printable_whatever_a_file_says(said: str | bytes) -> None:
    exif = Image.Exif()
    exif[0x0131] = said
    path = Path(_FOLDER.name) / "words.jpg"
    path.write_bytes(encoded(exif=exif))
    provenance = provenance_of(path)
    assert all(text.isprintable() and len(text) <= MOST_CHARACTERS for text in provenance.made_with + provenance.claims)


def test_lists_are_capped(tmp_path: Path) -> None:
    traces = Traces()
    for i in range(100):
        traces.software(f"tool {i} " + "x" * 200)
    made = traces.provenance().made_with
    assert len(made) == MOST_TEXTS
    assert {len(text) for text in made} == {MOST_CHARACTERS}


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"2024:05:01 12:30:00\0", "2024-05-01 12:30:00"),
        ("2024-05-01T12:30:00.5+0200", "2024-05-01 12:30:00 +0200"),
        ("2024-05-01T12:30:00.000000Z", "2024-05-01 12:30:00 UTC"),
        ("2024-05-01", "2024-05-01"),
        ("0000:00:00 00:00:00", None),
        ("1904-01-01T00:00:00.000000Z", None),
        ("1970-01-01T00:00:00.000000Z", None),
        ("yesterday", None),
        (b"    :  :     :  :  \0", None),
    ],
)
def test_dates_are_spelled_alike_and_zeros_are_no_dates(raw: str | bytes, read: str | None) -> None:
    assert moment(raw) == read


def test_facts_begin_with_the_signature_and_end_with_what_it_is_worth(signed: bytes, tmp_path: Path) -> None:
    said = facts(of(signed, tmp_path))
    assert said[0].startswith("Its C2PA signature holds, but the signer is on no trust list")
    assert said[1] == "Its C2PA manifest says that it was made by generative AI."
    assert said[-1].startswith("None of this is part of the score")
    assert facts(Provenance()) == []
    assert facts(Provenance(c2pa="unread"))[0] == "It carries a C2PA manifest that was not read."
    assert facts(Provenance(made_with=("camera: X",), taken="2024"))[:2] == ["Camera: X.", "Taken, as it says: 2024."]


# ---- hostile files


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _FOLDER.name = str(tmp_path_factory.mktemp("fuzz"))


class _FOLDER:
    """One folder for all examples: hypothesis wants no fixture that is made anew for each."""

    name = ""


HEADS = (
    *(
        b"\xff\xd8\xff\xe1",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\0\0\0\0AVI ",
        b"II*\0",
        b"MM\0*",
    ),
    *(b"\0\0\0\x18ftypisom", b"\0\0\0\x18ftypavif", b"\xff\xd8\xff\xe1\x40\0Exif\0\0II*\0", b"\x1aE\xdf\xa3", b""),
)


@given(st.sampled_from(HEADS), st.binary(max_size=600))
@settings(max_examples=100)
def test_random_bytes_never_raise(head: bytes, rest: bytes) -> None:
    path = Path(_FOLDER.name) / "random"
    path.write_bytes(head + rest)
    assert isinstance(provenance_of(path), Provenance)


@pytest.fixture(scope="module")
def rich(signer: Signer, clip: Path) -> list[bytes]:
    """Files that hold something of everything."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", A1111, zip=True)
    chunks.add_itxt("XML:com.adobe.xmp", XMP.format('xmp:CreatorTool="x"'))
    picture = with_thumbnail(PICTURE, boxed((160, 120)), (400, 300))
    pairs = [(picture, "image/jpeg"), (encoded("PNG", pnginfo=chunks), "image/png"), (encoded("WEBP"), "image/webp")]
    pairs += [(encoded("TIFF"), "image/tiff"), (encoded("GIF"), "image/gif"), (clip.read_bytes(), "video/mp4")]
    return [signer.sign(content, mime) for content, mime in pairs]


@given(st.data())
@settings(max_examples=80)
def test_truncated_and_damaged_files_never_raise_and_never_verify(rich: list[bytes], data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(rich))
    end = data.draw(st.integers(4, len(whole)))
    content = bytearray(whole[:end])
    # half of the damage in the first part, where the structure is
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, min(end, data.draw(st.sampled_from([400, end]))) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path = Path(_FOLDER.name) / "damaged"
    path.write_bytes(content)
    assert provenance_of(path).c2pa != "valid"


@functools.cache
def bombs() -> dict[str, bytes]:
    """Files whose parts ask for more than they are."""
    entries = 5000
    tiff = b"II*\0" + struct.pack("<IH", 8, entries)
    tiff += b"".join(struct.pack("<HHII", 0x010F + i % 3, 7, 2**31, 8) for i in range(entries)) + struct.pack("<I", 8)
    packed = b"parameters\0\0" + zlib.compress(b"Steps: 1, " * 5_000_000, 9)
    white = b"<a:DigitalSourceType>" + b" " * 200_000
    return {
        "a directory of huge fields": tiff,
        "a packed text of 50 MB": b"\x89PNG\r\n\x1a\n" + png_chunk(b"zTXt", packed) * 3,
        "chunks without end": b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"") * 60_000,
        "fill bytes without end": b"\xff\xd8" + b"\xff" * 400_000,
        "segments without end": b"\xff\xd8" + b"\xff\xe1\0\x02" * 100_000,
        "boxes without end": b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08free" * 60_000,
        "blanks in XMP": b"RIFF\0\0\0\0WEBP" + b"XMP " + struct.pack("<I", len(white)) + white,
        "names in XMP": b"RIFF\0\0\0\0WEBPXMP " + struct.pack("<I", 240_000) + b"<aaaaaaaa:DigitalSourceType " * 8_571,
    }  # fmt: skip


@pytest.mark.parametrize("name", bombs())
def test_a_file_that_asks_for_much_is_done_soon(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(bombs()[name])
    start = time.process_time()
    provenance_of(path)
    assert time.process_time() - start < 2.0


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    for name in ("pipe", "empty", "text", "absent", "."):
        assert provenance_of(tmp_path / name) == Provenance()
    (tmp_path / "big").write_bytes(encoded())
    assert provenance_of(tmp_path / "big", limits=LIMITS.model_copy(update={"max_bytes": 10})) == Provenance()


def test_reading_changes_nothing(signed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(signed)
    path.chmod(0o444)
    provenance_of(path)
    assert path.read_bytes() == signed
    assert [each.name for each in tmp_path.iterdir()] == ["file.jpg"]
