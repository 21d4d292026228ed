"""What cameras, editors and generators write in the clear, and how a JPEG was written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from origins import A1111, COMFY, IPTC_CODES, PICTURE, RNG, XMP, boxed, encoded, of, segment, with_thumbnail
from PIL import Image, PngImagePlugin

from verisight.scan.provenance import facts
from verisight.scan.provenance.containers import Parts, jpeg
from verisight.scan.provenance.pictures import standard_quality


def test_camera_software_and_date_are_told_and_where_and_who_are_not(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Canon", "Canon EOS R5", "Adobe Photoshop 25.0"
    exif[0x013B], exif[0x8298], exif[0x013C] = "Erika Mustermann", "(c) Erika Mustermann", "Erikas-iPhone"
    exif[0x8769] = {0x9003: "2024:05:01 12:30:00", 0x9011: "+02:00", 0xA430: "Mustermann", 0xA431: "SN123456789"}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 17.7)}
    xmp = XMP.format('exif:GPSLatitude="52,31.2N" dc:creator="Mustermann" photoshop:Credit="Mustermann"').encode()
    provenance = of(encoded(exif=exif, xmp=xmp), tmp_path)
    assert provenance.made_with[:2] == ("camera: Canon EOS R5", "software: Adobe Photoshop 25.0")
    assert provenance.taken == "2024-05-01 12:30:00 +02:00"
    said = provenance.model_dump_json() + " ".join(facts(provenance))
    assert not any(private in said for private in ("Muster", "Erika", "SN1", "52", "31.2", "GPS"))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_is_read_in_either_byte_order_from_every_kind_of_picture(order: str, format: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0110] = "Nikon", "D850"
    content = encoded(format, exif=exif)
    assert "camera: Nikon D850" in of(content, tmp_path).made_with


@pytest.mark.parametrize(
    ("keyword", "text", "claim"),
    [
        ("parameters", A1111, "Stable Diffusion settings are stored in the file (model 'dream_8')."),
        ("prompt", COMFY, "A workflow of the image generator ComfyUI is stored in the file."),
        ("workflow", '{"last_node_id": 9}', "A workflow of the image generator ComfyUI is stored in the file."),
        ("Description", "my neighbour --v 6 Job ID: 0a1b2c3d-0000-4000-8000-000000000000",
         "A job number of the image generator Midjourney is stored in the file."),
        ("invokeai_metadata", "{}", "Settings of the image generator InvokeAI are stored in the file."),
        ("Software", "NovelAI", "Its metadata name a tool of generative AI as its software: 'NovelAI'."),
        ("Software", "FaceApp 5", "Its metadata name a tool that alters faces as its software: 'FaceApp 5'."),
        ("Source", "Stable Diffusion XL C1", "Its metadata name a tool of generative AI: 'Stable Diffusion XL C1'."),
        ("AIGC", '{"Label":"1"}', "It carries the label AIGC, with which Chinese services mark what AI has generated."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_what_generators_write_into_a_png_is_a_claim_and_no_prompt_is_told(
    keyword: str, text: str, claim: str, packed: bool, tmp_path: Path
) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(keyword, text, zip=packed)
    provenance = of(encoded("PNG", pnginfo=chunks), tmp_path)
    assert claim in provenance.claims
    assert "neighbour" not in provenance.model_dump_json()


@pytest.mark.parametrize("coding", ["utf-16-be", "utf-16-le", "ascii"])
def test_settings_in_a_user_comment_are_found(coding: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    prefix = b"ASCII\0\0\0" if coding == "ascii" else b"UNICODE\0"
    exif[0x8769] = {0x9286: prefix + A1111.encode(coding)}
    provenance = of(encoded(exif=exif), tmp_path)
    assert provenance.claims == ("Stable Diffusion settings are stored in the file (model 'dream_8').",)


def test_a_workflow_in_the_place_of_the_camera_is_no_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = 'workflow:{"last_node_id": 1}', "prompt:" + COMFY
    provenance = of(encoded("WEBP", exif=exif), tmp_path)
    assert provenance.claims == ("A workflow of the image generator ComfyUI is stored in the file.",)
    assert provenance.made_with == ()


@pytest.mark.parametrize(
    "place", ['Iptc4xmpExt:DigitalSourceType="{}"', "/><a:DigitalSourceType>{}</a:DigitalSourceType><b "]
)
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("trainedAlgorithmicMedia", "was made by generative AI"),
        ("compositeWithTrainedAlgorithmicMedia", "was made in part by generative AI"),
        ("digitalCapture", "was captured by a digital camera"),
    ],
)
def test_the_digital_source_type_of_xmp_is_told_as_unsigned(place: str, code: str, said: str, tmp_path: Path) -> None:
    xmp = XMP.format(place.format(IPTC_CODES + code)).encode()
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        if format == "PNG":
            chunks = PngImagePlugin.PngInfo()
            chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
            content = encoded("PNG", pnginfo=chunks)
        elif format == "TIFF":
            content = encoded("TIFF", tiffinfo={700: xmp})
        else:
            content = encoded(format, xmp=xmp)
        assert of(content, tmp_path).claims == (f"Its metadata, which are not signed, say that it {said}.",)


def test_the_tools_of_xmp_and_the_credit_line_of_google_are_told(tmp_path: Path) -> None:
    said = 'xmp:CreatorTool="GIMP &amp; friends" stEvt:softwareAgent="darktable" photoshop:Credit="Made with Google AI"'
    provenance = of(encoded(xmp=XMP.format(said).encode()), tmp_path)
    assert provenance.made_with[:2] == ("software: GIMP & friends", "software: darktable")
    assert provenance.claims == ("Its metadata, which are not signed, say in their credit line that AI was used.",)


def test_the_marks_of_facebook_and_deepfacelab_are_told(tmp_path: Path) -> None:
    plain = encoded()
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x28\x00\x08FBMD0100"
    face = b"\x80\x04\x95}(\x8c\tface_type\x8c\x04head\x8c\tlandmarks]u."
    provenance = of(plain[:2] + segment(0xED, iptc) + segment(0xEF, face) + plain[2:], tmp_path)
    assert "processed by: Facebook or Instagram (their mark FBMD)" in provenance.made_with
    assert provenance.claims == ("Its metadata name a tool that alters faces as its software: 'DeepFaceLab'.",)


# ---- how a JPEG was written


@given(st.integers(1, 100), st.sampled_from(["RGB", "L", "CMYK"]))
@settings(max_examples=25)
def test_the_tables_of_libjpeg_are_known_at_every_quality(quality: int, mode: str) -> None:
    parts = Parts()
    jpeg(io.BytesIO(encoded(picture=PICTURE.convert(mode), quality=quality)), parts)
    found = standard_quality(parts.tables) or 0
    assert found == quality or (quality < 5 and found < 5)  # where everything is 255


@given(st.integers(20, 98), st.sampled_from([0, 1]), st.integers(0, 63))
@settings(max_examples=25)
def test_tables_that_differ_in_one_value_are_not_the_standard_ones(quality: int, number: int, at: int) -> None:
    parts = Parts()
    jpeg(io.BytesIO(encoded(quality=quality)), parts)
    table = list(parts.tables[number])
    table[at] += 1
    assert standard_quality({**parts.tables, number: tuple(table)}) is None


def test_mixed_qualities_of_brightness_and_colour_are_not_standard(tmp_path: Path) -> None:
    one, other = Parts(), Parts()
    jpeg(io.BytesIO(encoded(quality=90)), one)
    jpeg(io.BytesIO(encoded(quality=70)), other)
    tables = [list(one.tables[0]), list(other.tables[1])]
    assert standard_quality(dict(enumerate(map(tuple, tables)))) is None
    own = "JPEG tables: of their own, as of cameras and photo editors"
    assert own in of(encoded(qtables=[[1 + i for i in range(64)]] * 2), tmp_path).made_with
    standard = of(encoded(quality=90, progressive=True), tmp_path).made_with
    assert standard == (
        "JPEG tables: the standard ones at quality 90, as of most software",
        "JPEG scan: progressive, as for the web",
    )


@pytest.mark.parametrize(
    ("size", "small", "differs"),
    [
        ((400, 300), boxed((160, 120)), False),
        ((300, 400), boxed((160, 120)), False),  # turned by software, its thumbnail was not
        ((480, 270), boxed((160, 90)), False),  # a camera's bars around 16:9
        ((270, 480), boxed((68, 120)), False),  # upright
        ((400, 300), Image.new("RGB", (160, 120)), False),  # a night without bars
        ((404, 300), boxed((160, 120)), False),  # rounded
        ((300, 300), boxed((160, 120)), True),
        ((480, 270), boxed((160, 120)), True),
    ],
)
def test_a_thumbnail_of_another_shape_is_told_but_not_bars(
    size: tuple[int, int], small: Image.Image, differs: bool, tmp_path: Path
) -> None:
    picture = Image.fromarray(RNG.integers(0, 255, (size[1], size[0], 3), np.uint8))
    made_with = of(with_thumbnail(picture, small, size), tmp_path).made_with
    assert any(text.startswith("thumbnail:") for text in made_with) == differs
    assert not any(text.startswith("size:") for text in made_with)


def test_a_picture_smaller_than_its_camera_made_it_is_told(tmp_path: Path) -> None:
    made_with = of(with_thumbnail(PICTURE, boxed((160, 120)), (4000, 3000)), tmp_path).made_with
    assert "size: 128 x 96 pixels, but 4000 x 3000 when it was taken: scaled or cropped since" in made_with
