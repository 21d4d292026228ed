"""Pairs that are moved or mixed up are refused; compression and still scenes are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from verisight.core.errors import DataError
from verisight.data.quality import jpeg
from verisight.data.registration import psnr, require_registered, shift_px


def scene(seed: int, size: int = 96) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return (127 + 40 * soft / soft.std()).clip(0, 255).astype(np.uint8)


CLIP = [scene(i) for i in range(12)]


def test_psnr_has_its_closed_form() -> None:
    flat = np.full((4, 4, 3), 100, np.uint8)
    striped = flat.copy()
    striped[::2] += 10
    assert psnr(flat, flat) == float("inf") == psnr(flat, flat + 5)
    assert psnr(flat, striped) == pytest.approx(10 * np.log10(255**2 / 25))


@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_a_shift_is_measured(pixels: int) -> None:
    assert shift_px(CLIP[0], np.roll(CLIP[0], pixels, axis=1)) == pytest.approx(pixels, abs=0.15)


def test_compression_is_no_fault() -> None:
    require_registered(CLIP, [jpeg(frame, 20) for frame in CLIP], "raw and c40")


def test_a_still_scene_is_no_fault() -> None:
    rng = np.random.default_rng(0)
    still = [(CLIP[0].astype(int) + rng.integers(-2, 3, CLIP[0].shape)).clip(0, 255).astype(np.uint8) for _ in range(8)]
    require_registered(still, [jpeg(frame, 20) for frame in still], "raw and c40")


def test_crops_that_are_moved_are_refused() -> None:
    with pytest.raises(DataError, match=r"raw and c40: crops are moved by 1.\d px"):
        require_registered(CLIP, [np.roll(frame, 1, axis=0) for frame in CLIP], "raw and c40")


def test_frames_in_another_order_are_refused() -> None:
    """Something that changes before a still background: nothing is shifted as a whole."""

    def frame(at: int) -> np.ndarray:
        picture = CLIP[0].copy()
        picture[36:60, 36:60] = CLIP[at][36:60, 36:60]
        return picture

    clip = [frame(at) for at in range(1, 12)]
    require_registered(clip, [jpeg(each, 40) for each in clip], "raw and c40")
    late = [clip[0], *clip[:-1]]
    with pytest.raises(DataError, match=r"raw and c40: \d+% of the frames are nearer to a neighbour's version"):
        require_registered(clip, [jpeg(each, 40) for each in late], "raw and c40")


def test_one_pair_is_enough_for_the_shift() -> None:
    require_registered(CLIP[:1], [jpeg(CLIP[0], 30)], "raw and c40")
