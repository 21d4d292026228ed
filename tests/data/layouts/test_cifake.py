"""CIFAKE: class folders inside split folders, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.cifake import CIFAKE
from verisight.data.layouts.layout import write_picture
from verisight.data.manifest import Manifest


def read(root: Path, *pictures: str) -> Manifest:
    for picture in pictures:
        write_picture(root / picture, 0)
    return CIFAKE(DataSpec(path=str(root), layout="cifake"))


def test_only_a_class_right_under_a_split_counts(tmp_path: Path) -> None:
    kept = ["archive/train/REAL/0.jpg", "test/FAKE/0 (2).jpg"]
    made = read(tmp_path, *kept, "train/REAL/deep/0.jpg", "train/FAKER/0.jpg", "REAL/0.jpg", "validation/REAL/0.jpg")
    assert made.column("path").tolist() == kept
    assert made.column("label").tolist() == [0, 1]
    assert any("left out: 4" in note for note in made.notes)


def test_reals_and_fakes_say_where_they_come_from(tmp_path: Path) -> None:
    made = read(tmp_path, "train/REAL/0.jpg", "train/FAKE/0.jpg")
    columns = (made.column(name).tolist() for name in ("label", "generator", "source"))
    assert set(zip(*columns, strict=True)) == {(0, "real", "CIFAR-10"), (1, "stable-diffusion-1.4", "")}


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no samples of this layout"):
        read(tmp_path, "dogs/0.jpg")
