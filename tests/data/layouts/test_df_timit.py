"""DF-TIMIT: two people in a name, and reals that live in another data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.df_timit import DF_TIMIT
from verisight.data.manifest import Manifest

PEOPLE = [("fadg0", "fram1"), ("fcft0", "fjem0"), ("mccs0", "mrgg0"), ("mstk0", "mwbt0")]


def lay(root: Path) -> Path:
    own = root / "DeepfakeTIMIT"
    for pair in PEOPLE:
        for subject, donor in (pair, pair[::-1]):
            for quality in ("higher_quality", "lower_quality"):
                path = own / f"{quality}/{subject}/sa1-video-{donor}.avi"
                path.parent.mkdir(parents=True)
                path.touch()
    return own


def read(own: Path, splits: tuple[float, float, float] = (0, 0, 1), **options: Any) -> Manifest:
    return DF_TIMIT(DataSpec(path=str(own), layout="df-timit", options=options, splits=splits))


def test_the_folder_is_the_person_and_the_name_ends_in_the_donor(tmp_path: Path) -> None:
    rows = {row["path"]: row for row in read(lay(tmp_path)).table.to_pylist()}
    row = rows["higher_quality/fadg0/sa1-video-fram1.avi"]
    assert (row["label"], row["subject"], row["donor"], row["pair"]) == (1, "fadg0", "fram1", "fadg0/sa1")
    assert row["quality"] == "higher_quality"
    assert row["group"] == rows["lower_quality/fram1/sa1-video-fadg0.avi"]["group"]


def test_one_quality_can_be_asked_for(tmp_path: Path) -> None:
    made = read(lay(tmp_path), quality="lower_quality")
    assert set(made.column("quality")) == {"lower_quality"}
    assert "8 fake files where the published set has 320" in made.notes


def test_without_the_other_set_there_is_one_class_and_a_note_names_the_reals(tmp_path: Path) -> None:
    made = read(lay(tmp_path))
    assert set(made.column("label")) == {1}
    assert "one class, no reals: add those of VidTIMIT by data.options.vidtimit_root=DIR" in made.notes


def test_people_who_are_swapped_stay_together(tmp_path: Path) -> None:
    made = read(lay(tmp_path), (0.5, 0.25, 0.25))
    home: dict[str, str] = {}
    for name in ("subject", "donor"):
        for person, split in zip(made.column(name), made.column("split"), strict=True):
            assert home.setdefault(person, split) == split
    assert Counter(made.column("split")) == {"train": 8, "val": 4, "test": 4}


@pytest.mark.parametrize(
    ("file", "is_real"),
    [
        ("fadg0/video/sa1/001", True),
        ("fadg0/sa1/001.jpg", True),
        ("fadg0/sa1.avi", True),
        ("fadg0/video/sa1.MP4", True),
        ("fadg0/audio/sa1.wav", False),
        ("fadg0/video/head/001", False),
        ("fadg0/video/sa2/001", False),  # no fake was made of it
        ("fadg0/readme.txt", False),
    ],
)
def test_the_other_set_holds_clips_or_their_frames(tmp_path: Path, file: str, is_real: bool) -> None:
    own, path = lay(tmp_path), tmp_path / "VidTIMIT" / file
    path.parent.mkdir(parents=True)
    path.touch()
    made = read(own, vidtimit_root="../VidTIMIT")
    reals = [row for row in made.table.to_pylist() if row["label"] == 0]
    assert [row["path"] for row in reals] == ([f"VidTIMIT/{file}"] if is_real else [])
    for row in reals:
        assert (row["subject"], row["pair"], row["group"]) == ("fadg0", "fadg0/sa1", "fadg0")
        assert (row["video"], row["source"]) == ("vidtimit/fadg0/sa1", "vidtimit")
    lacking = 8 - len(reals)
    assert any(note.startswith(f"sentences without their real in VidTIMIT: {lacking},") for note in made.notes)


def test_an_absent_other_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read(lay(tmp_path), vidtimit_root="../nowhere")
