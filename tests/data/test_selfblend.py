"""Self-blended pseudo-fakes: equal to the picture outside the mask, bounded by the ratio, a function of the seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.preprocess import Preprocess
from verisight.data import selfblend
from verisight.data.faces import crop_face, face_finder
from verisight.data.selfblend import RATIOS, blend, blend_mask, change, hull_mask, misalign, self_blend

SIZE = 160
LANDMARKS = np.array([[55, 65], [105, 65], [80, 90], [60, 115], [100, 115]], np.float32)


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> np.ndarray:
    return crop_face(portrait, face_finder()(portrait)[0], Preprocess(size=SIZE))


def test_blend_is_the_formula_and_leaves_the_target_alone_where_the_mask_is_zero() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    mask = rng.random((20, 30)).astype(np.float32)
    mask[:10] = 0
    blended = blend(source, target, mask)
    assert np.array_equal(blended[:10], target[:10])
    exact = mask[..., None].astype(np.float64) * source + (1 - mask[..., None].astype(np.float64)) * target
    assert np.abs(blended - exact).max() <= 0.5 + 1e-3


@given(st.integers(0, 255), st.floats(0, 1))
def test_a_picture_blended_with_itself_is_itself(value: int, ratio: float) -> None:
    """Truncation, as in the published code, would darken it by a level here and there: a leak of the label."""
    picture = np.full((4, 4, 3), value, np.uint8)
    assert np.array_equal(blend(picture, picture, np.full((4, 4), ratio, np.float32)), picture)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_changes_where_source_and_target_are_equal(face: np.ndarray, seed: int, monkeypatch) -> None:
    monkeypatch.setattr(selfblend, "change", lambda picture, rng: picture)
    monkeypatch.setattr(selfblend, "misalign", lambda source, mask, rng: (source, mask))
    assert np.array_equal(self_blend(face, LANDMARKS, np.random.default_rng(seed)), face)


def test_the_mask_rises_to_one_and_stays_in_range() -> None:
    hull = hull_mask(LANDMARKS, (SIZE, SIZE), forehead=True)
    for seed in range(40):
        mask = blend_mask(hull, np.random.default_rng(seed))
        assert mask.min() >= 0
        assert mask.max() == pytest.approx(1, abs=1e-6)
        assert mask.mean() < hull.mean() * 1.6


def test_erosion_and_blur_draw_the_seam_inside_the_hull() -> None:
    """On average the half-way line of the mask lies inside the hull, as the erosion demands."""
    hull = hull_mask(LANDMARKS, (SIZE, SIZE), forehead=True)
    areas = [(blend_mask(hull, np.random.default_rng(seed)) >= 0.5).sum() for seed in range(40)]
    assert np.mean(areas) < hull.sum()


def test_ratios_are_drawn_as_published(face: np.ndarray) -> None:
    assert sorted(RATIOS) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_hull_holds_the_five_points_and_reaches_higher_with_the_forehead() -> None:
    low, high = (hull_mask(LANDMARKS, (SIZE, SIZE), forehead=forehead) for forehead in (False, True))
    assert all(low[round(float(y)), round(float(x))] == 1 for x, y in LANDMARKS)
    assert np.flatnonzero(high.any(axis=1))[0] < np.flatnonzero(low.any(axis=1))[0]
    contours, _ = cv2.findContours(high.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(contours) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_pseudo_fake_is_a_function_of_the_seed_and_keeps_the_size(face: np.ndarray, seed: int) -> None:
    first, second = (self_blend(face, LANDMARKS, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == face.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, face)


def test_the_change_keeps_shape_and_misalignment_moves_by_a_few_pixels_at_most(face: np.ndarray) -> None:
    hull = hull_mask(LANDMARKS, (SIZE, SIZE), forehead=True)
    centre = np.argwhere(hull).mean(axis=0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert change(face, rng).shape == face.shape
        _, moved = misalign(face, hull, rng)
        assert np.abs(np.argwhere(moved).mean(axis=0) - centre).max() < 0.06 * SIZE


def test_a_face_outside_the_picture_is_refused(face: np.ndarray) -> None:
    with pytest.raises(ValueError, match="covers no pixel"):
        self_blend(face, LANDMARKS + 5000, np.random.default_rng(0))
