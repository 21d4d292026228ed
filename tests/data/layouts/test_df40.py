"""DF40: fakes of forty methods, reals from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.df40 import DF40, METHODS, NAMES, NEEDS_REALS
from verisight.data.layouts.layout import write_picture
from verisight.data.manifest import Manifest


def read(root: Path, *frames: str, **options: object) -> Manifest:
    for frame in frames:
        write_picture(root / frame, 0)
    return DF40(DataSpec(path=str(root), layout="df40", options=options))


KNOWN = ("DF40_train/simswap/ff/frames/000_003/0.png", "DF40/lia/cdf/frames/id1_id0_0007/0.png")


def test_there_are_forty_methods_and_other_names_lead_to_them() -> None:
    assert len(METHODS) == len(set(METHODS)) == 10 + 13 + 12 + 5
    assert set(NAMES.values()) == set(METHODS)
    pairs = (("ddim", "DDPM"), ("danet", "DaGAN"), ("whichisreal", "whichfaceisreal"), ("mraa", "MRAA"))
    assert all(NAMES[alias] == name for alias, name in (*pairs, ("pixart", "PixArt")))


def test_known_methods_alone_are_one_class_and_the_note_names_the_reals(tmp_path: Path) -> None:
    made = read(tmp_path, *KNOWN)
    assert set(made.column("label")) == {1}
    assert NEEDS_REALS in made.notes
    assert all(name in NEEDS_REALS for name in ("FaceForensics++", "Celeb-DF", "data.options.reals"))


def test_the_reals_of_another_layout_join_in_and_its_fakes_do_not(tmp_path: Path) -> None:
    write_picture(tmp_path / "originals" / "r.png", 1)
    write_picture(tmp_path / "originals" / "f.png", 1, forged=True)
    index = "path,label,split,group,source\nr.png,0,test,000,FF\nf.png,1,test,000,\n"
    (tmp_path / "originals" / "index.csv").write_text(index)
    made = read(tmp_path, *KNOWN, reals={"originals": "pack"})
    rows = {row["path"]: row for row in made.table.to_pylist()}
    assert set(rows) == {*KNOWN, "originals/r.png"}
    real = rows["originals/r.png"]
    assert (real["label"], real["split"], real["group"], real["source"]) == (0, "test", "originals/000", "FF")
    assert NEEDS_REALS not in made.notes


def test_reals_in_a_folder_that_is_absent_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read(tmp_path, *KNOWN, reals={"nowhere": "pack"})


def test_people_and_originals_are_those_of_the_parents(tmp_path: Path) -> None:
    made = read(tmp_path, *KNOWN, "DF40_train/lia/ff/frames/003_000/0.png", "DF40_train/DiT/ff/003/0.png")
    rows = {row["path"]: row for row in made.table.to_pylist()}
    swap, celeb = (rows[path] for path in KNOWN)
    assert (swap["subject"], swap["donor"], swap["pair"], swap["split"]) == ("ff/000", "ff/003", "ff/000", "train")
    assert (celeb["subject"], celeb["donor"], celeb["pair"], celeb["split"]) == (
        "cdf/id1",
        "cdf/id0",
        "cdf/id1_0007",
        "test",
    )
    groups = {row["group"] for row in rows.values() if row["split"] == "train"}
    assert groups == {"train/ff/000"}  # both directions of the swap, by two methods, and a whole face after one of them


@pytest.mark.parametrize("method", ["heygen", "stargan"])
def test_unknown_methods_bring_their_reals(tmp_path: Path, method: str) -> None:
    made = read(tmp_path, f"DF40/{method}/fake/a/0.png", f"DF40/{method}/real/a/0.png")
    assert dict(zip(made.column("generator"), made.column("label"), strict=True)) == {method: 1, "real": 0}
    assert len(set(made.column("video"))) == 2
    assert made.column("source").tolist() == ["", f"DF40/{method}"]


def test_a_strange_method_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"DF40/simswop: is no method of DF40; did you mean 'simswap'\?"):
        read(tmp_path, "DF40/simswop/ff/frames/000_003/0.png")
