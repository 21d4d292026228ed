"""Faces over time: scene cuts, who is who from frame to frame, gaps, smoothing and choosing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.data.boxes import format_boxes, parse_boxes
from verisight.data.faces import Face, YuNet
from verisight.data.media import open_media
from verisight.data.quality import write_h264
from verisight.data.tracks import (
    CutFinder,
    Sighting,
    Track,
    Tracker,
    cuts,
    find_tracks,
    iou,
    largest,
    longest,
    present,
    tracks,
)

Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def coffee() -> np.ndarray:
    from skimage.data import coffee

    return np.asarray(coffee())  # 400 x 600


@pytest.fixture(scope="module")
def scene(portrait: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(portrait[:400, 50:512])


# --- cuts ---


def test_a_hard_cut_is_found_at_the_first_frame_of_the_new_shot(scene: np.ndarray, coffee: np.ndarray) -> None:
    assert cuts([scene] * 3 + [coffee] * 4 + [scene] * 2) == [3, 7]
    assert cuts([scene, coffee]) == [1]


def test_the_first_frame_and_a_lone_frame_are_no_cut(scene: np.ndarray) -> None:
    assert cuts([]) == cuts([scene]) == cuts([scene] * 5) == []


@pytest.mark.parametrize("step", [4, 20])
def test_a_pan_is_no_cut(coffee: np.ndarray, step: int) -> None:
    assert cuts(coffee[:, x : x + 300] for x in range(0, 300, step)) == []


def test_a_zoom_is_no_cut(scene: np.ndarray) -> None:
    def closer(k: int) -> np.ndarray:
        edge = 12 * k
        return cv2.resize(scene[edge : 400 - edge, edge : 462 - edge], (462, 400), interpolation=cv2.INTER_LINEAR)

    assert cuts(closer(k) for k in range(10)) == []


@pytest.mark.parametrize("gain", [1.8, 0.3])
def test_a_flash_or_a_dark_frame_is_no_cut(scene: np.ndarray, gain: float) -> None:
    lit = np.clip(scene * gain, 0, 255).astype(np.uint8)
    assert cuts([scene, scene, lit, scene, scene]) == []


@pytest.mark.parametrize("level", [0, 255])
def test_a_frame_that_shows_nothing_is_passed_over(scene: np.ndarray, coffee: np.ndarray, level: int) -> None:
    blank = np.full_like(scene, level)
    assert cuts([scene, blank, scene]) == []
    assert cuts([blank, scene, blank, blank, coffee]) == [4]


def test_noise_is_no_cut_and_hides_none(scene: np.ndarray, coffee: np.ndarray) -> None:
    rng = np.random.default_rng(0)

    def noisy(picture: np.ndarray) -> np.ndarray:
        return np.clip(picture + rng.normal(0, 40, picture.shape), 0, 255).astype(np.uint8)

    assert cuts([*(noisy(scene) for _ in range(4)), *(noisy(coffee) for _ in range(4))]) == [4]


def test_a_fade_is_no_cut(scene: np.ndarray) -> None:
    assert cuts((scene * (1 - k / 10)).astype(np.uint8) for k in range(11)) == []


def test_a_picture_of_any_size_is_taken() -> None:
    begins = CutFinder()
    assert [begins(np.full(shape, 7, np.uint8)) for shape in [(1, 1, 3), (2000, 3, 3), (5, 700, 3)]] == [False] * 3


# --- who is who ---


def seen(time_s: float, *boxes: Box, cut: bool = False) -> Sighting:
    return Sighting(time_s, [Face(box, 0.9) for box in boxes], cut)


def at(x: float, y: float = 50.0, side: float = 40.0) -> Box:
    return (x, y, side, side)


def test_a_face_that_stays_is_one_track() -> None:
    (track,) = tracks(seen(i / 10, at(10.0 + i % 2)) for i in range(20))
    assert track.person == 0
    assert track.times.tolist() == [i / 10 for i in range(20)]
    assert track.boxes[:, 0].tolist() == [10.0, 11.0] * 10
    assert all(track.faces)
    assert track.score == pytest.approx(0.9)
    assert track.size_px == 40


def test_nobody_is_no_track() -> None:
    assert tracks([]) == tracks([seen(0.0), seen(1.0)]) == []


def test_people_are_numbered_by_their_beginning_then_from_left_to_right() -> None:
    found = tracks([seen(0.0, at(300), at(100)), seen(0.1, at(100), at(500), at(300))])
    assert [(t.person, t.boxes[0, 0], t.times[0]) for t in found] == [(0, 100, 0.0), (1, 300, 0.0), (2, 500, 0.1)]


def test_two_people_who_cross_keep_their_tracks() -> None:
    left, right = tracks(seen(i / 24, at(8.0 * i), at(240 - 8.0 * i, y=52.0)) for i in range(31))
    assert left.boxes[:, 0].tolist() == [8.0 * i for i in range(31)]
    assert right.boxes[:, 0].tolist() == [240 - 8.0 * i for i in range(31)]


def test_one_who_is_hidden_while_crossing_is_found_again_on_the_other_side() -> None:
    frames = []
    for i in range(31):
        a, b = at(8.0 * i), at(240 - 8.0 * i)
        frames.append(seen(i / 24, *((a,) if abs(a[0] - b[0]) < 40 else (a, b))))  # the one behind is not found
    left, right = tracks(frames)
    np.testing.assert_allclose(left.boxes[:, 0], [8.0 * i for i in range(31)])
    np.testing.assert_allclose(right.boxes[:, 0], [240 - 8.0 * i for i in range(31)])
    assert [face is None for face in right.faces] == [abs(16 * i - 240) < 40 for i in range(31)]


def test_of_two_rivals_the_pairing_with_the_least_total_cost_wins() -> None:
    """The nearest pair first would leave the other face without a track."""
    first, second = tracks([seen(0.0, at(0.0), at(28.0)), seen(0.1, at(24.0), at(55.0))])
    assert first.boxes[:, 0].tolist() == [0, 24]
    assert second.boxes[:, 0].tolist() == [28, 55]


def test_landmarks_tell_apart_whom_boxes_do_not() -> None:
    def face(box: Box, nose: float) -> Face:
        return Face(box, 0.9, np.full((5, 2), nose, np.float32))

    before = Sighting(0.0, [face(at(0.0), 10.0), face(at(1.0), 30.0)])
    after = Sighting(0.1, [face(at(0.5), 30.0), face(at(0.6), 10.0)])
    found = tracks([before, after])
    assert [[f.landmarks[0, 0] for f in track.faces] for track in found] == [[10, 10], [30, 30]]


def test_a_face_far_away_or_of_another_size_is_somebody_else() -> None:
    assert len(tracks([seen(0.0, at(0.0)), seen(0.1, at(29.0))])) == 1
    assert len(tracks([seen(0.0, at(0.0)), seen(0.1, at(31.0))])) == 2  # more than three quarters of its side
    assert len(tracks([seen(0.0, at(0.0)), seen(0.1, at(-22.0, 28.0, side=84.0))])) == 2


def test_no_track_crosses_a_cut() -> None:
    first, second = tracks([seen(0.0, at(0.0)), seen(0.1, at(0.0)), seen(0.2, at(0.0), cut=True), seen(0.3, at(0.0))])
    assert first.times.tolist() == [0.0, 0.1]
    assert second.times.tolist() == [0.2, 0.3]


def test_a_cut_without_a_face_ends_tracks_too() -> None:
    assert len(tracks([seen(0.0, at(0.0)), seen(0.1, cut=True), seen(0.2, at(0.0))])) == 2


def test_one_who_leaves_and_returns_soon_is_the_same_and_the_gap_is_a_line() -> None:
    frames = [seen(0.0, at(0.0)), seen(0.25), seen(0.5), seen(1.0, at(12.0))]
    (track,) = tracks(frames)
    assert track.times.tolist() == [0.0, 0.25, 0.5, 1.0]
    assert track.boxes[:, 0].tolist() == [0.0, 3.0, 6.0, 12.0]
    assert [face is None for face in track.faces] == [False, True, True, False]
    assert len(tracks(frames, max_gap_s=0.9)) == 2


def test_one_who_returns_late_is_somebody_new() -> None:
    assert len(tracks([seen(0.0, at(0.0)), seen(1.0), seen(1.1, at(0.0))])) == 2


def test_frames_that_are_seconds_apart_are_still_compared() -> None:
    assert len(tracks(seen(4.0 * i, at(5.0 * (i % 2))) for i in range(6))) == 1
    assert len(tracks([seen(0.0, at(0.0)), seen(4.0), seen(8.0, at(0.0))])) == 2  # it was missing for 8 s


def test_time_must_rise() -> None:
    tracker = Tracker()
    tracker.add(seen(1.0))
    with pytest.raises(ValueError, match="time order"):
        tracker.add(seen(1.0))


crowd = st.lists(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100), st.integers(20, 60)), max_size=4, unique=True),
    min_size=1,
    max_size=12,
)


def same(a: list[Track], b: list[Track]) -> bool:
    return len(a) == len(b) and all(
        x.person == y.person
        and x.faces == y.faces
        and np.array_equal(x.times, y.times)
        and np.array_equal(x.boxes, y.boxes)
        for x, y in zip(a, b, strict=True)
    )


@given(crowd, st.randoms(use_true_random=False))
def test_every_face_is_in_one_track_whatever_the_order_within_a_frame(people, random) -> None:
    frames = [seen(i / 8, *(at(x, y, side) for x, y, side in faces)) for i, faces in enumerate(people)]
    found = tracks(frames)
    kept = [(float(t), f.box) for track in found for t, f in zip(track.times, track.faces, strict=True) if f]
    assert sorted(kept) == sorted((frame.time_s, face.box) for frame in frames for face in frame.faces)
    assert [track.person for track in found] == list(range(len(found)))
    for track in found:
        assert track.faces[0] is not None
        assert track.faces[-1] is not None
        missed = [t for t, f in zip(track.times, track.faces, strict=True) if f]
        assert all(later - sooner <= 1.0 for sooner, later in pairwise(missed))
    shuffled = [Sighting(f.time_s, random.sample(list(f.faces), len(f.faces)), f.cut) for f in frames]
    assert same(tracks(shuffled), found)


@given(crowd, st.integers(0, 12))
def test_asking_in_between_changes_nothing(people, pause: int) -> None:
    frames = [seen(i / 8, *(at(x, y, side) for x, y, side in faces)) for i, faces in enumerate(people)]
    tracker = Tracker()
    for frame in frames[:pause]:
        tracker.add(frame)
    early = tracker.tracks()
    for frame in frames[pause:]:
        tracker.add(frame)
    assert same(early, tracks(frames[:pause]))
    assert same(tracker.tracks(), tracks(frames))


def test_iou_by_hand() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (2, 2, 5, 5)) == pytest.approx(0.25)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == iou((0, 0, 10, 10), (20, 20, 5, 5)) == 0


# --- what a track is good for ---


def test_smoothing_takes_jitter_and_leaves_even_motion() -> None:
    rng = np.random.default_rng(0)
    jitter = rng.normal(0, 2, 48)
    (even,) = tracks(seen(i / 24, at(3.0 * i)) for i in range(48))
    np.testing.assert_allclose(even.smoothed(0.5).boxes, even.boxes, atol=1e-9)
    (shaky,) = tracks(seen(i / 24, at(3.0 * i + jitter[i])) for i in range(48))
    smooth = shaky.smoothed(0.5)
    assert np.std(smooth.boxes[6:-6, 0] - even.boxes[6:-6, 0]) < 0.5 * np.std(jitter)
    # 0.5 s at 24 frames a second: the frame itself and six to either side
    assert smooth.boxes[20, 0] == pytest.approx(shaky.boxes[14:27, 0].mean())
    np.testing.assert_allclose(smooth.boxes[[0, -1]], shaky.boxes[[0, -1]])
    np.testing.assert_allclose(shaky.smoothed(0.0).boxes, shaky.boxes)


def test_a_track_becomes_the_box_column_and_back() -> None:
    (track,) = tracks([seen(0.0, at(0.0)), seen(0.5), seen(1.0, at(12.5))])
    assert format_boxes(track.known) == "0 0 50 40 40; 0.5 6.25 50 40 40; 1 12.5 50 40 40"
    assert parse_boxes(format_boxes(track.known)).at(0.75) == (9.375, 50, 40, 40)


def test_choosing_the_largest_the_longest_and_those_who_are_present() -> None:
    frames = [seen(i / 10, at(0.0), *((at(200.0, side=90.0),) if i < 4 else ())) for i in range(20)]
    small, large = tracks(frames)
    assert longest([large, small]) is small
    assert largest([small, large]) is large
    assert present([small, large], 20) == [small]  # 4 of 20 frames are fewer than a quarter
    assert present([small, large], 16) == [small, large]
    assert present([small, large], 20, share=0.2) == [small, large]


# --- a clip ---


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray, coffee: np.ndarray) -> Path:
    """24 frames: a face moves 4 px a frame to the right over a still; after a cut at 16 it stands elsewhere."""
    face = portrait[:260, 100:360]
    other = np.ascontiguousarray(coffee[::-1, :, ::-1])

    def frame(i: int) -> np.ndarray:
        picture = (coffee if i < 16 else other).copy()
        x, y = (20 + 4 * i, 100) if i < 16 else (330, 130)
        picture[y : y + 260, x : x + 260] = face
        return picture

    path = tmp_path_factory.mktemp("movie") / "movie.mp4"
    write_h264((frame(i) for i in range(24)), path, crf=18, fps=12)
    return path


@pytest.mark.parametrize("rule", ["all", 12, "linspace:8"])
def test_a_moving_face_of_a_clip_is_followed_up_to_the_cut(movie: Path, rule: int | str) -> None:
    finder = YuNet()
    frames = list(open_media(movie, frames=rule))
    first, second = find_tracks(frames, finder)
    before = [frame for frame in frames if frame.index < 16]
    assert first.times.tolist() == [frame.time_s for frame in before]
    assert second.times.tolist() == [frame.time_s for frame in frames[len(before) :]]
    # the portrait's box is (178, 65, 91, 111); the piece of it begins at (100, 0)
    expected = np.array([(20 + 4 * frame.index + 78, 100 + 65, 91, 111) for frame in before])
    np.testing.assert_allclose(first.boxes, expected, atol=10)  # the finder itself wavers by 8
    np.testing.assert_allclose(second.boxes, [(330 + 78, 130 + 65, 91, 111)] * len(second), atol=10)


def test_overlapping_clips_are_followed_once(movie: Path) -> None:
    frames = list(open_media(movie, frames="clip:6x5"))
    times = sorted({frame.time_s for frame in frames})
    assert len(frames) > len(times)
    first, _ = find_tracks(frames, YuNet())
    assert first.times.tolist() == [t for t in times if t < 16 / 12 - 1e-6]
