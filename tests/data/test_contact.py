"""The contact sheet: every picture stands where its caption says, and long captions are cut."""

from __future__ import annotations

import numpy as np

from verisight.data.contact import Strip, contact_sheet

TILE = 40
RED, GREEN, BLUE = (np.full((30, 50, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200)))


def tiles(sheet: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Top left corners of the squares of one colour."""
    hit = (sheet == colour).all(axis=2)
    corner = hit & ~np.roll(hit, 1, axis=0) & ~np.roll(hit, 1, axis=1)
    return sorted((int(y), int(x)) for y, x in np.argwhere(corner) if hit[y : y + TILE, x : x + TILE].all())


def test_strips_are_rows_and_sets_stand_side_by_side() -> None:
    strips = [Strip("real", "", False, [[RED, GREEN], [RED, GREEN]]), Strip("swap", "", True, [[BLUE, RED]])]
    sheet = contact_sheet(strips, "Title", "subtitle", columns=("raw", "c40"), tile=TILE)
    assert sheet.dtype == np.uint8
    (red_1, red_2, red_3), (green_1, green_2), (blue,) = (
        tiles(sheet, colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))
    )
    assert red_1[0] == red_2[0] == green_1[0] == green_2[0] < red_3[0] == blue[0]
    assert red_1[1] < green_1[1] < red_2[1] < green_2[1]
    assert red_1[1] == blue[1]
    assert red_3[1] == green_1[1]
    assert green_1[1] - red_1[1] < red_2[1] - green_1[1]  # what belongs together stands closer


def test_a_missing_picture_leaves_its_place_and_no_picture_leaves_the_sheet() -> None:
    whole = contact_sheet(
        [Strip("real", "", False, [[RED, GREEN], [RED, GREEN]])], "T", "s", columns=("a", "b"), tile=TILE
    )
    part = contact_sheet([Strip("real", "", False, [[RED, GREEN], [RED]])], "T", "s", columns=("a", "b"), tile=TILE)
    assert whole.shape == part.shape
    assert tiles(part, (200, 0, 0)) == tiles(whole, (200, 0, 0))
    assert tiles(part, (0, 200, 0)) == tiles(whole, (0, 200, 0))[:1]
    many = contact_sheet([Strip("real", "", False, [[RED]] * 30)], "T", "s", tile=TILE)
    assert len(tiles(many, (200, 0, 0))) == 30


def test_a_long_caption_ends_before_the_pictures() -> None:
    short, long = (
        contact_sheet([Strip(name, "9 crops", True, [[RED]])], "T", "s", tile=TILE) for name in ("W" * 3, "W" * 400)
    )
    ((_, left),) = tiles(short, (200, 0, 0))
    assert tiles(long, (200, 0, 0)) == tiles(short, (200, 0, 0))
    assert not np.array_equal(long[:, : left - 8], short[:, : left - 8])
    np.testing.assert_array_equal(long[:, left - 8 :], short[:, left - 8 :])


def test_names_with_odd_characters_and_an_empty_sheet_are_drawn() -> None:
    sheet = contact_sheet([Strip("a\nb\x00 日本", "", False, [[RED]])], "", "\t", tile=TILE)
    assert len(tiles(sheet, (200, 0, 0))) == 1
    assert contact_sheet([], "T", "s").shape[2] == 3
