"""A zone of doubt is reported with intervals, on data that it was not chosen on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.evaluate.abstention import doubt, risk_coverage, share
from verisight.evaluate.protocol import Report, Scores, Select, Split

UNSCALED = Calibration()


def scores_of(label: object, probability: object, split: type[Split], group: object = None) -> Scores:
    """Files with these probabilities under UNSCALED."""
    y, p = np.asarray(label), np.asarray(probability, np.float64)
    name = np.array([f"{i}.png" for i in range(len(y))])
    return Scores(
        split=split,
        fingerprint="feed",
        path=name,
        label=y,
        score=np.log(p) - np.log1p(-p),
        group=name if group is None else np.asarray(group).astype(str),
        generator=np.where(y == 1, "swap", "real"),
        source=np.where(y == 1, "", "camera"),
    )


def at(value: float) -> Threshold:
    return Threshold(value=value, rule="by hand", fitted_on="nothing")


TEN = scores_of([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.7, 0.25, 0.5, 0.6, 0.8, 0.9], Report)


def test_what_a_zone_does_is_counted_over_the_decided() -> None:
    found = doubt(TEN, UNSCALED, at(0.45), at(0.75))  # in doubt: 0.7 real, 0.5 and 0.6 fake
    assert_allclose([found.coverage.value, found.reals.value, found.fakes.value], [0.7, 0.8, 0.6])
    assert found.error is not None
    assert found.fpr is not None
    assert found.fnr is not None
    assert_allclose([found.error.value, found.fpr.value, found.fnr.value], [1 / 7, 0, 1 / 3])
    assert_allclose(found.error_without.value, 3 / 10)  # at 0.75: three fakes missed


def test_an_empty_zone_decides_everything() -> None:
    found = doubt(TEN, UNSCALED, at(0.45), at(0.45))
    assert found.coverage.value == 1
    assert found.error == found.error_without


def test_a_zone_in_which_all_reals_lie_has_no_false_alarm_rate() -> None:
    found = doubt(scores_of([0, 0, 1, 1], [0.5, 0.6, 0.7, 0.9], Report), UNSCALED, at(0.4), at(0.65))
    assert found.fpr is None
    assert found.reals.value == 0


def test_a_zone_upside_down_select_data_and_a_missing_class_are_refused() -> None:
    with pytest.raises(DataError, match="below its start"):
        doubt(TEN, UNSCALED, at(0.8), at(0.5))
    with pytest.raises(DataError, match="was to be reported on select data"):
        doubt(scores_of([0, 1], [0.2, 0.8], Select), UNSCALED, at(0.4), at(0.5))
    with pytest.raises(DataError, match="hold no fakes"):
        risk_coverage(scores_of([0, 0], [0.2, 0.8], Report), UNSCALED, at(0.5))


def test_the_curve_starts_at_everything_and_ends_where_nothing_is_called_real() -> None:
    curve = risk_coverage(TEN, UNSCALED, at(0.65), resamples=100)
    assert curve[0].coverage.value == 1
    assert_allclose(curve[0].error.value, 0.4)  # 0.7 is a false alarm; 0.25, 0.5 and 0.6 are missed
    assert [p.coverage.value for p in curve] == sorted((p.coverage.value for p in curve), reverse=True)
    assert_allclose(curve[-1].coverage.value, 0.3)
    assert_allclose(curve[-1].error.value, 1 / 3)  # of 0.7, 0.8, 0.9, one is real
    for point in curve:
        again = doubt(TEN, UNSCALED, at(point.clear), at(0.65), resamples=100)
        assert (again.coverage, again.error) == (point.coverage, point.error)


def test_a_detector_that_calls_nothing_fake_has_a_curve_without_the_empty_end() -> None:
    curve = risk_coverage(TEN, UNSCALED, at(0.95), resamples=50)
    assert min(point.coverage.value for point in curve) > 0


def test_the_share_of_files_alone_is_the_exact_binomial_one() -> None:
    from scipy.stats import beta

    found = share(np.repeat([True, False], [7, 33]), np.arange(40))
    assert_allclose([found.low, found.high], [beta.ppf(0.025, 7, 34), beta.ppf(0.975, 8, 33)])
    assert (found.value, found.groups, found.method) == (0.175, 40, "exact binomial over files")


def test_a_share_over_groups_is_as_wide_as_its_groups_are_few() -> None:
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(60), 10)
    hit = rng.random(60)[video] < 0.3  # all frames of a video alike
    by_video, by_frame = share(hit, video), share(hit, np.arange(600))
    assert None not in (by_video.low, by_video.high, by_frame.low, by_frame.high)
    ratio = (by_video.high - by_video.low) / (by_frame.high - by_frame.low)
    assert_allclose(ratio, np.sqrt(10), rtol=0.12)


def test_no_event_in_few_groups_leaves_much_open_and_one_group_everything() -> None:
    none = share(np.zeros(40, bool), np.repeat(np.arange(4), 10))
    assert none.high is not None
    assert_allclose(none.high, 1 - 0.025 ** (1 / 4))
    alone = share(np.zeros(40, bool), np.zeros(40))
    assert (alone.low, alone.high, str(alone)) == (None, None, "0.000 [too few groups]")
    with pytest.raises(DataError, match="no rows"):
        share([], [])
