"""Augmentation is a function of crop, settings and generator, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import DataError
from verisight.core.recipe import AugmentSpec
from verisight.data.augment import augment

NOTHING = AugmentSpec(crop=0, flip=False, colour=0, quality="")
CROP = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
share = st.floats(0, 1)
specs = st.builds(
    AugmentSpec,
    crop=st.floats(0, 1, exclude_max=True),
    flip=st.booleans(),
    colour=share,
    widen=share,
    quality=st.sampled_from(["", "jpeg:40..95?0.5", "resize:0.5..1 blur:0.3..1.5?0.5 noise:2", "c40"]),
)


def with_only(**changes: object) -> AugmentSpec:
    return NOTHING.model_copy(update=changes)


def drawn(spec: AugmentSpec, seed: int, crop: np.ndarray = CROP) -> np.ndarray:
    return augment(crop, spec, np.random.default_rng(seed))


@given(specs, st.integers(0, 2**32 - 1), st.sampled_from([16, 33, 48]))
def test_size_and_type_stay_and_equal_generators_give_equal_pictures(spec: AugmentSpec, seed: int, size: int) -> None:
    crop = np.ascontiguousarray(CROP[:size, :size])
    before = crop.copy()
    made = drawn(spec, seed, crop)
    assert made.shape == crop.shape
    assert made.dtype == np.uint8
    assert made.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(crop, before)
    np.testing.assert_array_equal(drawn(spec, seed, crop), made)


@given(st.integers(0, 2**32 - 1))
def test_all_zero_is_the_identity(seed: int) -> None:
    np.testing.assert_array_equal(drawn(NOTHING, seed), CROP)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 0.2},
        {"widen": 0.2},
        {"flip": True},
        {"colour": 0.2},
        {"quality": "resize:0.4..0.9"},
        {"quality": "jpeg:40..95"},
    ],
    ids=lambda c: " ".join(map(str, next(iter(c.items())))),
)
def test_every_setting_does_something_alone_and_differently_for_every_seed(changes: dict[str, object]) -> None:
    made = [drawn(with_only(**changes), seed).tobytes() for seed in range(12)]
    assert any(picture != CROP.tobytes() for picture in made)
    assert len(set(made)) > 1


def test_flip_mirrors_about_half_of_the_draws_and_does_nothing_else() -> None:
    made = [drawn(with_only(flip=True), seed) for seed in range(200)]
    mirrored = sum(np.array_equal(picture, CROP[:, ::-1]) for picture in made)
    assert mirrored + sum(np.array_equal(picture, CROP) for picture in made) == 200
    assert 70 <= mirrored <= 130  # 100 +- 4 standard deviations


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_a_probability_is_the_share_of_changed_pictures(share: float) -> None:
    changed = sum(not np.array_equal(drawn(with_only(quality=f"jpeg:60?{share}"), seed), CROP) for seed in range(200))
    assert changed / 200 == pytest.approx(share, abs=0.13)


def test_the_random_square_is_a_part_of_the_picture() -> None:
    """A horizontal ramp cut to between 1/2 and 1 of its side spans between 1/2 and 1 of its values."""
    ramp = np.repeat(np.arange(0, 192, 4, dtype=np.uint8)[None, :, None], 48, axis=0).repeat(3, axis=2)
    spans = [float(np.ptp(drawn(with_only(crop=0.5), seed, ramp)[24, :, 0])) for seed in range(100)]
    assert max(spans) <= 192
    assert min(spans) >= 90
    assert max(spans) - min(spans) > 50


def test_a_widened_square_holds_the_whole_picture_shrunk_and_moved() -> None:
    dot = np.zeros((48, 48, 3), np.uint8)
    dot[22:26, 22:26] = 200
    made = [drawn(with_only(widen=0.5), seed, dot)[..., 0] for seed in range(60)]
    for picture in made:  # the mirror begins at most 24 px from the border, so the dot comes once
        assert 0.4 * 16 * 200 <= picture.sum() <= 1.1 * 16 * 200
    middles = np.array([np.average(np.arange(48), weights=picture.sum(axis=0)) for picture in made])
    assert middles.min() < 20
    assert middles.max() > 27


def test_a_quality_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="jpg"):
        drawn(with_only(quality="jpg:40"), 0)


def test_colour_moves_no_grey_out_of_grey() -> None:
    grey = np.repeat(CROP[..., :1], 3, axis=2)
    made = drawn(with_only(colour=0.5), 3, grey).astype(int)
    assert np.ptp(made, axis=2).max() <= 1
