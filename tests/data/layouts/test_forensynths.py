"""ForenSynths: thirteen test sets, one training generator."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.forensynths import FORENSYNTHS, SETS
from verisight.data.layouts.layout import write_picture
from verisight.data.manifest import Manifest


def read(root: Path, *places: str) -> Manifest:
    for place in places:
        for kind in ("0_real", "1_fake"):
            write_picture(root / place / kind / "0.png", 0, forged=kind == "1_fake")
    return FORENSYNTHS(DataSpec(path=str(root), layout="forensynths"))


@pytest.mark.parametrize("place", ["train/cat", "progan_train/cat", "wrapped/TRAIN/cat"])
def test_training_is_progan_whatever_its_folder_is_called(tmp_path: Path, place: str) -> None:
    made = read(tmp_path, place)
    assert made.column("generator").tolist() == ["real", "progan"]
    assert set(made.column("split")) == {"train"}


@pytest.mark.parametrize("above", ["test/", "", "wrapped/test/"])
@pytest.mark.parametrize("inner", ["", "/horse"])
def test_a_test_set_is_its_generator_and_has_reals_of_its_own(tmp_path: Path, above: str, inner: str) -> None:
    made = read(tmp_path, f"{above}cyclegan{inner}", f"{above}biggan")
    by_path = {r["path"]: r for r in made.table.to_pylist()}
    real, fake = (by_path[f"{above}cyclegan{inner}/{kind}/0.png"] for kind in ("0_real", "1_fake"))
    assert (real["source"], fake["generator"]) == ("ForenSynths/cyclegan", "cyclegan")
    assert set(made.column("split")) == {"test"}


def test_all_thirteen_sets_leave_no_note(tmp_path: Path) -> None:
    assert len(set(SETS)) == 13
    assert read(tmp_path, *(f"test/{name}" for name in SETS)).notes == ()


def test_a_strange_test_set_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bigan: is none of the test sets of ForenSynths; did you mean 'biggan'\?"):
        read(tmp_path, "test/bigan")
