"""Encoding in process: worse settings give worse pictures, and odd sizes come through."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from verisight.data.quality import jpeg, write_h264


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a.astype(float) - b) ** 2).mean())


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / error(a, b))


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_lower_jpeg_quality_is_a_larger_error(portrait: np.ndarray) -> None:
    errors = [error(jpeg(portrait, quality), portrait) for quality in (100, 95, 75, 50, 20, 5, 1)]
    assert errors == sorted(errors)
    assert errors[0] < 10 < errors[-1]


def test_jpeg_keeps_channels_in_order_and_rounds_little_at_best(portrait: np.ndarray) -> None:
    for colour in ([200, 40, 90], [0, 0, 255]):
        flat = np.full((32, 32, 3), colour, np.uint8)
        assert np.abs(jpeg(flat, 100).astype(int) - flat).max() <= 3


def test_jpeg_halves_the_colour_resolution() -> None:
    """4:2:0: two columns of one grey and different colours become one colour."""
    grey, red = (118, 118, 118), (200, 100, 60)  # 0.299 r + 0.587 g + 0.114 b is 118 and 125
    columns = np.array([grey, red], np.uint8)[np.arange(32) % 2][None].repeat(32, axis=0)
    once = jpeg(columns, 100).astype(float)
    chroma = once[..., 0] - once[..., 2]
    assert np.abs(chroma[:, 8:24:2] - chroma[:, 9:24:2]).max() < 30
    assert chroma[:, 8:24].mean() == pytest.approx(70, abs=10)


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (33, 64), (161, 160)])
def test_jpeg_keeps_any_size(portrait: np.ndarray, shape: tuple[int, int]) -> None:
    picture = portrait[: shape[0], : shape[1]]
    made = jpeg(picture, 90)
    assert made.shape == picture.shape
    assert made.dtype == np.uint8
    assert made.flags["C_CONTIGUOUS"]


def test_a_higher_crf_is_a_worse_clip(portrait: np.ndarray, tmp_path: Path) -> None:
    pictures = [portrait[:192, left : left + 192] for left in range(100, 124, 4)]
    quality = {}
    for crf in (10, 23, 40):
        write_h264(pictures, tmp_path / f"{crf}.mp4", crf=crf)
        shown = decoded(tmp_path / f"{crf}.mp4")
        assert len(shown) == len(pictures)
        quality[crf] = np.mean([psnr(a, b) for a, b in zip(shown, pictures, strict=True)])
    assert quality[10] > quality[23] + 3
    assert quality[23] > quality[40] + 3
    assert quality[10] > 30


def test_frames_keep_their_order_and_rate(tmp_path: Path) -> None:
    path = tmp_path / "steps.mp4"
    write_h264((np.full((64, 64, 3), value, np.uint8) for value in (40, 120, 200)), path, crf=10, fps=5)
    assert [round(float(frame.mean()) / 40) for frame in decoded(path)] == [1, 3, 5]
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 5
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_an_odd_last_row_and_column_are_cut(portrait: np.ndarray, tmp_path: Path) -> None:
    odd = cv2.resize(portrait, (131, 97))
    write_h264([odd] * 3, tmp_path / "odd.mp4", crf=10)
    shown = decoded(tmp_path / "odd.mp4")
    assert shown[0].shape == (96, 130, 3)
    assert psnr(shown[0], odd[:96, :130]) > 25
