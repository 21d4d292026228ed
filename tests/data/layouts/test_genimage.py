"""GenImage: which folder is which generator, what is test, and photographs that stand twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.genimage import GENERATORS, GENIMAGE
from verisight.data.layouts.layout import write_picture
from verisight.data.manifest import Manifest


def read(root: Path, *pictures: str, **options: object) -> Manifest:
    for picture in pictures:
        write_picture(root / picture, 0)
    return GENIMAGE(DataSpec(path=str(root), layout="genimage", options=options))


@pytest.mark.parametrize("folder", sorted(GENERATORS))
@pytest.mark.parametrize("above", ["", "Any name/"])
def test_archives_and_folders_name_the_generator(tmp_path: Path, folder: str, above: str) -> None:
    made = read(tmp_path, f"{above}{folder.upper()}/val/ai/a.png", f"{above}{folder.upper()}/val/nature/b.png")
    assert made.column("generator").tolist() == [GENERATORS[folder], "real"]
    assert made.column("source").tolist() == ["", f"ImageNet/{GENERATORS[folder]}"]
    assert set(made.column("split")) == {"test"}


def test_there_are_eight_generators() -> None:
    assert len(set(GENERATORS.values())) == 8


def test_one_generator_can_be_read_alone(tmp_path: Path) -> None:
    GENIMAGE.tiny_copy(tmp_path)
    made = read(tmp_path, generators="midjourney")
    assert set(made.column("generator")) == {"midjourney", "real"}
    assert set(made.column("source")) == {"", "ImageNet/midjourney"}
    assert not any("published set" in note for note in made.notes)


def test_a_photograph_under_two_generators_is_one_group_and_a_note(tmp_path: Path) -> None:
    places = [f"{name}/train/nature/n01_1.JPEG" for name in ("ADM", "BigGAN")]
    made = read(tmp_path, *places, "ADM/val/nature/n01_1.JPEG", "ADM/val/ai/x.png")
    groups = {r["path"]: r["group"] for r in made.table.to_pylist() if r["label"] == 0}
    assert groups[places[0]] == groups[places[1]] != groups["ADM/val/nature/n01_1.JPEG"]
    assert any("photographs that stand more than once: 1, such as n01_1" in note for note in made.notes)


@pytest.mark.parametrize("path", ["imagenet_unknown/train/ai/a.png", "train/ai/a.png"])
def test_a_strange_generator_is_refused_by_name(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="lies in the folder of no generator that GenImage has"):
        read(tmp_path, path)
