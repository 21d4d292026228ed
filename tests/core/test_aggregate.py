"""Closed forms of the rules that turn the faces of a file into one score, and of how sure that score is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verisight.core.aggregate import RULES, aggregate, draw_interval, evidence, mean_interval, mean_of_faces
from verisight.core.errors import RecipeError

finite = st.floats(-50, 50)


def test_mean_of_frame_max_is_the_mean_over_times_of_the_highest_score() -> None:
    # t = 0: max(1, -3) = 1; t = 2: max(-4, 2) = 2; t = 5: -6 -> (1 + 2 - 6) / 3
    assert aggregate("mean-of-frame-max")([1, -3, -4, 2, -6], [0, 0, 2, 2, 5]) == pytest.approx(-1)


def test_mean_of_faces_counts_every_face_once() -> None:
    assert aggregate("mean-of-faces")([1, -3, -4, 2, -6], [0, 0, 2, 2, 5]) == pytest.approx(-2)
    assert mean_of_faces([1, -3, -4, 2, -6], [0, 0, 2, 2, 5]) == pytest.approx(-2)


def test_the_most_suspicious_person_has_the_highest_mean_not_the_highest_score() -> None:
    rule = evidence("most-suspicious-person")
    # person 4: 6 and -8, mean -1; person 7: 1, 2 and 0, mean 1, given out in time order
    assert rule([6, 2, 1, -8, 0], [0, 2, 0, 2, 5], [4, 7, 7, 4, 7]).tolist() == [1, 2, 0]


@given(st.lists(finite, min_size=1, max_size=12), st.randoms())
def test_with_one_face_a_picture_the_most_suspicious_person_is_the_mean_over_pictures(scores, random) -> None:
    times = list(range(len(scores)))
    random.shuffle(times)
    assert aggregate("most-suspicious-person")(scores, times) == pytest.approx(np.mean(scores), abs=1e-9)
    alone = evidence("most-suspicious-person")(scores, times, [0] * len(scores))
    np.testing.assert_allclose(alone, np.array(scores)[np.argsort(times)])


@pytest.mark.parametrize("rule", RULES)
@given(st.lists(st.tuples(finite, st.integers(0, 4)), min_size=1, max_size=12), st.randoms())
def test_the_order_of_the_faces_changes_nothing_and_one_face_is_its_own_score(rule: str, faces, random) -> None:
    shuffled = list(faces)
    random.shuffle(shuffled)
    combine = aggregate(rule)
    total = combine(*zip(*faces, strict=True))
    assert combine(*zip(*shuffled, strict=True)) == pytest.approx(total, abs=1e-9)
    assert min(s for s, _ in faces) - 1e-9 <= total <= max(s for s, _ in faces) + 1e-9
    assert combine([faces[0][0]], [0.0]) == faces[0][0]


@given(st.lists(st.tuples(finite, st.integers(0, 4)), min_size=1, max_size=12))
def test_another_real_face_beside_a_forged_one_never_lowers_the_frame_max(faces) -> None:
    scores, times = zip(*faces, strict=True)
    combine = aggregate("mean-of-frame-max")
    with_bystander = combine([*scores, min(scores)], [*times, times[0]])
    assert with_bystander == pytest.approx(combine(scores, times), abs=1e-9)


def test_scores_and_times_of_unequal_length_are_not_paired_silently() -> None:
    with pytest.raises(ValueError, match="shorter"):
        aggregate("mean-of-frame-max")([1.0, 2.0], [0.0])


def test_an_unknown_rule_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'mean-of-faces'\?"):
        aggregate("mean-of-face")
    with pytest.raises(RecipeError, match=r"did you mean 'most-suspicious-person'\?"):
        evidence("most-suspicious-face")


# --- how sure the mean is ---


@given(st.lists(finite, min_size=2, max_size=10), finite)
def test_scores_without_memory_get_students_interval(away, middle: float) -> None:
    series = np.array([middle + sign * x for x in away for sign in (1, -1)])  # neighbours disagree: r < 0, cut to 0
    if np.ptp(series) < 1e-3:
        return
    low, high = mean_interval(series)
    expected = stats.t.interval(0.95, len(series) - 1, series.mean(), stats.sem(series))
    r = np.corrcoef(series[1:], series[:-1])[0, 1]
    if r < -0.5:
        assert (low, high) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert high - low >= (expected[1] - expected[0]) * (1 - 1e-6)


def test_memory_by_hand() -> None:
    # 1, 1, 1, -1, -1, -1 about 0: S = 6, lag 1: 4 of 5 products are 1 and one is -1, so r = 3/6 + 1/6 = 2/3;
    # m = max(2, 6 (1/3) / (5/3)) = 2 (1.2 would leave nothing), t(1) = 12.706, reach = 12.706 sqrt(6 / (6 * 1))
    low, high = mean_interval(np.array([1.0, 1, 1, -1, -1, -1]))
    assert (low, high) == pytest.approx((-12.706, 12.706), abs=1e-3)


def test_scores_all_alike_or_a_single_one_leave_nothing_open() -> None:
    assert mean_interval(np.array([2.5])) == (2.5, 2.5)
    assert mean_interval(np.full(7, 0.1)) == pytest.approx((0.1, 0.1))


def test_one_score_differs_from_what_is_behind_it_as_others_differ() -> None:
    others = [1.0, 3.0, -2.0, 0.5]
    expected = stats.t.interval(0.95, 3, 2.0, np.std(others, ddof=1))
    assert draw_interval(2.0, others) == pytest.approx(expected)
    assert draw_interval(2.0, [2.0]) == (2.0, 2.0)


@given(st.lists(finite, min_size=1, max_size=20), finite, st.floats(0.1, 10))
def test_the_interval_holds_the_mean_and_moves_with_the_scores(scores, shift: float, scale: float) -> None:
    series = np.array(scores)
    low, high = mean_interval(series)
    assert low <= series.mean() + 1e-9
    assert high >= series.mean() - 1e-9
    if np.ptp(series) > 0.01:
        moved = mean_interval(shift + scale * series)
        assert moved == pytest.approx((shift + scale * low, shift + scale * high), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("memory", "lowest"), [(0.0, 0.94), (0.3, 0.90), (0.5, 0.88)])
def test_it_holds_the_true_mean_about_as_often_as_it_says(memory: float, lowest: float) -> None:
    """Sixteen frames of an AR(1) process with mean 0; Student's interval holds it in 95, 86 and 75 % of draws."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(2000):
        x = [rng.normal() / np.sqrt(1 - memory**2)]
        for _ in range(15):
            x.append(memory * x[-1] + rng.normal())
        low, high = mean_interval(np.array(x))
        hits += low <= 0 <= high
    assert lowest <= hits / 2000 <= 0.98
