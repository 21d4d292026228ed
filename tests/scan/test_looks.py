"""At which times a clip is looked at again, and how that is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.frames import sample_times
from verisight.scan.looks import CLOSEST_S, around, between, clock, fresh, hunting, whereabouts

looked = st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, unique_by=lambda pair: pair[0])
seen_and_shown = looked.map(lambda pairs: tuple(zip(*sorted((n * 0.5, shows) for n, shows in pairs), strict=True)))


def test_a_hunt_is_even_over_a_long_clip_and_no_closer_than_pictures_differ() -> None:
    assert hunting(3600.0, 64, sample_times(3600.0, 16)) == sample_times(3600.0, 64)  # the two share no time
    assert len(hunting(10.0, 256, [])) == 40
    assert hunting(10.0, 256, hunting(10.0, 64, [])) == []  # 40 were as close as it goes
    assert hunting(0.1, 64, []) == []


def test_what_is_seen_seldom_is_looked_at_from_the_picture_before_to_the_one_after() -> None:
    times = [10.0, 30.0, 50.0, 70.0, 90.0]
    again = around(times, [False, False, True, False, False], 8, 100.0)
    assert again == pytest.approx([32.5, 37.5, 42.5, 47.5, 52.5, 57.5, 62.5, 67.5])
    at_the_end = around(times, [False] * 4 + [True], 6, 100.0)
    assert at_the_end == pytest.approx([72.5, 77.5, 82.5, 87.5, 92.5, 97.5])
    two = around(times, [True, False, False, False, True], 6, 100.0)  # 0 to 30 and 70 to 100
    assert two == pytest.approx([5.0, 15.0, 25.0, 75.0, 85.0, 95.0])


@given(seen_and_shown, st.integers(1, 64))
def test_closer_looks_stay_near_faces_and_away_from_what_was_seen(pairs, wanted: int) -> None:
    seen, shows = pairs
    if not any(shows):
        return
    end = seen[-1] + 0.25
    edges = np.array([0.0, *seen, end])
    may = np.array([False, *shows]) | np.array([*shows, False])
    again = around(seen, shows, wanted, end)
    assert again == sorted(again)
    assert len(again) <= wanted
    for time_s in again:
        assert may[np.searchsorted(edges, time_s) - 1]
    for time_s in [*again, *between(seen, shows)]:
        assert np.abs(np.array(seen) - time_s).min() > CLOSEST_S / 2
    assert np.diff(again).min(initial=1.0) >= CLOSEST_S - 1e-9


def test_between_takes_the_middles_beside_faces() -> None:
    times = [1.0, 3.0, 5.0, 7.0]
    assert between(times, [True] * 4) == [2.0, 4.0, 6.0]
    assert between(times, [True, False, False, True]) == [2.0, 6.0]
    assert between([1.0, 1.2], [True, True]) == []


def test_fresh_leaves_out_what_was_seen() -> None:
    assert fresh([0.0, 1.0, 2.0], [0.9, 2.0]) == [0.0]
    assert fresh([0.0, 1.0], []) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("shows", "said"),
    [
        ("....XX", "a face only from 4:00 on"),
        ("XX....", "a face only up to 1:00"),
        (".XX...", "a face only from 1:00 to 2:00"),
        ("...X..", "a face only at 3:00"),
        ("X....X", "a face in only 2 of 6 pictures, first at 0:00"),
    ],
)
def test_whereabouts_in_words(shows: str, said: str) -> None:
    assert whereabouts([60.0 * i for i in range(6)], [c == "X" for c in shows]) == said


def test_a_clock_counts_hours_from_the_first_on() -> None:
    assert [clock(t) for t in (0.0, 59.9, 3490.4, 3600.0, 7325.0)] == ["0:00", "0:59", "58:10", "1:00:00", "2:02:05"]
