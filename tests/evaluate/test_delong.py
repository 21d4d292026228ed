"""DeLong's variance against closed forms, pairs written out, another model's formula, and resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from verisight.core.errors import DataError
from verisight.evaluate.delong import METHOD, auc_difference, auc_interval, aucs, components
from verisight.evaluate.intervals import bootstrap, percentile
from verisight.evaluate.metrics import auc

# label, score, score of another detector, group: many ties, groups of one to many rows, some with both classes
TABLE = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 5)), min_size=4, max_size=25
).filter(lambda rows: all(len({row[3] for row in rows if row[0] == c}) >= 2 for c in (0, 1)))


def columns(rows: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows)
    return table[:, 0], table[:, 1:3].astype(float), table[:, 3]


def by_pairs(y: np.ndarray, scores: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Obuchowski's S10 / M + S01 / N + 2 S11 / (M N), written out over pairs of rows and groups."""
    M, N = (y == 1).sum(), (y == 0).sum()
    names = sorted(set(group.tolist()))
    D10, D01 = {}, {}
    for k, s in enumerate(scores.T):
        wins = {
            (i, j): float(s[i] > s[j]) + float(s[i] == s[j]) / 2
            for i in np.flatnonzero(y == 1)
            for j in np.flatnonzero(y == 0)
        }
        theta = sum(wins.values()) / (M * N)
        for g in names:
            pos, neg = np.flatnonzero((y == 1) & (group == g)), np.flatnonzero((y == 0) & (group == g))
            D10[k, g] = sum(w for (i, _), w in wins.items() if i in pos) / N - len(pos) * theta
            D01[k, g] = sum(w for (_, j), w in wins.items() if j in neg) / M - len(neg) * theta
    I10, I01, I = len(set(group[y == 1])), len(set(group[y == 0])), len(names)  # noqa: E741
    out = np.empty((scores.shape[1],) * 2)
    for r in range(len(out)):
        for t in range(len(out)):
            S10 = I10 / ((I10 - 1) * M) * sum(D10[r, g] * D10[t, g] for g in names)
            S01 = I01 / ((I01 - 1) * N) * sum(D01[r, g] * D01[t, g] for g in names)
            S11 = I / (I - 1) * sum(D10[r, g] * D01[t, g] + D10[t, g] * D01[r, g] for g in names) / 2
            out[r, t] = S10 / M + S01 / N + 2 * S11 / (M * N)
    return out


def test_two_positives_and_two_negatives_by_hand() -> None:
    y, s = np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 2.0, 3.0])
    assert_array_equal(components(y, s), [1.0, 0.5, 0.5, 1.0])
    found = aucs(y, s, np.arange(4))
    # V10 = (1/2, 1) and V01 = (1, 1/2), each of variance 1/8: 1/8 / 2 + 1/8 / 2
    assert found.auc[0] == 0.75
    assert_allclose(found.covariance, [[1 / 8]])


def test_two_groups_that_hold_both_classes_by_hand() -> None:
    y, s, group = np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 0, 1, 1])
    # D10 / M = (-1/8, 1/8), D01 / N = (1/8, -1/8): 2 (1/32 + 1/32) + 2 * 2 (-1/32) = 0: what one group gains in its
    # positives it loses in its negatives.
    assert_allclose(aucs(y, s, group).covariance, [[0.0]], atol=1e-15)
    assert auc_interval(y, s, group).low is None  # no variance, and yet nobody would call 0.75 certain


@given(TABLE)
def test_the_covariance_is_that_of_all_pairs_written_out(rows: list[tuple[int, ...]]) -> None:
    y, scores, group = columns(rows)
    assert_allclose(aucs(y, scores, group).covariance, by_pairs(y, scores, group), atol=1e-12)


@given(TABLE)
def test_with_a_row_a_group_it_is_the_covariance_of_the_components(rows: list[tuple[int, ...]]) -> None:
    y, scores, _ = columns(rows)
    V = np.stack([components(y, s) for s in scores.T])
    plain = np.cov(V[:, y == 1]) / (y == 1).sum() + np.cov(V[:, y == 0]) / (y == 0).sum()
    assert_allclose(aucs(y, scores, np.arange(len(y))).covariance, plain, atol=1e-12)


