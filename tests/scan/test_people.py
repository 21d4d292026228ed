"""Who is who in a file, who counts, and what they say together: closed forms and properties, no file and no network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verisight.core.aggregate import evidence
from verisight.data.faces import Face
from verisight.scan.people import Glance, Scored, Somebody, judge, people_of_clip, people_of_picture

RULE = evidence("most-suspicious-person")
WALL = np.linspace([40, 20, 20], [250, 90, 60], 64).astype(np.uint8)[None].repeat(64, axis=0)  # red, from the left
GARDEN = np.linspace([20, 60, 20], [90, 250, 80], 64).astype(np.uint8)[:, None].repeat(64, axis=1)  # green, from above


def face(x: float, side: float = 100.0, y: float = 50.0) -> Face:
    return Face((x, y, side, side), 0.9)


def scored(x: float, time_s: float | None, score: float, side: float = 100.0, novelty: float | None = None) -> Scored:
    return Scored(face(x, side), time_s, score, novelty)


def glances(times: list[float], small: np.ndarray | None = WALL) -> list[Glance]:
    return [Glance(time_s, small, False) for time_s in times]


def told(people: list[Somebody]) -> list[tuple[int, list[float], bool]]:
    return [(one.number, [f.score for f in one.faces], one.counted) for one in people]


# --- pictures ---


def test_in_a_picture_every_face_is_somebody_from_left_to_right() -> None:
    people = people_of_picture([scored(300, None, 2.0), scored(10, None, -1.0)])
    assert told(people) == [(0, [-1.0], True), (1, [2.0], True)]


@given(st.lists(st.floats(10, 1000), min_size=1, max_size=8))
def test_in_a_picture_those_count_whose_side_is_a_quarter_of_the_largest(sides: list[float]) -> None:
    people = people_of_picture([scored(1100.0 * i, None, 0.0, side) for i, side in enumerate(sides)])
    assert [one.counted for one in people] == [4 * side >= max(sides) for side in sides]


# --- clips ---


def test_two_people_who_stay_are_two_tracks() -> None:
    times = [0.0, 1.0, 2.0, 3.0]
    faces = [scored(x, t, s) for t in times for x, s in ((10 + 3 * t, t), (400, -t))]
    people = people_of_clip(faces, glances(times))
    assert told(people) == [(0, [0, 1, 2, 3], True), (1, [0, -1, -2, -3], True)]
    assert people[0].score == pytest.approx(1.5)


def test_somebody_who_is_seldom_there_does_not_count_unless_everybody_is() -> None:
    times = [float(t) for t in range(8)]
    stays = [scored(10, t, -2.0) for t in times]
    assert [p.counted for p in people_of_clip([*stays, scored(400, 7.0, 5.0)], glances(times))] == [True, False]
    twice = [scored(400, 6.0, 5.0), scored(400, 7.0, 5.0)]
    together = sorted([*stays, *twice], key=lambda one: one.time_s)
    assert [p.counted for p in people_of_clip(together, glances(times))] == [True, True]  # 2 of 8 is a quarter
    each = [scored(400.0 * (t % 2) + 1000 * t, t, t) for t in times]  # eight people, each in an eighth
    assert all(p.counted for p in people_of_clip(each, glances(times)))


def test_pictures_without_a_face_do_not_make_anybody_seldom() -> None:
    times = [float(t) for t in range(40)]
    people = people_of_clip([scored(10, 38.0, 1.0), scored(10, 39.0, 2.0)], glances(times))
    assert told(people) == [(0, [1.0, 2.0], True)]


@pytest.mark.parametrize("spacing", [0.04, 1.0, 225.0])
def test_a_face_that_one_picture_lacks_is_the_same_persons_however_far_apart_they_are(spacing: float) -> None:
    times = [spacing * i for i in range(6)]
    faces = [scored(10, t, 1.0) for i, t in enumerate(times) if i != 2]
    assert len(people_of_clip(faces, glances(times))) == 1
    if spacing > 1:  # closer pictures may lack it for a second
        away = [scored(10, t, 1.0) for i, t in enumerate(times) if i not in (2, 3)]
        assert len(people_of_clip(away, glances(times))) == 2


def test_a_cut_ends_everybody_whether_it_is_seen_now_or_was_told_before() -> None:
    times = [0.0, 1.0, 2.0, 3.0]
    faces = [scored(10, t, t) for t in times]
    seen = [Glance(t, WALL if t < 2 else GARDEN, False) for t in times]
    before = [Glance(t, None, t == 2.0) for t in times]
    for each in (seen, before):
        assert told(people_of_clip(faces, each)) == [(0, [0, 1], True), (1, [2, 3], True)]


def test_a_picture_that_comes_between_two_shots_is_compared_with_both() -> None:
    """Two looks: 0 and 2 s saw no cut between them; the picture at 1 s, seen later, is another shot."""
    times = [0.0, 1.0, 2.0]
    people = people_of_clip(
        [scored(10, t, t) for t in times],
        [Glance(t, GARDEN if t == 1.0 else WALL, False) for t in times],
    )
    assert [one.number for one in people] == [0, 1, 2]


# --- together ---


def clip_of(*people: tuple[list[float], bool]) -> list[Somebody]:
    return [
        Somebody(n, tuple(scored(0, float(t), s) for t, s in enumerate(scores)), counted)
        for n, (scores, counted) in enumerate(people)
    ]


def test_the_highest_mean_among_those_who_count_decides() -> None:
    people = clip_of(([0.0, 1.0, 2.0], True), ([9.0], False), ([5.0, -9.0, 1.0], True))
    judgement = judge(people, RULE)
    assert judgement.score == pytest.approx(1.0)
    assert judgement.decides.number == 0
    assert judgement.low < 1.0 < judgement.high


def test_other_rules_of_a_card_work_on_the_faces_of_those_who_count() -> None:
    people = clip_of(([0.0, 1.0], True), ([9.0, 9.0], False), ([4.0, -4.0], True))
    assert judge(people, evidence("mean-of-frame-max")).score == pytest.approx((4 + 1) / 2)
    assert judge(people, evidence("mean-of-faces")).score == pytest.approx(0.25)


def test_a_picture_has_no_interval_and_frames_that_have_no_memory_students() -> None:
    still = judge(people_of_picture([scored(0, None, 2.0), scored(400, None, -1.0)]), RULE)
    assert (still.score, still.low, still.high) == (2.0, 2.0, 2.0)
    series = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]
    clip = judge(clip_of((series, True)), RULE)
    assert (clip.low, clip.high) == pytest.approx(stats.t.interval(0.95, 5, 0.0, stats.sem(series)))


def test_somebody_seen_once_is_as_unsure_as_the_faces_differ() -> None:
    people = clip_of(([2.0], True), ([0.0], True), ([-2.0], True))
    judgement = judge(people, RULE)
    assert judgement.score == 2.0
    assert judgement.high - 2.0 == pytest.approx(stats.t.ppf(0.975, 2) * 2.0)
    alone = judge(clip_of(([2.0], True)), RULE)
    assert (alone.low, alone.high) == (2.0, 2.0)


def test_where_nobody_was_seen_for_long_the_mean_of_the_pictures_decides_not_the_highest_of_many() -> None:
    scores = [3.0, -1.0, -1.5, -0.5, -2.0]
    people = clip_of(*[([score], True) for score in scores])
    apart = [replace(one, faces=(replace(one.faces[0], time_s=float(i)),)) for i, one in enumerate(people)]
    judgement = judge(apart, RULE)
    assert judgement.score == pytest.approx(np.mean(scores))
    assert judgement.decides.score == 3.0
    assert judge(apart[:4], RULE).score == 3.0  # one in four pictures is long enough


def test_novelty_is_the_mean_of_the_person_who_decides() -> None:
    one = Somebody(0, (scored(0, None, 1.0, novelty=0.2), scored(0, None, 1.0, novelty=0.6)), True)
    assert one.novelty == pytest.approx(0.4)
    assert Somebody(0, (scored(0, None, 1.0),), True).novelty is None


@given(st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=5), min_size=1, max_size=5))
def test_a_clip_scores_as_its_most_suspicious_person_would_alone(scores: list[list[float]]) -> None:
    people = clip_of(*((own, True) for own in scores))
    judgement = judge(people, RULE)
    assert judgement.score == pytest.approx(max(np.mean(own) for own in scores))
    assert judgement.score == pytest.approx(judge([judgement.decides], RULE).score)
    assert judgement.low <= judgement.score + 1e-9
    assert judgement.high >= judgement.score - 1e-9
