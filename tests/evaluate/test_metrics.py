"""Metrics against hand-made cases, scikit-learn and the properties that define them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from verisight.core.errors import DataError
from verisight.evaluate.metrics import (
    CERTAIN,
    auc,
    average_precision,
    balanced_accuracy,
    brier,
    ece,
    eer,
    false_positive_rate,
    fpr_at,
    log_loss,
    roc,
    tpr_at,
    true_positive_rate,
)

# Few distinct whole scores: ties are the rule, and exact arithmetic holds.
ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def columns(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(rows)
    return table[:, 0], table[:, 1].astype(np.float64)


@given(ROWS)
def test_auc_is_the_share_of_pairs_in_order_with_ties_as_half(rows: list[tuple[int, int]]) -> None:
    y, s = columns(rows)
    pairs = [(p > n) + (p == n) / 2 for p in s[y == 1] for n in s[y == 0]]
    assert_allclose(auc(y, s), np.mean(pairs), atol=1e-12)


@given(ROWS)
def test_auc_and_roc_agree_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    y, s = columns(rows)
    assert_allclose(auc(y, s), roc_auc_score(y, s), atol=1e-12)
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    assert_allclose(roc(y, s), (fpr, tpr), atol=1e-12)


@given(ROWS)
def test_turning_scores_round_turns_the_auc_round_and_swaps_the_errors(rows: list[tuple[int, int]]) -> None:
    y, s = columns(rows)
    assert_allclose(auc(y, -s), 1 - auc(y, s), atol=1e-12)
    assert_allclose(eer(y, -s), 1 - eer(y, s), atol=1e-12)


@given(ROWS)
def test_exchanging_classes_and_sign_changes_nothing(rows: list[tuple[int, int]]) -> None:
    y, s = columns(rows)
    assert_allclose(auc(1 - y, -s), auc(y, s), atol=1e-12)
    assert_allclose(eer(1 - y, -s), eer(y, s), atol=1e-12)


@given(ROWS)
def test_ranking_metrics_see_only_the_order(rows: list[tuple[int, int]]) -> None:
    y, s = columns(rows)
    for metric in (auc, eer, average_precision, lambda y, s: fpr_at(y, s, tpr=0.8), lambda y, s: tpr_at(y, s, fpr=0.3)):
        assert metric(y, np.exp(s) - 7) == metric(y, s)


@given(ROWS, st.data())
def test_a_whole_weight_is_a_row_repeated(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    y, s = columns(rows)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(y), max_size=len(y))))
    times[[np.argmax(y == 0), np.argmax(y == 1)]] += 1  # both classes keep a row
    again = np.repeat(np.arange(len(y)), times)
    decision, probability = (s > 0).astype(float), (s + 4) / 8
    ranking = [(auc, s), (eer, s), (average_precision, s), (partial(tpr_at, fpr=0.3), s), (partial(fpr_at, tpr=0.7), s)]
    judging = [(ece, probability), (brier, probability), (log_loss, probability)]
    for metric, value in [*ranking, (balanced_accuracy, decision), *judging]:
        assert_allclose(metric(y, value, times), metric(y[again], value[again]), atol=1e-12)


@given(ROWS)
def test_eer_lies_on_the_curve_where_both_errors_are_equal(rows: list[tuple[int, int]]) -> None:
    y, s = columns(rows)
    rate = eer(y, s)
    fpr, tpr = roc(y, s)
    steps = np.linspace(0, 1, 201)
    between = lambda points: (points[:-1, None] + np.diff(points)[:, None] * steps).ravel()  # noqa: E731
    distance = np.hypot(between(fpr) - rate, between(tpr) - (1 - rate))
    assert distance.min() < 0.006  # a point of the polygon, to the spacing of the steps


def test_eer_of_hand_made_cases() -> None:
    assert eer([0, 0, 1, 1], [1, 2, 3, 4]) == 0
    assert eer([0, 0, 1, 1], [3, 4, 1, 2]) == 1
    assert eer([0, 1], [5, 5]) == 0.5
    assert eer([0, 0, 1, 1], [1, 3, 2, 4]) == 0.5
    # Points (0, 0) (0, 1/3) (0, 2/3) (1/4, 2/3) (1/4, 1) (1, 1): the line between the 4th and 5th is not met, the one
    # from (1/4, 2/3) up to (1/4, 1) is, at 1 - TPR = 1/4.
    assert_allclose(eer([1, 1, 0, 1, 0, 0, 0], [7, 6, 5, 4, 3, 2, 1]), 1 / 4)


def test_eer_of_two_normal_distributions_meets_its_closed_form() -> None:
    from scipy.stats import norm

    quantiles = norm.ppf((np.arange(4000) + 0.5) / 4000)
    y, s = np.repeat([0, 1], 4000), np.concatenate([quantiles, quantiles + 1.5])
    assert_allclose(eer(y, s), norm.cdf(-0.75), atol=3e-4)
    assert_allclose(auc(y, s), norm.cdf(1.5 / np.sqrt(2)), atol=3e-4)


def test_fpr_at_takes_the_cheapest_threshold_that_finds_enough() -> None:
    y, s = [1, 0, 1, 0, 1, 0, 0], [7, 6, 5, 4, 3, 2, 1]
    assert fpr_at(y, s, tpr=0.0) == 0
    assert fpr_at(y, s, tpr=1 / 3) == 0
    assert fpr_at(y, s, tpr=0.34) == 1 / 4
    assert fpr_at(y, s, tpr=2 / 3) == 1 / 4
    assert fpr_at(y, s, tpr=1.0) == 2 / 4


def test_tpr_at_takes_the_most_that_the_false_alarms_allow() -> None:
    y, s = [1, 0, 1, 0, 1, 0, 0], [7, 6, 5, 4, 3, 2, 1]
    assert tpr_at(y, s, fpr=0.0) == 1 / 3
    assert tpr_at(y, s, fpr=0.24) == 1 / 3
    assert tpr_at(y, s, fpr=1 / 4) == 2 / 3
    assert tpr_at(y, s, fpr=2 / 4) == 1
    assert tpr_at([0, 1], [5, 5], fpr=0.99) == 0  # a tie is called as a whole or not at all


@given(ROWS, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_tpr_at_is_the_best_of_all_thresholds_that_keep_to_the_share(rows: list[tuple[int, int]], share: float) -> None:
    y, s = columns(rows)
    cuts = [s >= cut for cut in np.arange(-4, 6)]
    kept = [decision for decision in cuts if decision[y == 0].mean() <= share]
    assert tpr_at(y, s, fpr=share) == max(decision[y == 1].mean() for decision in kept)


@given(ROWS, st.data())
def test_average_precision_agrees_with_scikit_learn_weighted_or_not(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    from sklearn.metrics import average_precision_score

    y, s = columns(rows)
    assert_allclose(average_precision(y, s), average_precision_score(y, s), atol=1e-12)
    weight = np.array(data.draw(st.lists(st.floats(0.1, 3), min_size=len(y), max_size=len(y))))
    expected = average_precision_score(y, s, sample_weight=weight)
    assert_allclose(average_precision(y, s, weight), expected, atol=1e-9)


def test_average_precision_of_hand_made_cases() -> None:
    assert_allclose(average_precision([1, 0, 1], [3, 2, 1]), (1 + 2 / 3) / 2)
    assert average_precision([0, 1, 0, 0], [5, 5, 5, 5]) == 1 / 4  # no knowledge: the share of positives
    assert average_precision([1, 0], [2, 1], [1, 0]) == 1


@given(ROWS, st.data())
def test_proper_scores_agree_with_scikit_learn_weighted_or_not(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    import sklearn.metrics

    y, s = columns(rows)
    p = (s + 4) / 8
    weight = np.array(data.draw(st.lists(st.floats(0.1, 3), min_size=len(y), max_size=len(y))))
    clipped = np.clip(p, CERTAIN, 1 - CERTAIN)
    for w in (None, weight):
        assert_allclose(brier(y, p, w), sklearn.metrics.brier_score_loss(y, p, sample_weight=w), atol=1e-12)
        expected = sklearn.metrics.log_loss(y, clipped, sample_weight=w, labels=[0, 1])
        assert_allclose(log_loss(y, p, w), expected, atol=1e-9)


def test_proper_scores_of_hand_made_cases() -> None:
    assert brier([0, 1, 1], [0.5] * 3) == 1 / 4
    assert_allclose(log_loss([0, 1, 1], [0.5] * 3), np.log(2))
    assert brier([0, 1], [1.0, 0.0]) == 1
    assert_allclose(log_loss([0, 1], [1.0, 1.0]), -np.log(CERTAIN) / 2, rtol=1e-5)  # one certain error, clipped
    assert brier([1, 1], [1.0, 1.0]) == 0  # one class is enough


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_the_true_share_is_the_best_probability(share: float, other: float) -> None:
    y, weight = np.array([0, 1]), np.array([1 - share, share])
    for score in (brier, log_loss):
        assert score(y, [share, share], weight) <= score(y, [other, other], weight) + 1e-12


@given(ROWS, st.integers(-4, 4))
def test_rates_are_shares_of_their_class(rows: list[tuple[int, int]], threshold: int) -> None:
    from sklearn.metrics import balanced_accuracy_score

    y, s = columns(rows)
    decision = s >= threshold
    assert true_positive_rate(y, decision) == decision[y == 1].mean()
    assert false_positive_rate(y, decision) == decision[y == 0].mean()
    assert_allclose(balanced_accuracy(y, decision), balanced_accuracy_score(y, decision), atol=1e-12)


def test_calling_everything_fake_earns_half_whatever_the_share_of_fakes() -> None:
    assert balanced_accuracy([0] + [1] * 99, np.ones(100)) == 0.5


def test_a_rate_of_one_class_needs_that_class_only() -> None:
    assert true_positive_rate([1, 1], [1, 0]) == 0.5
    assert false_positive_rate([0, 0], [1, 0]) == 0.5
    with pytest.raises(DataError, match=r"true positive rate: .* no positives"):
        true_positive_rate([0, 0], [1, 0])


def test_ece_of_hand_made_cases() -> None:
    assert ece([0, 1], [0.0, 1.0]) == 0
    assert ece([1, 0], [0.0, 1.0]) == 1
    assert_allclose(ece([0, 1, 1, 1], [0.75] * 4), 0)
    # Two bins of [0, 1/2), [1/2, 1]: |0 - 0.2| over 1 row, |2/3 - 0.7| over 3 rows.
    assert_allclose(ece([0, 1, 1, 0], [0.2, 0.5, 0.8, 0.8], bins=2), (0.2 + 3 * abs(2 / 3 - 0.7)) / 4)


def test_a_probability_on_an_edge_falls_into_the_upper_bin_and_one_into_the_last() -> None:
    # In one bin the two errors of 1/2 would cancel; in two they do not.
    assert_allclose(ece([1, 0], [0.25, 0.5], bins=2), (0.75 + 0.5) / 2)
    assert_allclose(ece([1, 0], [0.5, 1.0], bins=2), abs(1 - 1.5) / 2)  # together they do


METRICS: list[Callable[..., float]] = [auc, eer, balanced_accuracy]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("label", "missing"), [([0, 0], "positives"), ([1, 1], "negatives")])
def test_one_class_is_refused_and_the_missing_one_named(
    metric: Callable[..., float], label: list[int], missing: str
) -> None:
    with pytest.raises(DataError, match=f"hold no {missing}"):
        metric(label, [0, 1])


def test_the_metric_is_named_in_the_refusal() -> None:
    with pytest.raises(DataError, match=r"^AUC: the 2 rows hold no negatives \(reals, label 0\)"):
        auc([1, 1], [0.1, 0.2])


def test_a_class_without_weight_is_as_good_as_absent() -> None:
    with pytest.raises(DataError, match="hold no positives"):
        auc([0, 1, 0], [1, 2, 3], [1, 0, 1])


@pytest.mark.parametrize(
    ("label", "score", "named"),
    [
        ([], [], "no rows"),
        ([0, 1], [0.1], "equally long"),
        ([[0, 1]], [[0.1, 0.2]], "equally long"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 0.7], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1, float("nan")], "1 of 2 scores are not finite"),
        ([0, 1], [-float("inf"), 0.1], "1 of 2 scores are not finite"),
    ],
)
def test_bad_columns_are_refused(label: list[int], score: list[float], named: str) -> None:
    with pytest.raises(DataError, match=named):
        auc(label, score)


def test_scores_are_not_taken_for_decisions_or_probabilities() -> None:
    with pytest.raises(DataError, match="decisions must be 0 or 1"):
        balanced_accuracy([0, 1], [0.2, 0.8])
    for metric in (ece, brier, log_loss):
        with pytest.raises(DataError, match="between 0 and 1, got -1 to 3"):
            metric([0, 1], [-1, 3])
    with pytest.raises(DataError, match="weights must be"):
        auc([0, 1], [1, 2], [1, -1])
