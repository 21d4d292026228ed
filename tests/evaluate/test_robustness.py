"""Files saved again, real faces from elsewhere, crops cut otherwise: closed forms, the answers are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.checkpoint import Calibration, Card, Threshold
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.data.crops import CropSet
from verisight.data.faces import Face, crop_face
from verisight.data.quality import jpeg
from verisight.evaluate.intervals import Interval
from verisight.evaluate.protocol import Report, Scores, Select
from verisight.evaluate.robustness import (
    CONDITIONS,
    PLACEMENTS,
    Placement,
    Seen,
    crop_spread,
    cut,
    false_alarms,
    mean_of,
    placed_scores,
)
from verisight.evaluate.score import degraded

PLAIN = Preprocess(size=40, margin=1.25, jpeg_quality=None)
SURE = Threshold(value=0.8, rule="fpr@0.05", fitted_on="select")
CLEAR = Threshold(value=0.3, rule="fnr@0.1", fitted_on="select")


def detector(score, clear: Threshold | None = CLEAR) -> Detector:
    card = Card(
        name="closed-form",
        method="test",
        task="deepfake",
        positive="fake",
        recipe={},
        preprocess=PLAIN,
        aggregate="mean-of-frame-max",
        calibration=Calibration(),
        threshold=SURE,
        clear=clear,
    )
    return Detector(card, score, "f00d")


def brightness(batch: np.ndarray) -> np.ndarray:
    """Mean of a crop, in logits."""
    return batch.mean(axis=(1, 2, 3))


def crops(images: np.ndarray) -> CropSet:
    n = len(images)
    return CropSet(images, np.arange(n), np.zeros(n), np.ones((n, 5, 2), np.float32), ())


def noise(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


# --- conditions ---


def test_raw_crops_of_the_right_size_stay_as_they_are() -> None:
    images = noise(3, 40)
    np.testing.assert_array_equal(degraded(crops(images), CONDITIONS["raw"], PLAIN).images, images)


def test_a_condition_comes_before_the_detectors_own_jpeg() -> None:
    images = noise(2, 40)
    own = PLAIN.model_copy(update={"jpeg_quality": 90})
    found = degraded(crops(images), "jpeg:50", own).images
    np.testing.assert_array_equal(found, [jpeg(jpeg(image, 50), 90) for image in images])


def test_landmarks_and_boxes_move_with_the_size() -> None:
    given_ = replace(crops(noise(2, 80)), box=np.full((2, 4), 8.0, np.float32))
    found = degraded(given_, CONDITIONS["half"], PLAIN)
    assert found.images.shape == (2, 40, 40, 3)
    assert found.landmarks.max() == 0.5
    assert found.box is not None
    assert found.box.max() == 4.0


def test_every_condition_changes_pixels_and_noise_is_the_same_again() -> None:
    stored = crops(noise(1, 40))
    seen = {name: degraded(stored, chain, PLAIN).images.tobytes() for name, chain in CONDITIONS.items()}
    assert len(set(seen.values())) == len(CONDITIONS)
    noisy = [degraded(stored, "noise:8", PLAIN).images for _ in range(2)]
    np.testing.assert_array_equal(*noisy)


# --- false alarms ---


def scores(score: list[float], source: list[str], label: int = 0, split: type = Report) -> Scores:
    n = len(score)
    return Scores(
        split=split,
        fingerprint="f",
        label=np.full(n, label),
        score=np.array(score),
        path=np.array([f"{source[i]}/{i}" for i in range(n)]),
        group=np.array([f"{source[i]}{i}" for i in range(n)]),
        generator=np.full(n, "real"),
        source=np.array(source),
        video=np.array([f"{i}" for i in range(n)]),
        subject=np.full(n, ""),
    )


def test_false_alarms_are_counted_source_by_source_and_averaged_over_large_ones() -> None:
    one = scores([3.0, -3.0, 0.5, -3.0, -3.0, -3.0, -3.0, -3.0], ["a"] * 8)
    two = scores([3.0] * 5 + [-3.0] * 5 + [3.0], ["b"] * 10 + ["few"])
    found = false_alarms([one, two], Calibration(), SURE, CLEAR)
    assert {name: of.files for name, of in found.sources.items()} == {"a": 8, "b": 10, "few": 1}
    assert found.sources["a"].rate.value == 1 / 8
    assert found.sources["a"].doubt is not None
    assert found.sources["a"].doubt.value == 1 / 8
    assert found.counted == ("a", "b")
    assert found.mean is not None
    assert found.mean.value == pytest.approx((1 / 8 + 1 / 2) / 2)


def test_without_a_zone_nothing_is_in_doubt() -> None:
    assert false_alarms([scores([1.0], ["a"])], Calibration(), SURE).sources["a"].doubt is None


def test_fakes_are_no_false_alarms_and_select_data_are_refused() -> None:
    with pytest.raises(DataError, match="no real file"):
        false_alarms([scores([3.0], ["a"], label=1)], Calibration(), SURE)
    with pytest.raises(DataError, match="select data"):
        false_alarms([scores([3.0], ["a"], split=Select)], Calibration(), SURE)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1, max_size=6))
def test_the_mean_of_independent_figures_is_as_wide_as_their_root_sum_of_squares(
    figures: list[tuple[float, float, float]],
) -> None:
    of = {str(i): Interval(value=v, low=v - a, high=v + b, groups=3) for i, (v, a, b) in enumerate(figures)}
    mean, k = mean_of(of), len(figures)
    assert mean.value == pytest.approx(sum(v for v, _, _ in figures) / k)
    assert mean.value - mean.low == pytest.approx(math.hypot(*(a for _, a, _ in figures)) / k)
    assert mean.high - mean.value == pytest.approx(math.hypot(*(b for _, _, b in figures)) / k)
    assert mean.groups == 3 * k


def test_a_figure_without_bounds_has_no_place_in_a_mean() -> None:
    with pytest.raises(DataError, match="too few groups"):
        mean_of({"one": Interval(value=0.1, groups=1)})


# --- crops ---


def test_at_the_detectors_own_placement_a_crop_is_that_of_a_scan() -> None:
    picture, face = noise(1, 200)[0], Face((70.0, 80.0, 48.0, 40.0), 1.0)
    ours = cut(picture, face, Placement(1.25), PLAIN)
    np.testing.assert_array_equal(ours, crop_face(picture, face, PLAIN))


def test_a_placement_widens_and_moves_by_shares_of_the_face() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[:, 124:] = 255  # from 24 px right of the centre on
    face = Face((80.0, 80.0, 40.0, 40.0), 1.0)
    assert cut(picture, face, Placement(1.2), PLAIN).max() == 0  # to 24 px
    assert cut(picture, face, Placement(1.6), PLAIN).max() == 255  # to 32 px
    assert cut(picture, face, Placement(1.2, right=0.1), PLAIN).max() == 255  # to 28 px
    assert cut(picture, face, Placement(1.2, down=0.1), PLAIN).max() == 0
    assert cut(picture, Face((0.0, 80.0, 40.0, 40.0), 1.0), Placement(1.2), PLAIN) is None


def test_a_detector_that_sees_no_crop_has_no_spread() -> None:
    pictures = [Seen(noise(1, 200)[0], Face((80.0, 80.0, 40.0, 40.0), 1.0), str(i)) for i in range(6)]
    score, group = placed_scores(detector(lambda batch: np.full(len(batch), 0.7)), pictures)
    assert score.shape == (6, len(PLACEMENTS))
    found = crop_spread(score, group, detector(brightness))
    assert (found.pictures, found.sd.value, found.between.value, found.flips.value) == (6, 0.0, 0.0, 0.0)


def test_the_spread_is_the_root_mean_variance_and_flips_are_counted() -> None:
    """Three pictures that are sure, doubtful and real at their own crop; at every other one the first is real."""
    own = PLACEMENTS.index(Placement(1.25))
    score = np.zeros((3, len(PLACEMENTS)))
    score[0], score[2] = -3.0, -3.0
    score[0, own] = 3.0
    found = crop_spread(score, np.array(["a", "b", "c"]), detector(brightness))
    n = len(PLACEMENTS)
    variance = 36 * (1 / n) * (1 - 1 / n) * n / (n - 1)
    assert found.sd.value == pytest.approx(math.sqrt(variance / 3))
    assert found.between.value == pytest.approx(np.std([3.0, 0.0, -3.0]))
    assert found.flips.value == pytest.approx(1 / 3)
    assert found.opposite.value == pytest.approx(1 / 3)
    assert found.placements["1.60"].moved.value == pytest.approx(-2.0)


def test_placements_that_do_not_fit_are_left_out_and_pictures_without_any_are_refused() -> None:
    score = np.full((2, len(PLACEMENTS)), np.nan)
    score[:, PLACEMENTS.index(Placement(1.25))] = 1.0
    with pytest.raises(DataError, match="no picture in which two crops fit"):
        crop_spread(score, np.array(["a", "b"]), detector(brightness))
    score[0, PLACEMENTS.index(Placement(1.1))] = 2.0
    found = crop_spread(score, np.array(["a", "b"]), detector(brightness))
    assert (found.pictures, list(found.placements)) == (1, ["1.10"])


def test_an_own_margin_that_is_none_of_the_placements_is_refused() -> None:
    odd = detector(brightness)
    odd.card = odd.card.model_copy(update={"preprocess": PLAIN.model_copy(update={"margin": 1.27})})
    with pytest.raises(DataError, match=r"margin 1\.27"):
        placed_scores(odd, [])
