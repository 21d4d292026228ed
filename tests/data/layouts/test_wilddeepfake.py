"""WildDeepfake: numbers that start anew in every folder, and labels that have to agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import write_picture
from verisight.data.layouts.wilddeepfake import EXPECTED, SEQUENCES, WILDDEEPFAKE
from verisight.data.manifest import Manifest


def read(root: Path, *frames: str) -> Manifest:
    for frame in frames:
        write_picture(root / frame, 0)
    return WILDDEEPFAKE(DataSpec(path=str(root), layout="wilddeepfake"))


def test_equal_numbers_in_four_folders_are_four_sequences(tmp_path: Path) -> None:
    folders = ("real train/1/real", "real_test/1/real", "fake_train/1/fake", "fake test/1/fake")
    made = read(tmp_path, *(f"{folder}/3/{frame}.png" for folder in folders for frame in (0, 7)))
    assert set(made.column("video")) == {f"{c}_{s}_1_3" for c in ("real", "fake") for s in ("train", "test")}
    assert set(made.column("group")) == {f"{c}_{s}_1" for c in ("real", "fake") for s in ("train", "test")}
    assert made.column("label").tolist() == [int(p.startswith("fake")) for p in made.column("path")]


def test_a_shard_is_a_group_of_sequences(tmp_path: Path) -> None:
    made = read(tmp_path, "real_train/1/real/0/0.png", "real_train/1/real/1/0.png", "real_train/2/real/0/0.png")
    assert (len(set(made.column("group"))), len(set(made.column("video")))) == (2, 3)


def test_a_shard_of_the_other_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a real sequence in the folder 'fake_train'"):
        read(tmp_path, "fake_train/1/real/0/0.png")


def test_published_numbers_sum() -> None:
    assert (3409 + 396, 3099 + 410) == (EXPECTED["real"], EXPECTED["fake"]) == (3805, 3509)
    assert sum(SEQUENCES.values()) == 7314
