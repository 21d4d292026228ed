"""Up-sampling traces are where the theory puts them, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from verisight.data.artefacts import EVEN, enlarged, trace, upsampled
from verisight.data.quality import jpeg


def grey(level: float, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), level, np.float32)


def test_the_even_filter_keeps_a_constant_picture_and_is_bilinear_on_a_ramp() -> None:
    assert_allclose(enlarged(grey(100), [EVEN] * 3), 100, rtol=1e-6)
    ramp = np.repeat(np.arange(16, dtype=np.float32)[None, :, None] * 4, 16, axis=0).repeat(3, axis=2)
    inside = enlarged(ramp, [EVEN] * 3)[8, 4:-4, 0]
    assert_allclose(np.diff(inside), 2.0, rtol=1e-5)  # a ramp of half the slope: interpolation at quarter points


def test_a_filter_is_zeros_between_pixels_and_a_convolution() -> None:
    rng = np.random.default_rng(0)
    picture = rng.normal(size=(6, 6, 3)).astype(np.float32)
    kernel = rng.random((4, 4))
    kernel /= kernel.sum()
    spaced = np.zeros((12, 12))
    spaced[::2, ::2] = picture[..., 1]
    by_hand = sum(4 * kernel[i, j] * spaced[5 + i - 1, 6 + j - 1] for i in range(4) for j in range(4))
    assert_allclose(enlarged(picture, [kernel] * 3)[5, 6, 1], by_hand, rtol=1e-5)


def test_no_unevenness_no_trace() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (10, 12, 3)).astype(np.float32)
    assert_allclose(trace(picture, 0.0, np.random.default_rng(1)), 0, atol=1e-3)


def test_the_trace_of_a_constant_picture_is_a_grid_of_period_two_without_mean() -> None:
    made = trace(grey(120), 0.1, np.random.default_rng(0))
    assert made.shape == (32, 32, 3)
    assert_allclose(made[2:-2, 2:-2], made[4:, 4:][:28, :28], atol=1e-3)
    assert_allclose(made[4:-4, 4:-4].mean(axis=(0, 1)), 0, atol=1e-3)
    power = np.abs(np.fft.fft2(made[4:-4, 4:-4, 0])) ** 2
    on_grid = power[::12, ::12].sum()  # frequencies 0 and 1/2 of a 24 px square
    assert on_grid / power.sum() > 0.999
    assert np.abs(made).max() > 1


@given(st.integers(0, 2**32 - 1), st.sampled_from([(16, 16), (40, 33), (8, 8)]))
def test_size_type_and_the_original_stay(seed: int, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    before = picture.copy()
    made = upsampled(picture, np.random.default_rng(seed))
    assert made.shape == picture.shape
    assert made.dtype == np.uint8
    assert_array_equal(picture, before)
    assert_array_equal(upsampled(picture, np.random.default_rng(seed)), made)


def test_neither_brightness_nor_sharpness_gives_it_away(portrait: np.ndarray) -> None:
    """The change is small, keeps the mean of each channel, and a JPEG of quality 90 does not remove it as a rule."""
    face = np.ascontiguousarray(portrait[40:200, 150:310])
    kept = []
    for seed in range(10):
        made = upsampled(face, np.random.default_rng(seed))
        change = made.astype(float) - face
        assert 0.1 < change.std() < 8
        assert np.abs(change.mean(axis=(0, 1))).max() < 1
        after = jpeg(made, 90).astype(float) - jpeg(face, 90)
        kept.append(np.corrcoef(after.ravel(), change.ravel())[0, 1])
    assert min(kept) > 0.02
    assert np.mean(kept) > 0.2


@pytest.mark.parametrize("seed", range(4))
def test_it_is_another_one_for_every_draw(seed: int) -> None:
    face = np.full((32, 32, 3), 130, np.uint8)
    first, second = (upsampled(face, np.random.default_rng(s)) for s in (seed, seed + 100))
    assert (first != second).any()
