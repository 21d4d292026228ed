"""Pictures: the pixels that come out of every mode, and the broken files that do not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import put, read, reason
from samples import encode, gradient

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filter that the package sets


def picture(path: Path) -> np.ndarray:
    media, (frame,) = read(path)
    assert media.kind == "image"
    assert (media.height, media.width) == frame.rgb.shape[:2]
    assert frame.time_s is None
    return frame.rgb


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_pixels_back(tmp_path: Path, format: str) -> None:
    rgb = gradient(31, 45, np.random.default_rng(0))
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(picture(put(tmp_path, encode(Image.fromarray(rgb), format, **options))), rgb)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, format: str, orientation: int) -> None:
    upright = np.kron(np.array([[0, 80], [160, 240], [40, 200]], np.uint8), np.ones((16, 16), np.uint8))
    stored = {  # what a camera in this position writes (EXIF 2.32, tag 274): where row 0 and column 0 are seen
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    seen = picture(put(tmp_path, encode(image, format, exif=exif)))
    assert np.abs(seen.astype(int) - upright[..., None]).max() <= 6


def test_sixteen_bit_keeps_its_full_scale(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for format in ("PNG", "TIFF"):
        assert picture(put(tmp_path, encode(Image.fromarray(deep), format)))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-3.0, np.nan, 65535.0]], np.float32), [0, 0, 255]),
        (np.array([[0.0, 4e5, 1e6]], np.float32), [0, 102, 255]),
        (np.array([[0.0, np.inf, 1.0]], np.float32), [0, 255, 255]),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
    ],
)
def test_floats_and_long_integers_are_scaled_to_eight_bit(
    tmp_path: Path, values: np.ndarray, expected: list[int]
) -> None:
    assert picture(put(tmp_path, encode(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_put_on_white(tmp_path: Path, mode: str) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:, 2:, 3] = 255  # left half clear, right half black
    content = encode(Image.fromarray(rgba).convert(mode), "PNG")
    assert picture(put(tmp_path, content))[0].tolist() == [[255] * 3] * 2 + [[0] * 3] * 2


def test_half_transparent_black_is_grey(tmp_path: Path) -> None:
    content = encode(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG")
    assert picture(put(tmp_path, content))[0, 0].tolist() == [127] * 3


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("PNG", "1"), ("JPEG", "L")])
def test_other_modes_keep_their_brightness(tmp_path: Path, format: str, mode: str) -> None:
    image = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 16, 1).repeat(16, 0)).convert("RGB").convert(mode)
    seen = picture(put(tmp_path, encode(image, format)))
    assert seen[:, :14].max() < 12
    assert seen[:, -14:].min() > 243


@pytest.mark.parametrize(
    ("format", "note"),
    [
        ("GIF", "animated: first picture only"),
        ("WEBP", "animated: first picture only"),
        ("PNG", "animated: first picture only"),
        ("TIFF", "several pages: first picture only"),
    ],
)
def test_of_several_pictures_the_first_is_read(tmp_path: Path, format: str, note: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    media, frames = read(put(tmp_path, encode(first, format, save_all=True, append_images=[second])))
    assert len(frames) == 1
    assert np.abs(frames[0].rgb[0, 0].astype(int) - [255, 0, 0]).max() < 6
    assert media.notes == [note]


def test_a_phones_preview_behind_its_picture_is_not_an_animation(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (16, 16), "blue")
    media, frames = read(put(tmp_path, encode(first, "MPO", save_all=True, append_images=[second])))
    assert frames[0].rgb.shape == (64, 64, 3)
    assert media.notes == []


@pytest.mark.parametrize("percent", [10, 50, 90])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated_pictures_are_refused(tmp_path: Path, format: str, percent: int) -> None:
    content = encode(Image.fromarray(gradient(64, 64, np.random.default_rng(0))), format)
    assert f"a broken {format} picture" in reason(put(tmp_path, content[: len(content) * percent // 100]))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("percent", [30, 60, 90])
def test_a_jpeg_that_was_closed_too_early_is_refused(tmp_path: Path, percent: int, mode: str) -> None:
    image = Image.fromarray(gradient(96, 96, np.random.default_rng(0))).convert(mode)
    content = encode(image, "JPEG", quality=90)
    cut = content[: len(content) * percent // 100] + b"\xff\xd9"
    assert np.all(np.asarray(Image.open(io.BytesIO(cut)))[-8:, -8:] == 128)  # Pillow fills up and says nothing
    assert reason(put(tmp_path, cut)) == "a broken JPEG picture (its data end early)"


def test_a_sound_picture_with_a_grey_corner_is_read(tmp_path: Path) -> None:
    content = encode(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG")
    assert picture(put(tmp_path, content)).shape == (64, 64, 3)
