"""Closed forms of the rules that turn the faces of a file into one score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.aggregate import RULES, aggregate
from verisight.core.errors import RecipeError

finite = st.floats(-50, 50)


def test_mean_of_frame_max_is_the_mean_over_times_of_the_highest_score() -> None:
    # t = 0: max(1, -3) = 1; t = 2: max(-4, 2) = 2; t = 5: -6 -> (1 + 2 - 6) / 3
    assert aggregate("mean-of-frame-max")([1, -3, -4, 2, -6], [0, 0, 2, 2, 5]) == pytest.approx(-1)


def test_mean_of_faces_counts_every_face_once() -> None:
    assert aggregate("mean-of-faces")([1, -3, -4, 2, -6], [0, 0, 2, 2, 5]) == pytest.approx(-2)


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
