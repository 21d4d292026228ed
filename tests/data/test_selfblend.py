"""Self-blended images: each step of the description against a plain reference, on a synthetic ellipse face."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest
from ellipse import (
    COMPONENTS,
    DFL_FULL,
    SIZE,
    dilate,
    erode,
    eroded_by_rounding,
    face,
    landmarks81,
    lifted,
    soften,
    union_depth,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verisight.data import selfblend
from verisight.data.landmarks import FLIPS
from verisight.data.selfblend import (
    FLIP_81,
    RATIOS,
    VARIANTS,
    SelfBlend,
    augment_pair,
    blend,
    blend_mask,
    change,
    elastic,
    final_crop,
    five_point_hull,
    flip,
    hull_mask,
    large_crop,
    misalign,
    reorder81,
)

SHAPE = (SIZE, SIZE)
POINTS = np.round(landmarks81()).astype(np.float32)
BOX = (100.0, 84.0, 200.0, 256.0)
HULL = hull_mask(POINTS, SHAPE, "face")
FACE = face(0)
SMALL, SMALL_POINTS = face(1, 96), landmarks81(96).astype(np.float32)
GREY = np.full((4, 4, 3), 100, np.uint8)
FIVE = np.array([[38, 45], [58, 45], [48, 58], [41, 67], [55, 67]], np.float32)  # of the small face


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def fair(counts: list[int], shares: list[float]) -> bool:
    """Whether counts fit shares: chi-square, at one in a thousand."""
    total = sum(counts)
    return bool(stats.chisquare(counts, [total * s for s in shares]).pvalue > 1e-3)


# --- landmarks, mirror, crops ---


def test_the_forehead_is_put_in_order_from_left_to_right() -> None:
    order = reorder81(np.repeat(np.arange(81.0), 2).reshape(81, 2))[:, 0]
    assert order.tolist() == [*range(68), 77, 75, 76, 68, 69, 70, 71, 80, 72, 73, 79, 74, 78]


@pytest.mark.parametrize("order", [FLIPS[68], FLIP_81])
def test_the_mirror_names_every_point_and_undoes_itself(order: np.ndarray) -> None:
    everyone = list(range(len(order)))
    assert sorted(order.tolist()) == everyone
    assert order[order].tolist() == everyone


def test_the_mirror_map_is_the_published_one() -> None:
    assert FLIPS[68][36:48].tolist() == [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    assert FLIPS[68][27:36].tolist() == [27, 28, 29, 30, 35, 34, 33, 32, 31]
    ends = ((0, 16), (17, 26), (48, 54), (55, 59), (60, 64), (65, 67), (68, 80))
    assert all(FLIP_81[first : last + 1].tolist() == [*range(last, first - 1, -1)] for first, last in ends)


@pytest.mark.parametrize("count", [68, 81])
def test_the_mirror_image_of_a_symmetric_face_is_itself(count: int) -> None:
    points = landmarks81()[:count].astype(np.float32)
    np.testing.assert_allclose(flip(FACE, points, BOX)[1], points, atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.sampled_from([5, 68, 81]), st.booleans())
def test_mirroring_twice_restores_picture_points_and_box(seed: int, count: int, parity: bool) -> None:
    draws = rng(seed)
    picture = draws.integers(0, 256, (6, 9, 3)).astype(np.uint8)
    points, box = draws.integers(0, 9, (count, 2)).astype(np.float32), (1.0, 2.0, 5.0, 3.0)
    again = flip(*flip(picture, points, box, parity=parity), parity=parity)
    assert np.array_equal(again[0], picture)
    assert np.array_equal(again[1], points)
    assert again[2] == box


@pytest.mark.parametrize("parity", [False, True])
def test_mirrored_points_stay_on_their_pixels_and_the_official_ones_miss_by_one(parity: bool) -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    points = np.argwhere(np.ones((5, 1)))[:, ::-1].astype(np.float32) * 3 + (4, 5)
    for x, y in points.astype(int):
        picture[y, x] = 255
    mirrored, moved, (x, _, w, _) = flip(picture, points, (4, 5, 10, 8), parity=parity)
    columns = moved[:, 0].astype(int) - parity
    assert all(mirrored[y, x].all() for x, y in zip(columns, moved[:, 1].astype(int), strict=True))
    assert (x, x + w) == (16, 26)  # edges, not pixels: columns 4..13 become 16..25


def test_the_box_of_the_test_grows_by_an_eighth_a_side() -> None:
    left, top, right, bottom = final_crop((100, 100, 100, 120), (1000, 1000), np.full(4, 0.5))
    assert (left, right, top, bottom) == (87, 213, 85, 236)


def test_crops_end_at_the_border_of_the_picture() -> None:
    assert final_crop((2, 3, 100, 100), (105, 106), np.full(4, 0.5)) == (0, 0, 106, 105)
    assert large_crop(POINTS, SHAPE)[1] == 0


def test_the_large_crop_is_half_a_width_aside_a_height_above_and_two_fifths_below() -> None:
    """Points 0..67 span x 500..700 and y 600..850; the forehead does not count."""
    points = np.full((81, 2), (600.0, 700.0), np.float32)
    points[0], points[67], points[80] = (500, 600), (700, 850), (550, 300)
    assert large_crop(points, (2000, 2000)) == (400, 350, 801, 951)


# --- hulls ---


def near(mask: np.ndarray, inside: np.ndarray) -> bool:
    """One where the reference is a pixel or more inside, zero where it is more than 1.5 outside."""
    return bool((mask[inside >= 1] == 1).all() and (mask[inside < -1.5] == 0).all())


REFERENCE = {
    "dfl_full": [POINTS[part] for part in DFL_FULL],
    "components": [POINTS[part] for part in COMPONENTS],
    "extended": [lifted(POINTS.astype(int))[part] for part in COMPONENTS],
    "facehull": [POINTS],
    "face": [POINTS],
}


@pytest.mark.parametrize("variant", REFERENCE)
def test_a_hull_is_the_union_that_is_described(variant: str) -> None:
    mask = hull_mask(POINTS, SHAPE, variant)
    assert mask.dtype == np.float32
    assert near(mask, union_depth(REFERENCE[variant], SHAPE))
    assert mask.min() == 0
    assert mask.max() == 1


@pytest.mark.parametrize(("ours", "published"), [("_DFL_FULL", DFL_FULL), ("_COMPONENTS", COMPONENTS)])
def test_the_parts_of_the_unions_are_written_down_alike_twice(ours: str, published: list[list[int]]) -> None:
    """On a face from the front the parts overlap, so that a wrong index need not show in the mask."""
    assert [sorted(part) for part in getattr(selfblend, ours)] == [sorted(part) for part in published]


def test_lifted_brows_make_the_extended_hull_higher() -> None:
    """The brows of the ellipse face lie some 30 px above the eyes: half of that is gained."""
    top = {v: int(np.flatnonzero(hull_mask(POINTS, SHAPE, v).any(axis=1))[0]) for v in ("components", "extended")}
    assert 8 <= top["components"] - top["extended"] <= 16


@pytest.mark.parametrize("variant", ["dfl_full", "components"])
@pytest.mark.parametrize("count", [68, 81])
def test_unions_lie_inside_the_face_hull_and_a_pixel(variant: str, count: int) -> None:
    whole = dilate(hull_mask(POINTS[:count], SHAPE, "facehull") > 0, 3)
    assert not (hull_mask(POINTS[:count], SHAPE, variant) > 0)[~whole].any()


def test_only_the_face_hull_reaches_the_forehead() -> None:
    for variant in ("dfl_full", "components", "extended"):
        assert np.array_equal(hull_mask(POINTS, SHAPE, variant), hull_mask(POINTS[:68], SHAPE, variant))
    assert hull_mask(POINTS, SHAPE, "facehull").sum() > 1.2 * hull_mask(POINTS[:68], SHAPE, "facehull").sum()


def test_edges_are_soft_in_the_face_hull_alone() -> None:
    soft = [v for v in (*VARIANTS, "face") if len(np.unique(hull_mask(POINTS, SHAPE, v))) > 2]
    assert soft == ["facehull"]


def test_the_hull_of_five_points_holds_them_and_reaches_higher_with_the_forehead() -> None:
    low, high = (five_point_hull(FIVE, (96, 96), forehead=forehead) for forehead in (False, True))
    assert all(low[int(y), int(x)] == 1 for x, y in FIVE)
    assert np.flatnonzero(high.any(axis=1))[0] < np.flatnonzero(low.any(axis=1))[0]


def drawn_hulls(blender: SelfBlend, monkeypatch: pytest.MonkeyPatch, draws: int) -> Counter[tuple[int, str]]:
    seen: Counter[tuple[int, str]] = Counter()

    def record(points: np.ndarray, shape: tuple[int, int], variant: str) -> np.ndarray:
        seen[len(points), variant] += 1
        return np.ones(shape, np.float32)

    monkeypatch.setattr(selfblend, "hull_mask", record)
    for seed in range(draws):
        blender._hull(SMALL_POINTS, (8, 8), rng(seed))
    return seen


def test_a_quarter_loses_the_forehead_and_four_hulls_are_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn_hulls(SelfBlend(), monkeypatch, 2000)
    cells = [(count, variant) for count in (68, 81) for variant in ("dfl_full", "components", "extended", "facehull")]
    assert set(seen) == set(cells)
    assert fair([seen[cell] for cell in cells], [1 / 16] * 4 + [3 / 16] * 4)


def test_a_named_hull_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {variant for _, variant in drawn_hulls(SelfBlend(hull="face"), monkeypatch, 50)} == {"face"}


# --- the mask of the blend ---


def reference_mask(mask: np.ndarray, drawn: selfblend.BlendMask, eroded: np.ndarray | None = None) -> np.ndarray:
    """m by the description, in float64; the resizes are OpenCV's."""
    if eroded is None:
        resized = cv2.resize(mask.astype(np.float64), drawn.size, interpolation=cv2.INTER_LINEAR)
        eroded = erode(resized >= 1 - 1e-6, drawn.k1)
    b = soften(eroded, 1, drawn.k2, drawn.sigma)
    b = cv2.resize(b, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(drawn.ratio * b / b.max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_blend_mask_is_erosion_blur_and_ratio(variant: str) -> None:
    mask = hull_mask(POINTS, SHAPE, variant)
    for seed in range(6):
        drawn = blend_mask(mask, rng(seed))
        np.testing.assert_allclose(drawn.m, reference_mask(mask, drawn), atol=2e-6)


def test_sizes_kernels_and_sigmas_have_the_published_ranges() -> None:
    drawn = [blend_mask(hull_mask(SMALL_POINTS, (96, 96), "face"), rng(seed)) for seed in range(600)]
    assert {d.k1 for d in drawn} == {d.k2 for d in drawn} == set(range(5, 26, 2))
    assert {d.sigma for d in drawn} == set(range(5, 46))
    sides = [side for d in drawn for side in d.size]
    assert (min(sides), max(sides)) == (192, 256)
    assert np.corrcoef(*zip(*(d.size for d in drawn), strict=True))[0, 1] == pytest.approx(0, abs=0.15)
    assert np.corrcoef([d.k1 for d in drawn], [d.k2 for d in drawn])[0, 1] == pytest.approx(0, abs=0.15)


def test_a_thousand_masks_are_bounded_by_their_ratios_which_are_fair() -> None:
    """Maximum r to 1e-6; the share of r = 1 is a half, of the others a sixth; the mean area of m / r is 0.64 hulls, if
    the hull has some 22,000 px."""
    hull = hull_mask(200 + 0.87 * (POINTS[:68] - 200), SHAPE, "face")
    ratios: Counter[float] = Counter()
    areas = []
    for seed in range(1000):
        drawn = blend_mask(hull, rng(seed))
        assert drawn.m.min() >= 0
        assert drawn.m.max() == pytest.approx(drawn.ratio, abs=1e-6)
        ratios[drawn.ratio] += 1
        areas.append(float(drawn.m.sum()) / drawn.ratio / float(hull.sum()))
    assert fair([ratios[r] for r in (0.25, 0.5, 0.75, 1.0)], [1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert 0.62 < np.mean(areas) < 0.66
    assert min(areas) > 0.34
    assert max(areas) < 0.91


@pytest.fixture
def at_mask_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """No resizing: the picture is the mask's grid."""
    monkeypatch.setattr(selfblend.cv2, "resize", lambda image, size, interpolation: image)


@pytest.mark.usefixtures("at_mask_resolution")
def test_the_support_is_the_hull_eroded_by_k1_and_dilated_by_k2_squares() -> None:
    for seed in range(40):
        drawn = blend_mask(HULL, rng(seed))
        assert np.array_equal(drawn.m > 0, dilate(erode(HULL, drawn.k1), drawn.k2))


@pytest.mark.usefixtures("at_mask_resolution")
def test_the_support_leaves_the_hull_by_half_of_what_k2_exceeds_k1() -> None:
    for seed in range(40):
        drawn = blend_mask(HULL, rng(seed))
        reach = max(0, (drawn.k2 - drawn.k1) // 2) + 1
        assert not drawn.m[~dilate(HULL > 0, 2 * reach + 1)].any()


def test_a_mask_of_zeros_is_refused() -> None:
    with pytest.raises(ValueError, match="zero everywhere"):
        blend_mask(np.zeros((50, 50), np.float32), rng(0))


def test_a_mask_that_erosion_would_empty_is_softened_as_it_is() -> None:
    mask = np.zeros((96, 96), np.float32)
    mask[40:42, 40:42] = 1
    for seed in range(20):
        assert blend_mask(mask, rng(seed)).m.max() > 0.2


def test_a_face_outside_the_picture_is_refused() -> None:
    for points in (SMALL_POINTS, FIVE):
        with pytest.raises(ValueError, match="covers no pixel"):
            SelfBlend().pair(SMALL, points + 5000, rng(0))


# --- misalignment ---


def test_the_shift_is_three_and_one_and_a_half_percent_and_each_axis_has_its_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the centre of the picture the affine map moves by the shift alone."""
    matrices = []
    warp = cv2.warpAffine

    def record(image: np.ndarray, matrix: np.ndarray, *args: Any, **flags: Any) -> np.ndarray:
        matrices.append(matrix)
        return np.asarray(warp(image, matrix, *args, **flags))

    monkeypatch.setattr(selfblend.cv2, "warpAffine", record)
    picture, mask = np.zeros((60, 100, 3), np.uint8), np.ones((60, 100), np.float32)
    for seed in range(400):
        misalign(picture, mask, rng(seed))
    maps = np.array(matrices[::2])
    assert np.array_equal(maps, matrices[1::2])  # the same for the source and its mask
    assert not maps[:, [0, 1], [1, 0]].any()  # no rotation, no shear
    scale = maps[:, [0, 1], [0, 1]]
    shift = maps @ np.array([49.5, 29.5, 1]) - np.array([49.5, 29.5])
    for values, low, high in [
        *((scale[:, axis], 0.95, 1 / 0.95) for axis in (0, 1)),
        (shift[:, 0], -3.0, 3.0),
        (shift[:, 1], -0.9, 0.9),
    ]:
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(scale.T)[0, 1]) < 0.15


def test_black_comes_in_at_the_border_and_the_mask_stays_hard() -> None:
    white, mask = np.full((80, 80, 3), 255, np.uint8), np.ones((80, 80), np.float32)
    moved = [misalign(white, mask, rng(seed)) for seed in range(20)]
    assert any((source == 0).any() for source, _ in moved)
    assert all(np.isin(bent, (0, 1)).all() for _, bent in moved)
    assert any((bent == 0).any() for _, bent in moved)


def test_the_elastic_field_moves_by_the_closed_form() -> None:
    """Noise of variance 1/3 under a Gauss of 7 px keeps 1 / (4 pi 49) of it; times 50: 1.16 px a coordinate."""
    ramp = np.tile(np.arange(300, dtype=np.float32), (300, 1))
    moved = np.concatenate([(elastic(m, rng(seed)) - m)[40:-40, 40:-40] for seed in range(6) for m in (ramp, ramp.T)])
    assert moved.std() == pytest.approx(np.hypot(50 / np.sqrt(3 * 4 * np.pi * 49), np.sqrt(1 / 12)), rel=0.06)
    assert np.abs(moved).max() < 8


def test_bending_makes_no_new_values() -> None:
    assert set(np.unique(elastic(HULL, rng(0)))) == {0.0, 1.0}
    assert not np.array_equal(elastic(HULL, rng(0)), HULL)


def test_a_shift_is_rounded_and_in_the_official_code_truncated() -> None:
    for seed in range(20):
        exact = 100 + rng(seed).uniform(-20, 20, 3)
        assert selfblend._rgb_shift(GREY, rng(seed), parity=False)[0, 0].tolist() == np.round(exact).tolist()
        assert selfblend._rgb_shift(GREY, rng(seed), parity=True)[0, 0].tolist() == np.floor(exact).tolist()


def test_bending_leaves_a_mask_that_is_one_everywhere_alone() -> None:
    assert (elastic(np.ones((96, 96), np.float32), rng(3)) == 1).all()


# --- the change of one copy ---


def test_a_third_is_tinted_and_half_is_coarse_half_sharp() -> None:
    """With the official shift in HSV, a grey picture is tinted by the shift in RGB alone."""
    grey = np.repeat(rng(0).integers(100, 156, (24, 24, 1)), 3, axis=2).astype(np.uint8)
    tinted = coarse = 0
    for seed in range(800):
        changed = change(grey, rng(seed), parity=True).astype(float)
        tinted += bool(np.ptp(changed.mean(axis=(0, 1))) > 0.6)
        coarse += changed[..., 0].std() < grey[..., 0].std()
    assert fair([tinted, 800 - tinted], [0.3, 0.7])
    assert fair([coarse, 800 - coarse], [0.5, 0.5])


def test_the_tint_is_twenty_levels_at_most_and_each_channel_has_its_own() -> None:
    shifts = np.array([selfblend._rgb_shift(GREY, rng(s), parity=False)[0, 0] for s in range(600)]) - 100.0
    assert (shifts.min(), shifts.max()) == (-20, 20)
    assert np.abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 0.15


@pytest.mark.parametrize("parity", [False, True])
def test_brightness_and_contrast_are_a_line(parity: bool) -> None:
    """All 256 levels: round(alpha I + 255 beta), in the official code the integer part, clipped."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    for seed in range(20):
        draws = rng(seed)
        alpha, beta = 1 + draws.uniform(-0.1, 0.1), draws.uniform(-0.1, 0.1)
        line = np.clip(alpha * np.arange(256) + 255 * beta, 0, 255)
        expected = np.floor(line) if parity else np.round(line)
        got = selfblend._brightness_contrast(levels, 0.1, rng(seed), parity=parity)
        assert np.array_equal(got[:, 0, 0], expected)


def test_the_official_shift_in_hsv_is_nothing_or_one_level_down() -> None:
    picture = face(2, 64)
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(int)
    seen = set()
    for seed in range(60):
        got = selfblend._hsv_shift(picture, rng(seed), parity=True)
        options = {
            down: cv2.cvtColor(
                np.stack(
                    [(hsv[..., 0] - down[0]) % 180, *(np.maximum(hsv[..., c] - down[c], 0) for c in (1, 2))], -1
                ).astype(np.uint8),
                cv2.COLOR_HSV2RGB,
            )
            for down in np.ndindex(2, 2, 2)
        }
        seen.add(next(down for down, option in options.items() if np.array_equal(option, got)))
    assert len(seen) == 8


def test_the_default_shift_in_hsv_leaves_the_hue() -> None:
    picture = np.full((4, 4, 3), (150, 100, 60), np.uint8)
    hues = [
        cv2.cvtColor(selfblend._hsv_shift(picture, rng(s), parity=False), cv2.COLOR_RGB2HSV)[0, 0] for s in range(99)
    ]
    assert np.ptp([h[0] for h in hues]) <= 2  # rounding of the way back
    assert np.ptp([h[2] for h in hues]) > 40


def test_coarse_is_every_second_or_fourth_pixel() -> None:
    picture = rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    made = {
        factor: cv2.resize(picture[::factor, ::factor], (64, 64), interpolation=cv2.INTER_LINEAR) for factor in (2, 4)
    }
    seen = {
        next(f for f, m in made.items() if np.array_equal(selfblend._coarsen(picture, rng(seed)), m))
        for seed in range(12)
    }
    assert seen == {2, 4}


def test_sharp_is_the_kernel_of_alpha_and_lightness() -> None:
    """A bright point on grey: its neighbours fall by alpha times its height; far off the level is 1 - alpha (1 - l)."""
    picture = np.full((9, 9, 3), 120, np.uint8)
    picture[4, 4] = 130
    for seed in range(30):
        draws = rng(seed)
        alpha, lightness = draws.uniform(0.2, 0.5), draws.uniform(0.5, 1.0)
        got = selfblend._sharpen(picture, rng(seed)).astype(float)
        level = 120 * (1 - alpha * (1 - lightness))
        assert got[0, 0, 0] == pytest.approx(level, abs=0.51)
        assert got[4, 5, 0] == pytest.approx(level - 10 * alpha, abs=0.51)
        assert got[4, 4, 0] == pytest.approx(level + 10 * (1 - alpha + alpha * (8 + lightness)), abs=0.51)


# --- the pair ---


def test_a_blend_is_m_s_plus_one_minus_m_t() -> None:
    draws = rng(0)
    source, target = draws.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)
    m = draws.random((20, 30)).astype(np.float32)
    exact = m[..., None].astype(float) * source + (1 - m[..., None].astype(float)) * target
    assert np.abs(blend(source, target, m) - exact).max() <= 0.5 + 1e-3
    assert ((exact - blend(source, target, m, parity=True)) > -1e-3).all()  # truncated


@given(st.integers(0, 255), st.floats(0, 1, width=32))
def test_a_picture_blended_with_itself_is_itself(value: int, m: float) -> None:
    picture = np.full((2, 2, 3), value, np.uint8)
    assert np.array_equal(blend(picture, picture, np.full((2, 2), m, np.float32)), picture)


def test_fake_is_real_exactly_where_the_mask_is_zero() -> None:
    for seed in range(25):
        fake, real, m = SelfBlend().pair(FACE, POINTS, rng(seed))
        assert (m == 0).any()
        assert np.array_equal(fake[m == 0], real[m == 0])
        assert not np.array_equal(fake, real)


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source and target are the same picture: no change, no misalignment."""
    monkeypatch.setattr(selfblend, "change", lambda picture, rng, parity: picture)
    monkeypatch.setattr(selfblend, "misalign", lambda source, mask, rng: (source, mask))
    monkeypatch.setattr(selfblend, "elastic", lambda mask, rng: mask)


@pytest.mark.usefixtures("unchanged")
def test_nothing_differs_where_nothing_was_changed() -> None:
    for seed in range(25):
        fake, real, _ = SelfBlend().pair(FACE, POINTS, rng(seed))
        assert np.array_equal(fake, real)


@pytest.mark.usefixtures("unchanged")
def test_the_official_truncation_leaks_a_level_here_and_there() -> None:
    """0.4 % of the values on average, up to 0.8 %, one level darker in the fake: the label without any forgery."""
    shares = []
    for seed in range(25):
        fake, real, _ = SelfBlend(parity=True).pair(FACE, POINTS, rng(seed))
        darker = real.astype(int) - fake
        assert (darker.min(), darker.max()) in ((0, 0), (0, 1))
        shares.append((darker > 0).mean())
    assert 0 < np.mean(shares) < max(shares) <= 0.01


def test_the_official_code_without_its_hull_library_does_not_erode() -> None:
    """A mask of whole numbers is rounded back to itself by the first blur; in floating point it shrinks by k1."""
    whole = HULL.astype(np.uint8)
    for seed in range(12):
        drawn = blend_mask(whole, rng(seed), parity=True)
        resized = cv2.resize(whole, drawn.size, interpolation=cv2.INTER_LINEAR)
        kept = eroded_by_rounding(resized, drawn.k1)
        assert kept.sum() > 0.99 * resized.sum()
        np.testing.assert_allclose(drawn.m, reference_mask(HULL, drawn, kept), atol=0.02)
        assert drawn.m.sum() > blend_mask(HULL, rng(seed), parity=True).m.sum()


def test_parity_passes_a_mask_of_whole_numbers_for_the_plain_hull_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    real = selfblend.blend_mask

    def record(mask: np.ndarray, draws: np.random.Generator, *, parity: bool) -> selfblend.BlendMask:
        seen[hull, parity] = mask.dtype
        return real(mask, draws, parity=parity)

    monkeypatch.setattr(selfblend, "blend_mask", record)
    for hull in ("random", "face"):
        for parity in (False, True):
            SelfBlend(hull=hull, parity=parity).pair(SMALL, SMALL_POINTS, rng(0))
    assert seen.pop(("face", True)) == np.uint8
    assert set(seen.values()) == {np.dtype(np.float32)}


def test_the_official_comparison_of_floats_erodes_up_to_a_few_pixels() -> None:
    """It keeps a pixel whose blur misses one by a rounding error or not, as the build has it."""
    for k in range(5, 26, 2):
        official, exact = selfblend._eroded_by_blur(HULL, k) > 0, erode(HULL, k)
        assert np.count_nonzero(official != exact) <= 100
        assert not official[~dilate(exact, 3)].any()


@pytest.mark.parametrize("ratio", sorted(set(RATIOS)))
def test_no_pixel_differs_by_more_than_the_ratio_allows(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    shift = selfblend.misalign

    def record(source: np.ndarray, mask: np.ndarray, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        moved.append(shift(source, mask, draws))
        return moved[-1]

    monkeypatch.setattr(selfblend, "RATIOS", (ratio,))
    monkeypatch.setattr(selfblend, "misalign", record)
    for seed in range(6):
        fake, real, _ = SelfBlend().pair(FACE, POINTS, rng(seed))
        step = np.abs(moved[-1][0].astype(int) - real)
        assert (np.abs(fake.astype(int) - real) <= ratio * step + 1).all()


def test_in_half_of_the_pairs_the_real_is_the_changed_one() -> None:
    kept = sum(np.array_equal(SelfBlend().pair(SMALL, SMALL_POINTS, rng(s))[1], SMALL) for s in range(300))
    assert fair([kept, 300 - kept], [0.5, 0.5])


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("points", [FIVE, SMALL_POINTS[:68], SMALL_POINTS], ids=["5", "68", "81"])
def test_a_pair_is_a_function_of_the_seed_and_does_not_touch_its_picture(points: np.ndarray, parity: bool) -> None:
    picture, before = SMALL.copy(), points.copy()
    first, again, other = (SelfBlend(parity=parity).pair(picture, points, rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert all(part.dtype == np.uint8 and part.shape == SMALL.shape for part in first[:2])
    assert first[2].shape == SMALL.shape[:2]
    assert np.array_equal(picture, SMALL)
    assert np.array_equal(points, before)


# --- the sample ---


def small_box() -> tuple[float, float, float, float]:
    return 24.0, 20.0, 48.0, 62.0


@pytest.mark.parametrize("points", [FIVE, SMALL_POINTS], ids=["5", "81"])
def test_both_of_a_sample_have_one_size_and_one_crop(points: np.ndarray) -> None:
    sizes = set()
    for seed in range(30):
        fake, real = SelfBlend().sample(SMALL, points, small_box(), rng(seed))
        assert fake.shape == real.shape
        sizes.add(fake.shape)
    assert len(sizes) > 5  # each with margins of its own


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("train", [False, True])
def test_a_sample_without_a_change_is_the_same_picture_twice(train: bool) -> None:
    for seed in range(30):
        fake, real = SelfBlend().sample(SMALL, SMALL_POINTS, small_box(), rng(seed), train=train)
        assert np.array_equal(fake, real)


@pytest.mark.usefixtures("unchanged")
def test_the_crop_of_the_test_is_the_box_and_an_eighth_of_the_picture_as_it_is() -> None:
    left, top, right, bottom = final_crop(small_box(), (96, 96), np.full(4, 0.5))
    for seed in range(10):
        _, real = SelfBlend().sample(SMALL, SMALL_POINTS, small_box(), rng(seed), train=False)
        assert np.array_equal(real, SMALL[top:bottom, left:right])


def test_margins_in_training_are_drawn_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    cut = selfblend.final_crop

    def record(box: selfblend.Box, shape: tuple[int, int], margins: np.ndarray) -> selfblend.Edges:
        seen.append(margins)
        return cut(box, shape, margins)

    monkeypatch.setattr(selfblend, "final_crop", record)
    for seed in range(150):
        SelfBlend().sample(SMALL, SMALL_POINTS, small_box(), rng(seed))
    assert stats.kstest(np.ravel(seen), stats.uniform(0.2, 0.6).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(np.transpose(seen)) - np.eye(4)).max() < 0.35


def test_the_changes_of_the_pair_are_the_published_ones_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    qualities = set()
    for name in ("_rgb_shift", "_hsv_shift", "_brightness_contrast"):
        step = getattr(selfblend, name)

        def count(*args: Any, name: str = name, step: Any = step, **named: Any) -> Any:
            calls[name] += 1
            if name == "_brightness_contrast":
                assert args[1] == 0.3
            return step(*args, **named)

        monkeypatch.setattr(selfblend, name, count)
    encode = selfblend.jpeg

    def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
        calls["jpeg"] += 1
        qualities.add(quality)
        return np.asarray(encode(picture, quality))

    monkeypatch.setattr(selfblend, "jpeg", jpeg)
    picture = face(3, 48)[16:32, 16:32]
    for seed in range(1500):
        fake, real = augment_pair(picture, picture, rng(seed))
        assert np.array_equal(fake, real)
    for name, share in (("_rgb_shift", 0.3), ("_hsv_shift", 0.3), ("_brightness_contrast", 0.3), ("jpeg", 0.5)):
        done = calls[name] // 2
        assert fair([done, 1500 - done], [share, 1 - share])
    assert (min(qualities), max(qualities)) == (40, 100)
