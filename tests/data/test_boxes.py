"""Known boxes: text both ways, boxes between two times, and one box track for a pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.data.boxes import Boxes, finder_for, format_boxes, parse_boxes, share_boxes
from verisight.data.faces import crop_face
from verisight.data.manifest import Manifest

PICTURE = np.zeros((100, 200, 3), np.uint8)

place = st.floats(-1e6, 1e6)
size = st.floats(1e-3, 1e6)
boxes = st.tuples(place, place, size, size)
rising = st.lists(st.floats(0, 1e5), min_size=1, max_size=6, unique=True).map(sorted)
tracks = rising.flatmap(
    lambda times: st.tuples(*[boxes] * len(times)).map(lambda found: Boxes(tuple(found), tuple(times)))
)


# --- text ---


@given(st.one_of(boxes.map(lambda box: Boxes((box,))), tracks))
def test_text_gives_back_the_same_values_to_the_bit(known: Boxes) -> None:
    assert parse_boxes(format_boxes(known)) == known


def test_whole_numbers_stay_short() -> None:
    assert format_boxes(Boxes(((10.0, 20.0, 30.5, 40.0),))) == "10 20 30.5 40"
    assert format_boxes(Boxes(((1, 2, 3, 4), (5, 6, 7, 8)), (0.0, 1.5))) == "0 1 2 3 4; 1.5 5 6 7 8"


def test_spaces_and_a_last_semicolon_do_not_matter() -> None:
    assert parse_boxes("  0 1 2 3 4 ;1  5 6 7 8; ") == parse_boxes("0 1 2 3 4; 1 5 6 7 8")
    assert parse_boxes("-5 -6.5 1e2 .5") == Boxes(((-5.0, -6.5, 100.0, 0.5),))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 numbers where 4 or 5 belong"),
        (";", "0 numbers where 4 or 5 belong"),
        ("1 2 3", "3 numbers where 4 or 5 belong"),
        ("1 2 3 4 5 6", "6 numbers where 4 or 5 belong"),
        ("0 1 2 3 4; 1 2 3 4", "4 numbers where 5 belong"),
        ("1 2 3 4; 0 1 2 3 4", "5 numbers where 4 belong"),
        ("0 1 2 3 4; ; 1 1 2 3 4", "0 numbers where 5 belong"),
        ("1 2 3 4; 5 6 7 8", "several boxes need a time each"),
        ("1 2 three 4", "'three' is not a number"),
        ("1,2,3,4", "'1,2,3,4' is not a number"),
        ("1 2 nan 4", "'nan' is not a number"),
        ("1 2 3 inf", "'inf' is not a number"),
        ("1 2 3 1e999", "'1e999' is not a number"),
        ("1 2 3 1_0", "'1_0' is not a number"),
        ("1 2 -3 4", "a box of -3 x 4 pixels has no area"),
        ("0 1 2 3 0", "a box of 3 x 0 pixels has no area"),
        ("-1 1 2 3 4", "times must be at least 0 and rise"),
        ("1 1 2 3 4; 0 1 2 3 4", "times must be at least 0 and rise"),
        ("1 1 2 3 4; 1 1 2 3 4", "times must be at least 0 and rise"),
    ],
)
def test_malformed_text_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        finder_for(text)
    assert str(caught.value) == f"box '{text}': {reason}; write 'x y w h', or 'time_s x y w h; ...' for a clip"


def test_a_long_text_is_shown_shortened() -> None:
    with pytest.raises(DataError) as caught:
        parse_boxes("0 1 2 3 4; " * 1000 + "x")
    assert len(str(caught.value)) < 200


@given(st.text(alphabet="0123456789.;-+e x\n", max_size=30))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    try:
        known = parse_boxes(text)
    except DataError:
        return
    assert parse_boxes(format_boxes(known)) == known


# --- finding ---


def test_one_box_holds_at_any_time() -> None:
    find = finder_for("10 20 30 40")
    for time_s in (0.0, 1e4):
        (face,) = find(PICTURE, time_s)
        assert (face.box, face.score, face.landmarks) == ((10, 20, 30, 40), 1.0, None)


def test_between_two_times_the_box_moves_evenly() -> None:
    find = finder_for("1 0 0 10 20; 3 40 20 30 20; 4 40 20 30 20")
    assert [find(PICTURE, t)[0].box for t in (1.0, 1.5, 2.0, 3.0, 3.7)] == [
        *((0, 0, 10, 20), (10, 5, 15, 20), (20, 10, 20, 20), (40, 20, 30, 20), (40, 20, 30, 20))
    ]


@given(tracks, st.floats(0, 1))
def test_a_box_between_two_lies_between_them(known: Boxes, share: float) -> None:
    first, last = known.times[0], known.times[-1]
    box = known.at(first + share * (last - first))
    for value, side in zip(box, zip(*known.boxes, strict=True), strict=True):
        assert min(side) - 1e-6 <= value <= max(side) + 1e-6
    assert [known.at(t) for t in known.times] == list(known.boxes)


def test_beyond_its_ends_a_track_holds_for_its_longest_gap_then_nobody_is_there() -> None:
    sparse, dense = finder_for("10 0 0 10 10; 13 9 9 10 10; 14 9 9 10 10"), finder_for("10 0 0 10 10; 10.1 9 9 10 10")
    for find, before, after in ((sparse, 7.0, 17.0), (dense, 9.0, 11.1)):
        assert find(PICTURE, before)[0].box == (0, 0, 10, 10)
        assert find(PICTURE, after)[0].box == (9, 9, 10, 10)
        assert find(PICTURE, before - 0.01) == find(PICTURE, after + 0.01) == []


@pytest.mark.parametrize("box", ["200 0 10 10", "0 100 10 10", "-10 0 10 10", "0 -10 10 10"])
def test_a_box_outside_the_picture_is_refused_by_name(box: str) -> None:
    with pytest.raises(DataError, match=r"lies outside the picture of 200 x 100 pixels at 2 s"):
        finder_for(box)(PICTURE, 2.0)


def test_a_box_over_the_border_stays_and_its_crop_is_moved_inside() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (100, 200, 3)).astype(np.uint8)
    (face,) = finder_for("-20 30 40 40")(picture, 0.0)
    assert face.box == (-20, 30, 40, 40)
    crop = crop_face(picture, face, Preprocess(size=40, margin=1.0))
    np.testing.assert_array_equal(crop, picture[30:70, 0:40])


# --- pairs ---


def table(*rows: tuple[str, int, str, str, str]) -> Manifest:
    names = ("path", "label", "pair", "quality", "box")
    return Manifest.from_columns(dict(zip(names, zip(*rows, strict=True), strict=True)), Path("/data"), ["a note"])


def test_a_fake_takes_the_box_of_its_real() -> None:
    manifest = table(
        ("fake", 1, "p", "", ""),
        ("other", 1, "p", "", "9 9 9 9"),  # found on the fake: worth less than what the real says
        ("real", 0, "p", "", "1 2 3 4"),
        ("alone", 1, "q", "", "5 5 5 5"),
        ("unpaired", 1, "", "", ""),
        ("unpaired real", 0, "", "", "7 7 7 7"),
    )
    shared = share_boxes(manifest)
    assert shared.column("box").tolist() == ["1 2 3 4", "1 2 3 4", "1 2 3 4", "5 5 5 5", "", "7 7 7 7"]
    assert shared.table.drop(["box"]) == manifest.table.drop(["box"])
    assert shared.table.schema == manifest.table.schema
    assert (shared.root, shared.notes) == (manifest.root, manifest.notes)


def test_among_several_qualities_the_same_one_counts() -> None:
    shared = share_boxes(
        table(
            ("r/c23", 0, "p", "c23", "1 1 1 1"),
            ("r/c40", 0, "p", "c40", "2 2 2 2"),
            ("f/c40", 1, "p", "c40", ""),
            ("f/raw", 1, "p", "raw", ""),
        )
    )
    assert shared.column("box").tolist()[2:] == ["2 2 2 2", ""]  # raw: two disagree, so none is taken


def test_single_frames_of_a_pair_are_left_alone() -> None:
    shared = share_boxes(
        table(("r/0", 0, "p", "", "1 1 1 1"), ("r/1", 0, "p", "", "2 2 2 2"), ("f/0", 1, "p", "", "3 3 3 3"))
    )
    assert shared.column("box").tolist() == ["1 1 1 1", "2 2 2 2", "3 3 3 3"]
