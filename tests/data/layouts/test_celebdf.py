"""Celeb-DF: names, the test list with its inverted numbers, and splits by person."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.celebdf import CELEBDF_V1, CELEBDF_V2, LIST
from verisight.data.manifest import Manifest

FILES = (
    "Celeb-real/id0_0007.mp4",
    "Celeb-real/id1_0007.mp4",
    "YouTube-real/00170.mp4",
    "YouTube-real/00171.mp4",
    "Celeb-synthesis/id1_id0_0007.mp4",
    "Celeb-synthesis/id0_id1_0007.mp4",
)
LINES = ("1 YouTube-real/00170.mp4", "0 Celeb-synthesis/id1_id0_0007.mp4")


def lay(root: Path, files: tuple[str, ...] = FILES, lines: tuple[str, ...] | None = LINES) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    if lines is not None:
        (root / LIST).write_text("\n".join(lines) + "\n")
    return root


def read(root: Path, split: str = "official", splits: tuple[float, float, float] = (0.7, 0.15, 0.15)) -> Manifest:
    return CELEBDF_V2(DataSpec(path=str(root), layout="celebdf-v2", options={"split": split}, splits=splits))


def test_the_list_calls_fake_0_and_verisight_calls_it_1(tmp_path: Path) -> None:
    rows = {row["video"]: row for row in read(lay(tmp_path)).table.to_pylist()}
    fake, real = rows["Celeb-synthesis/id1_id0_0007"], rows["YouTube-real/00170"]
    assert (fake["label"], fake["split"], fake["subject"], fake["donor"]) == (1, "test", "id1", "id0")
    assert fake["pair"] == rows["Celeb-real/id1_0007"]["pair"] == "id1_0007"
    assert (real["label"], real["split"], real["subject"], real["source"]) == (0, "test", "", "YouTube-real")
    assert rows["Celeb-real/id1_0007"]["split"] == rows["Celeb-synthesis/id0_id1_0007"]["split"] == "train"


def test_the_first_line_of_the_list_counts(tmp_path: Path) -> None:
    made = read(lay(tmp_path, lines=LINES[:1]))
    assert made.column("video")[made.column("split") == "test"].tolist() == ["YouTube-real/00170"]


@pytest.mark.parametrize(
    "line",
    [
        "1 Celeb-real\\id1_0007.mp4",
        "1 Celeb-real/videos/id1_0007.mp4",
        "1 Celeb-real/id1_0007.MP4",
        "1\tceleb-real/id1_0007.mp4",
        "\ufeff1 Celeb-real/id1_0007.mp4\n\n",
    ],
)
def test_a_line_may_come_from_windows_or_a_rearranged_copy(tmp_path: Path, line: str) -> None:
    lay(tmp_path, lines=None)
    (tmp_path / LIST).write_text(line, encoding="utf-8")
    made = read(tmp_path)
    assert made.column("video")[made.column("split") == "test"].tolist() == ["Celeb-real/id1_0007"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("1 Celeb-synthesis/id1_id0_0007.mp4", "contradicts its folder"),
        ("0 Celeb-real/id1_0007.mp4", "contradicts its folder"),
        ("0 YouTube-real/00170.mp4", "contradicts its folder"),
        ("1 Celeb-fake/id1_0007.mp4", "cannot read the line"),
        ("2 Celeb-real/id1_0007.mp4", "cannot read the line"),
        ("Celeb-real/id1_0007.mp4", "cannot read the line"),
    ],
)
def test_a_list_that_contradicts_the_folders_is_refused_in_one_line(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(DataError, match=named) as caught:
        read(lay(tmp_path, lines=(*LINES, line)))
    assert "\n" not in str(caught.value)
    assert line in str(caught.value)


def test_rearranged_folders_are_the_same_set(tmp_path: Path) -> None:
    usual = read(lay(tmp_path / "usual"))
    folders = {"YouTube-real/": "Youtube-real/", "Celeb-real/": "Celeb-real/videos/"}
    other = list(FILES)
    for old, new in folders.items():
        other = [name.replace(old, new) for name in other]
    moved = read(lay(tmp_path / "real", tuple(other)))
    for name in ("video", "label", "split", "pair", "group"):
        assert sorted(map(str, usual.column(name))) == sorted(map(str, moved.column(name)))


def test_a_list_of_the_published_size_splits_a_set_of_the_published_size(tmp_path: Path) -> None:
    """590 + 300 reals and 5,639 fakes; 108 + 70 + 340 listed, so 712 reals and 5,299 fakes are left for training."""
    ids = [i for i in range(62) if i not in (14, 15, 18)]  # 59 people, 10 clips each
    celebs = [f"Celeb-real/id{i}_{n:04d}.mp4" for i in ids for n in range(10)]
    youtube = [f"YouTube-real/{n:05d}.mp4" for n in range(300)]
    swaps = [f"Celeb-synthesis/id{a}_id{b}_{n:04d}.mp4" for n in range(2) for a, b in permutations(ids, 2)][:5639]
    lines = [f"1 {name}" for name in celebs[:108] + youtube[:70]] + [f"0 {name}" for name in swaps[:340]]
    made = read(lay(tmp_path, (*celebs, *youtube, *swaps), tuple(lines)))
    assert made.notes == (made.notes[-1],)
    assert "has no val" in made.notes[-1]
    sizes = Counter(zip(made.column("split"), made.column("label"), strict=True))
    assert sizes == {("test", 0): 178, ("test", 1): 340, ("train", 0): 712, ("train", 1): 5299}
    assert len(set(made.column("group"))) == len(made)

    strict = read(tmp_path, "strict")
    home: dict[str, str] = {}
    for name in ("subject", "donor", "group"):
        for person, split in zip(strict.column(name), strict.column("split"), strict=True):
            assert not person or home.setdefault(f"{name == 'group'} {person}", split) == split
    assert set(home.values()) == {"train", "val", "test"}
    assert (strict.column("label") == 0).sum() == 890  # reals have one person and are never mixed
    mixed = 5639 - int((strict.column("label") == 1).sum())
    assert any(f"stand in different splits: {mixed}," in note for note in strict.notes)


def test_what_lacks_is_told(tmp_path: Path) -> None:
    notes = read(
        lay(tmp_path, (*FILES, "Celeb-real/copy of id0_0007.mp4"), ("0 Celeb-synthesis/id9_id8_0001.mp4",))
    ).notes
    for text in (
        "files not named like clips of this set: 1, such as Celeb-real/copy of id0_0007.mp4",
        "clips of the test list that are absent: 1, such as Celeb-synthesis/id9_id8_0001",
        "the test list names 1 clips where the published one has 518",
        "the test list names no clip of YouTube-real: all of them are train",
        "4 real files where the published set has 890",
    ):
        assert text in notes


def test_without_the_list_pairs_stay_whole(tmp_path: Path) -> None:
    made = read(lay(tmp_path, lines=None), splits=(0.5, 0, 0.5))
    assert any(f"{LIST} is absent" in note for note in made.notes)
    home = dict(zip(made.column("video"), made.column("split"), strict=True))
    assert home["Celeb-real/id1_0007"] == home["Celeb-synthesis/id1_id0_0007"]
    assert Counter(made.column("split")) == {"train": 3, "test": 3}


def test_the_two_versions_differ_in_what_they_expect_alone(tmp_path: Path) -> None:
    lay(tmp_path)
    one, two = (layout(DataSpec(path=str(tmp_path), layout="celebdf")) for layout in (CELEBDF_V1, CELEBDF_V2))
    assert one.fingerprint() == two.fingerprint()
    assert "4 real files where the published set has 408" in one.notes
    assert "2 fake files where the published set has 5639" in two.notes
