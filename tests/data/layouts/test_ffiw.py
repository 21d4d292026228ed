"""FFIW-10K: source is real, target is fake, masks are neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.recipe import DataSpec
from verisight.data.layouts.ffiw import EXPECTED, FFIW, VIDEOS
from verisight.data.manifest import Manifest


def read(root: Path, *files: str) -> Manifest:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return FFIW(DataSpec(path=str(root), layout="ffiw"))


@pytest.mark.parametrize("inner", ["", "videos/"])
def test_source_is_real_target_is_fake_and_masks_are_neither(tmp_path: Path, inner: str) -> None:
    made = read(tmp_path, *(f"{kind}/val/{inner}val_00000001.mp4" for kind in ("source", "target", "target_mask")))
    assert dict(zip(made.column("video"), made.column("label"), strict=True)) == {
        "source/val_00000001": 0,
        "target/val_00000001": 1,
    }
    assert set(made.column("group")) == {"val_00000001"}
    assert set(made.column("pair")) == {""}  # plausible, not confirmed
    assert not any("named like none" in note for note in made.notes)


def test_a_copy_of_frames_alone_is_read_by_frame(tmp_path: Path) -> None:
    names = [f"{kind}/train/train_00000001/{n}.png" for kind in ("source", "target") for n in (0, 1)]
    made = read(tmp_path, *names)
    assert made.column("path").tolist() == names
    assert made.column("video").tolist() == ["source/train_00000001"] * 2 + ["target/train_00000001"] * 2


def test_clips_and_frames_are_not_mixed(tmp_path: Path) -> None:
    made = read(tmp_path, "source/train/train_00000001.mp4", "target/train/train_00000001/0.png")
    assert made.column("path").tolist() == ["source/train/train_00000001.mp4"]
    assert any("frames beside the clips, left out: 1" in note for note in made.notes)


def test_published_numbers_sum() -> None:
    assert sum(VIDEOS.values()) == 8000 + 250 + 1738 == EXPECTED["real"] == EXPECTED["fake"] == 9988