@given(TABLE)
def test_the_mean_component_of_each_class_is_the_auc(rows: list[tuple[int, ...]]) -> None:
    y, scores, group = columns(rows)
    for k, s in enumerate(scores.T):
        V = components(y, s)
        assert_allclose([V[y == 1].mean(), V[y == 0].mean()], auc(y, s), atol=1e-12)
        assert aucs(y, scores, group).auc[k] == auc(y, s)


@given(TABLE)
def test_copies_of_rows_inside_their_groups_change_nothing(rows: list[tuple[int, ...]]) -> None:
    y, scores, group = columns(rows)
    again = aucs(np.repeat(y, 3), np.repeat(scores, 3, axis=0), np.repeat(group, 3))
    assert_allclose(again.covariance, aucs(y, scores, group).covariance, atol=1e-12)


def test_exponential_scores_have_the_variance_of_hanley_and_mcneil() -> None:
    """Their formula (1982, eq. 1, with Q1 and Q2 of two exponentials) is exact for this model."""
    rng, n = np.random.default_rng(0), 3000
    y, s = np.repeat([0, 1], n), np.append(rng.exponential(1, n), rng.exponential(3, n))
    theta = 3 / 4  # P(Exp of mean 3 > Exp of mean 1)
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    expected = (theta * (1 - theta) + (n - 1) * (q1 - theta**2) + (n - 1) * (q2 - theta**2)) / n**2
    assert_allclose(aucs(y, s, np.arange(2 * n)).covariance[0, 0], expected, rtol=0.05)


