"""The bootstrap against closed forms, and on data whose rows hang together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from verisight.core.errors import DataError
from verisight.evaluate.intervals import Interval, bootstrap, certain
from verisight.evaluate.metrics import auc, balanced_accuracy, eer, true_positive_rate


def width(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return interval.high - interval.low


def delong_se(y: np.ndarray, s: np.ndarray) -> float:
    """Standard error of the AUC by its structural components (DeLong 1988, eqs. 4-6), written out pair by pair."""
    pos, neg = s[y == 1], s[y == 0]
    wins = (pos[:, None] > neg) + (pos[:, None] == neg) / 2
    return float(np.sqrt(wins.mean(1).var(ddof=1) / len(pos) + wins.mean(0).var(ddof=1) / len(neg)))


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [120, 150])
    return y, rng.normal(1.2 * y, 1)


def test_with_groups_of_one_the_interval_is_that_of_delong(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = rows
    interval = bootstrap(auc, y, s, np.arange(len(y)))
    assert interval.value == auc(y, s)
    assert_allclose(width(interval), 2 * 1.96 * delong_se(y, s), rtol=0.06)


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    decision = np.repeat([1.0, 0.0], [160, 40])
    interval = bootstrap(true_positive_rate, np.ones(200), decision, np.arange(200))
    assert interval.value == 0.8
    assert_allclose(width(interval), 2 * 1.96 * np.sqrt(0.8 * 0.2 / 200), rtol=0.06)


def test_copies_of_rows_inside_their_groups_change_nothing(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = rows
    group = np.arange(len(y))
    once, forty = (
        bootstrap(auc, np.repeat(y, k), np.repeat(s, k), np.repeat(group, k), resamples=500) for k in (1, 40)
    )
    assert_allclose([forty.value, forty.low, forty.high], [once.value, once.low, once.high], atol=1e-12)
    frames = bootstrap(auc, np.repeat(y, 4), np.repeat(s, 4), np.arange(4 * len(y)), resamples=500)
    assert width(frames) < 0.6 * width(once)  # what counting frames as evidence would pretend


def clustered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """40 videos a class, 5 frames each; most of the variance lies between videos. Total variance 1."""
    group = np.repeat(np.arange(80), 5)
    y = (group >= 40).astype(int)
    return y, y + rng.normal(0, np.sqrt(0.8), 80)[group] + rng.normal(0, np.sqrt(0.2), 400), group


def test_the_interval_holds_the_true_auc_as_often_as_it_says() -> None:
    from scipy.stats import norm

    truth, rng = norm.cdf(1 / np.sqrt(2)), np.random.default_rng(2)
    holds = {"by video": 0, "by frame": 0}
    for trial in range(120):
        y, s, group = clustered(rng)
        for name, of in (("by video", group), ("by frame", np.arange(400))):
            interval = bootstrap(auc, y, s, of, resamples=150, level=0.9, seed=trial)
            holds[name] += interval.low <= truth <= interval.high
    assert 98 <= holds["by video"] <= 118  # 0.9 of 120 is 108; three standard errors of a share are 10
    assert holds["by frame"] < 85


def test_equal_seeds_give_equal_intervals_and_others_do_not(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = rows
    first, again, other = (bootstrap(auc, y, s, np.arange(len(y)), resamples=200, seed=k) for k in (0, 0, 1))
    assert first == again
    assert first != other


def test_names_of_groups_and_order_of_classes_do_not_matter(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = rows
    number = np.arange(len(y)) // 2
    named = np.array([f"video{n:04d}" for n in number])
    assert bootstrap(eer, y, s, number, resamples=100) == bootstrap(eer, y, s, named, resamples=100)


def test_draws_without_a_class_are_left_out_and_counted() -> None:
    y, s = np.repeat([0, 1], [2, 2]), np.array([0.0, 2.0, 1.0, 3.0])
    interval = bootstrap(auc, y, s, np.arange(4), resamples=4000)
    # A draw of four lacks a given class with probability 1/16.
    assert_allclose(interval.resamples / 4000, 1 - 2 / 16, atol=0.02)
    assert interval.groups == 4


def test_a_class_in_a_single_group_has_no_interval() -> None:
    y, s = np.repeat([0, 1], [40, 40]), np.random.default_rng(0).normal(size=80)
    one_video = np.where(y == 1, "the video", np.arange(80).astype(str))
    interval = bootstrap(auc, y, s, one_video)
    assert (interval.low, interval.high, interval.resamples, interval.groups) == (None, None, 0, 41)
    assert "too few groups" in str(interval)
    assert interval.value == auc(y, s)


def test_two_videos_that_hold_both_classes_have_an_interval() -> None:
    y, s, group = [0, 1, 0, 1], [0, 1, 2, 1], [0, 0, 1, 1]
    interval = bootstrap(auc, y, s, group)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_draws_that_are_all_alike_give_no_bounds_and_say_why() -> None:
    """Ten fakes found of ten: resampling them shows nothing but fakes that were found."""
    interval = bootstrap(true_positive_rate, np.ones(10), np.ones(10), np.arange(10), resamples=200)
    assert (interval.value, interval.low, interval.high, interval.resamples) == (1.0, None, None, 200)
    assert str(interval) == "1.000 [every draw alike]"


@pytest.mark.parametrize(("trials", "level"), [(2, 0.95), (20, 0.95), (300, 0.9)])
def test_a_certain_share_has_the_exact_binomial_interval(trials: int, level: float) -> None:
    from scipy.stats import binomtest

    for value in (0.0, 1.0):
        interval = certain(value, trials, "groups", groups=trials, level=level)
        exact = binomtest(int(value * trials), trials).proportion_ci(level, method="exact")
        assert_allclose([interval.low, interval.high], exact, atol=1e-12)


def test_the_level_sets_the_width(rows: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = rows
    d = (s > 0.6).astype(float)
    group = np.arange(len(y))
    narrow, wide = (bootstrap(balanced_accuracy, y, d, group, level=level) for level in (0.68, 0.95))
    assert_allclose(width(wide) / width(narrow), 1.96 / 0.994, rtol=0.1)
    assert wide.level == 0.95


def test_it_prints_three_digits_and_bounds_of_two() -> None:
    assert str(Interval(value=0.9124, low=0.8812, high=0.9351, groups=9, resamples=100)) == "0.912 [0.88, 0.94]"


def test_an_interval_survives_json_with_and_without_bounds() -> None:
    for interval in (
        Interval(value=0.5, groups=1),
        Interval(value=0.912345678, low=0.8, high=1.0, groups=5, resamples=99),
    ):
        text = interval.model_dump_json()
        assert Interval.model_validate_json(text).model_dump_json() == text
    assert '"value":0.912346' in text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"group": [0, 1, 2]}, "3 groups for 4 rows"),
        ({"level": 1.0}, "level"),
        ({"resamples": 0}, "resamples"),
        ({"label": [1, 1, 1, 1]}, "hold no negatives"),
        ({"score": [0, 1, 2, float("nan")]}, "not finite"),
    ],
)
def test_bad_input_is_refused(changes: dict, named: str) -> None:
    good = {"label": [0, 1, 0, 1], "score": [0, 1, 2, 3], "group": [0, 1, 2, 3]}
    with pytest.raises(DataError, match=named):
        bootstrap(auc, **{**good, **changes})
