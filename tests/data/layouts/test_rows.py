"""What layouts share: lists matched with the disk, val out of train, people on one side."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import DataError
from verisight.data.layouts.rows import Disk, Row, cut_by_person, hold_out, lacking, video_notes


def test_a_listed_file_is_found_whatever_its_case_and_separators(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "b.MP4").touch()
    (tmp_path / "A" / "c.mp4").touch()
    disk = Disk(tmp_path, (".mp4",))
    assert disk.find("a\\B.mp4") == "A/b.MP4"
    assert disk.find("x/gone.mp4", "a/gone.mp4") is None
    assert disk.missing == {"x/gone.mp4"}
    assert disk.unlisted() == ["A/c.mp4"]


def test_the_first_name_that_exists_wins(tmp_path: Path) -> None:
    (tmp_path / "b.mp4").touch()
    disk = Disk(tmp_path, (".mp4",))
    assert disk.find("a.mp4", "b.mp4") == "b.mp4"
    assert not disk.missing


def row(n: int, subject: str = "", donor: str = "", **more: object) -> Row:
    return {"path": f"{n}", "label": int(donor != ""), "subject": subject, "donor": donor, **more}


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=12, max_size=40), st.integers(0, 5))
def test_people_stay_on_one_side_and_nothing_is_lost_uncounted(pairs: list[tuple[int, int]], seed: int) -> None:
    reals = [row(n, f"p{n}") for n in range(9)]
    fakes = [row(100 + n, f"p{a}", f"p{b}") for n, (a, b) in enumerate(pairs) if a != b]
    rows, shares = reals + fakes, (0.5, 0.25, 0.25)
    loose, _ = cut_by_person(rows, shares, seed, strict=False)
    assert [r["path"] for r in loose] == [r["path"] for r in rows]
    strict, notes = cut_by_person(rows, shares, seed, strict=True)
    side: dict[str, str] = {}
    for r in strict:
        assert all(side.setdefault(who, r["split"]) == r["split"] for who in (r["subject"], r["donor"]) if who)
    lost = len(rows) - len(strict)
    assert notes == [] if lost == 0 else f"left out: {lost}, " in notes[0]
    for cut in (loose, strict):
        home: dict[str, str] = {}
        assert all(home.setdefault(r["group"], r["split"]) == r["split"] for r in cut)


@pytest.mark.parametrize("strict", [True, False])
def test_fewer_people_than_splits_are_refused(strict: bool) -> None:
    with pytest.raises(DataError, match="2 people"):
        cut_by_person([row(0, "a"), row(1, "b")], (0.6, 0.2, 0.2), 0, strict=strict)


def test_val_is_a_share_of_the_groups_of_train() -> None:
    rows = [row(n, group=f"g{n // 2}", split="train" if n < 40 else "test") for n in range(50)]
    assert hold_out(rows, 0.25, seed=1) == []
    assert [sum(r["split"] == s for r in rows) for s in ("train", "val", "test")] == [30, 10, 10]
    home: dict[str, str] = {}
    assert all(home.setdefault(r["group"], r["split"]) == r["split"] for r in rows)


def test_without_a_share_train_stays_whole_and_the_note_says_how_to_cut_it() -> None:
    rows = [row(0, group="g", split="train")]
    assert hold_out(rows, 0.0, seed=0) == ["published without a val split; data.options.val=0.1 takes one from train"]
    assert rows[0]["split"] == "train"
    assert hold_out([row(0, group="g", split="test")], 0.5, seed=0) == []


def test_videos_are_counted_once_whatever_their_frames() -> None:
    rows = [{"label": 0, "video": "a"}, {"label": 0, "video": "a"}, {"label": 1, "video": "b"}]
    assert video_notes(rows, {"real": 1, "fake": 1}) == []
    assert video_notes(rows, {"real": 2, "fake": 1}) == ["1 real videos where the published set has 2"]


def test_an_absent_class_is_named() -> None:
    assert lacking([{"label": 1}]) == ["holds no reals: no AUC can be had"]
    assert lacking([{"label": 0}, {"label": 1}]) == []
