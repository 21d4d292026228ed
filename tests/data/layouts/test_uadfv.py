"""UADFV: pairs by name, whatever the root is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.recipe import DataSpec
from verisight.data.layouts.uadfv import UADFV
from verisight.data.manifest import Manifest


def lay(root: Path, pairs: int) -> Path:
    for i in range(pairs):
        for path in (root / f"real/{i:04d}.mp4", root / f"fake/{i:04d}_fake.mp4"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def read(root: Path, splits: tuple[float, float, float] = (0.7, 0.15, 0.15)) -> Manifest:
    return UADFV(DataSpec(path=str(root), layout="uadfv", splits=splits))


def test_the_whole_set_is_cut_by_pair_and_nothing_is_amiss(tmp_path: Path) -> None:
    made = read(lay(tmp_path, 49))
    assert len(made.notes) == 1  # that the set has no split
    rows = {row["path"]: row for row in made.table.to_pylist()}
    fake, real = rows["fake/0003_fake.mp4"], rows["real/0003.mp4"]
    assert (fake["label"], real["label"]) == (1, 0)
    assert fake["pair"] == real["pair"] == "0003"
    assert len(set(zip(made.column("pair"), made.column("split"), strict=True))) == 49
    assert set(made.column("split")) == {"train", "val", "test"}


@pytest.mark.parametrize("name", ["real", "fake_data", "fake", "realfake"])
def test_the_name_of_the_root_means_nothing(tmp_path: Path, name: str) -> None:
    made = read(lay(tmp_path / name, 4), (0, 0, 1))
    assert [path.split("/")[0] for path in made.column("path")] == ["fake"] * 4 + ["real"] * 4
    assert made.column("label").tolist() == [1] * 4 + [0] * 4


def test_a_file_in_the_folder_of_the_other_class_is_no_clip(tmp_path: Path) -> None:
    lay(tmp_path, 3)
    (tmp_path / "fake/0009.mp4").touch()
    (tmp_path / "real/0009_fake.mp4").touch()
    made = read(tmp_path, (0, 0, 1))
    assert len(made) == 6
    assert "files not named like clips of this set: 2, such as fake/0009.mp4" in made.notes