def videos(rng: np.random.Generator, count: int = 60, frames: int = 5) -> tuple[np.ndarray, ...]:
    """Label, scores of two detectors that share what makes a video hard, group; some videos hold both classes."""
    group = np.repeat(np.arange(count), frames)
    y = np.where(group < count // 3, rng.integers(0, 2, count * frames), group % 2)
    hard = rng.normal(0, 1, count)[group]
    own = rng.normal(0, 0.6, (count, 2))[group]
    return y, (1.2 * y + hard)[:, None] + own + rng.normal(0, 0.4, (len(y), 2)), group


def test_it_agrees_with_a_bootstrap_of_groups() -> None:
    y, scores, group = videos(np.random.default_rng(4))
    first, second = scores.T
    ours, drawn = auc_interval(y, first, group), bootstrap(auc, y, first, group)
    assert_allclose([ours.low, ours.high], [drawn.low, drawn.high], atol=0.015)
    paired = auc_difference(y, first, second, group).interval
    drawn, _ = percentile(lambda w: auc(y, first, w) - auc(y, second, w), y, group, resamples=2000)
    assert_allclose(paired.value, drawn.value, atol=1e-12)
    assert_allclose([paired.low, paired.high], [drawn.low, drawn.high], atol=0.015)
    by_frame = auc_difference(y, first, second, np.arange(len(y))).interval
    assert by_frame.high - by_frame.low < 0.7 * (paired.high - paired.low)  # what counting frames would pretend


def test_intervals_hold_the_truth_and_p_values_reject_equals_as_often_as_they_say() -> None:
    from scipy.stats import norm

    rng, trials = np.random.default_rng(5), 300
    truth = norm.cdf(1.2 / np.sqrt(2 * (1 + 0.36 + 0.16)))
    holds, rejected = 0, 0
    for _ in range(trials):
        y, scores, group = videos(rng)
        y, scores, group = (column[group >= 20] for column in (y, scores, group))  # classes in groups of their own
        interval = auc_interval(y, scores[:, 0], group)
        holds += interval.low <= truth <= interval.high
        rejected += auc_difference(y, scores[:, 0], scores[:, 1], group).p < 0.05
    assert abs(holds / trials - 0.95) < 0.038  # three standard errors of a share
    assert abs(rejected / trials - 0.05) < 0.038


def test_a_better_detector_is_told_from_a_worse_one_by_pairing() -> None:
    y, scores, group = videos(np.random.default_rng(6), count=80)
    better = scores[:, 0] + 0.5 * y
    paired = auc_difference(y, better, scores[:, 0], group)
    assert paired.p < 1e-4
    one, other = auc_interval(y, better, group), auc_interval(y, scores[:, 0], group)
    assert one.low < other.high  # the intervals of each overlap all the same


def test_the_difference_of_means_is_that_of_the_contrast() -> None:
    y, scores, group = videos(np.random.default_rng(7))
    noise = np.random.default_rng(8).normal(0, 0.3, scores.shape)
    ours, theirs = scores + noise, scores[:, :1]
    found = auc_difference(y, ours, theirs, group)
    both = aucs(y, np.hstack([ours, theirs]), group)
    error = np.sqrt(np.array([0.5, 0.5, -1]) @ both.covariance @ [0.5, 0.5, -1])
    assert_allclose(found.interval.high - found.interval.low, 2 * 1.959964 * error, rtol=1e-6)
    assert auc_interval(y, ours, group).value == pytest.approx(both.auc[:2].mean())


@given(TABLE)
def test_a_detector_does_not_differ_from_itself_and_exchanging_two_turns_the_sign(rows: list[tuple[int, ...]]) -> None:
    y, scores, group = columns(rows)
    assert auc_difference(y, scores[:, 0], scores[:, 0], group).p == 1.0
    one, other = (auc_difference(y, *pair, group) for pair in ((scores[:, 0], scores[:, 1]), scores.T[::-1]))
    assert_allclose(one.interval.value, -other.interval.value, atol=1e-12)
    assert_allclose(one.interval.low, -other.interval.high, atol=1e-12)
    assert (one.p is None) == (other.p is None)
    assert one.p is None or one.p == pytest.approx(other.p)


@given(TABLE)
def test_the_interval_stays_between_zero_and_one_around_the_auc(rows: list[tuple[int, ...]]) -> None:
    y, scores, group = columns(rows)
    interval = auc_interval(y, scores[:, 0], group)
    if interval.low is None:
        assert by_pairs(y, scores, group)[0, 0] < 1e-15
        return
    assert 0 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1


@pytest.mark.parametrize("groups", [2, 12, 100])
def test_classes_that_are_kept_apart_without_exception_get_the_exact_binomial_bound(groups: int) -> None:
    from scipy.stats import binomtest

    y = np.repeat([0, 1], 3 * groups)
    group = np.arange(6 * groups) // 3
    for sign, theta in ((1, 1.0), (-1, 0.0)):
        interval = auc_interval(y, sign * (y + 0.1 * np.sin(group)), group)
        exact = binomtest(int(theta * groups), groups).proportion_ci(method="exact")
        assert interval.value == theta
        assert_allclose([interval.low, interval.high], exact)
        assert interval.method == "exact binomial over disjoint pairs of groups"


def test_groups_with_both_classes_are_half_as_many_pairs() -> None:
    assert aucs([0, 1] * 10, np.arange(20.0) % 2, np.repeat(np.arange(10), 2)).pairs == 5


def test_a_constant_score_is_exactly_at_chance() -> None:
    interval = auc_interval([0, 1, 0, 1], np.zeros(4), np.arange(4))
    assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)


def test_a_class_in_a_single_group_has_neither_interval_nor_p() -> None:
    y, s, group = np.repeat([0, 1], [3, 4]), np.arange(7.0) % 3, np.array([0, 1, 2, 9, 9, 9, 9])
    interval, difference = auc_interval(y, s, group), auc_difference(y, s, -s, group)
    assert interval.value == auc(y, s)
    assert (interval.low, interval.high, interval.groups) == (None, None, 4)
    assert (difference.interval.low, difference.p) == (None, None)


def test_perfect_against_perfectly_wrong_has_a_difference_and_no_p() -> None:
    y = np.repeat([0, 1], 5)
    found = auc_difference(y, y, -y, np.arange(10))
    assert (found.interval.value, found.p) == (1.0, None)


def test_it_says_what_it_is() -> None:
    interval = auc_interval([0, 1, 0, 1], [0, 1, 2, 3], np.arange(4))
    assert (interval.method, interval.resamples, interval.groups) == (METHOD, 0, 4)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="3 groups for 4 rows"):
        auc_interval([0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2])
    with pytest.raises(DataError, match="AUC: the 2 rows hold no negatives"):
        auc_interval([1, 1], [0, 1], [0, 1])
    with pytest.raises(DataError, match="not finite"):
        auc_interval([0, 1], [0, np.nan], [0, 1])
