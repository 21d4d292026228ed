"""DeeperForensics: eleven variants of one name, and reals that live in another data set."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.deeperforensics import DEEPERFORENSICS, VARIANTS
from verisight.data.manifest import Manifest

LISTS = {"train": ["000_M101", "001_W002"], "val": ["004_M003"], "test": ["006_W104"]}


def lay(root: Path, lists: dict[str, list[str]] | None = LISTS) -> Path:
    own = root / "deeper"
    for name in (name for names in LISTS.values() for name in names):
        for variant in VARIANTS:
            path = own / f"manipulated_videos/{variant}/{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        real = root / f"ffpp/original_sequences/youtube/c23/videos/{name[:3]}.mp4"
        real.parent.mkdir(parents=True, exist_ok=True)
        real.touch()
    (own / "source_videos/M101").mkdir(parents=True)
    (own / "source_videos/M101/000_M101.mp4").touch()
    if lists:
        (own / "lists/splits").mkdir(parents=True)
        for split, names in lists.items():
            (own / f"lists/splits/{split}.txt").write_text("\n".join(f"{name}.mp4" for name in names))
    return own


def read(own: Path, splits: tuple[float, float, float] = (0.7, 0.15, 0.15), **options: Any) -> Manifest:
    return DEEPERFORENSICS(DataSpec(path=str(own), layout="deeperforensics", options=options, splits=splits))


def test_eleven_variants_of_a_name_are_one_group(tmp_path: Path) -> None:
    made = read(lay(tmp_path))
    rows = [row for row in made.table.to_pylist() if row["group"] == "000_M101"]
    assert len(rows) == len(VARIANTS) == 11
    assert {(row["subject"], row["donor"], row["pair"], row["split"]) for row in rows} == {
        ("000", "M101", "000", "train")
    }
    assert {row["quality"] for row in rows} == {row["video"].split("/")[0] for row in rows} == set(VARIANTS)
    assert Counter(row["generator"] for row in rows) == {"end_to_end": 10, "reenact_postprocess": 1}


def test_without_the_other_set_there_is_one_class_and_a_note_names_the_reals(tmp_path: Path) -> None:
    made = read(lay(tmp_path))
    assert set(made.column("label")) == {1}
    assert (
        "one class, no reals: add those of FaceForensics++ (YouTube, c23) by data.options.ffpp_root=DIR" in made.notes
    )


@pytest.mark.parametrize("relative", [True, False])
def test_the_reals_of_the_other_set_go_with_the_fakes_of_their_target(tmp_path: Path, relative: bool) -> None:
    own = lay(tmp_path)
    (tmp_path / "ffpp/original_sequences/youtube/c23/videos/999.mp4").touch()  # nobody's target
    made = read(own, ffpp_root="../ffpp" if relative else str(tmp_path / "ffpp"), variants="end_to_end")
    rows = {row["video"]: row for row in made.table.to_pylist()}
    assert Counter(made.column("label")) == {0: 4, 1: 4}
    for name in ("000_M101", "004_M003", "006_W104"):
        real, fake = rows[f"youtube/c23/{name[:3]}"], rows[f"end_to_end/{name}"]
        assert [real[key] for key in ("group", "split", "pair")] == [fake[key] for key in ("group", "split", "pair")]
        assert (real["label"], real["source"], real["quality"]) == (0, "youtube", "c23")
    assert all(path.is_file() for path in made.paths())
    assert made.root == tmp_path


def test_source_videos_are_not_the_real_class(tmp_path: Path) -> None:
    made = read(lay(tmp_path), ffpp_root="../ffpp")
    assert not any("source_videos" in path for path in made.column("path"))


def test_an_absent_other_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read(lay(tmp_path), ffpp_root="../nowhere")


def test_strict_keeps_what_both_sets_put_on_one_side(tmp_path: Path) -> None:
    own = lay(tmp_path)
    with pytest.raises(DataError, match=r"needs the split lists of FaceForensics\+\+"):
        read(own, ffpp_root="../ffpp", split="strict")
    lists = {"train": [["000", "100"], ["006", "106"]], "val": [["004", "104"]], "test": [["001", "101"]]}
    (tmp_path / "ffpp/splits").mkdir()
    for split, pairs in lists.items():
        (tmp_path / f"ffpp/splits/{split}.json").write_text(json.dumps(pairs))
    made = read(own, ffpp_root="../ffpp", split="strict", variants="end_to_end")
    assert sorted(set(made.column("subject"))) == ["000", "004"]
    assert any("FaceForensics++ has their target in another split: 4," in note for note in made.notes)


def test_without_lists_donors_are_cut_whole(tmp_path: Path) -> None:
    made = read(lay(tmp_path, None), (0.5, 0.25, 0.25))
    assert any("donors cut by splits=(0.5, 0.25, 0.25)" in note for note in made.notes)
    assert Counter(dict(zip(made.column("donor"), made.column("split"), strict=True)).values()) == {
        "train": 2,
        "val": 1,
        "test": 1,
    }


def test_lists_are_read_from_windows_and_differences_told(tmp_path: Path) -> None:
    own = lay(tmp_path)
    (own / "lists/splits/train.txt").write_text(
        "\ufeffend_to_end\\000_M101.mp4\r\n\r\n777_W000.mp4\r\n", encoding="utf-8"
    )
    made = read(own, variants="end_to_end")
    assert sorted(made.column("group")) == ["000_M101", "004_M003", "006_W104"]
    assert "clips of the split lists that are absent: 1, such as end_to_end/777_W000" in made.notes
    assert any(note.startswith("clips left out because no split list names them: 1, such as") for note in made.notes)


@pytest.mark.parametrize(
    ("line", "named"),
    [("004_M003.mp4", "004_M003.mp4 also stands in"), ("M003_004.mp4", "cannot read the line 'M003_004.mp4'")],
)
def test_lists_that_do_not_hold_together_are_refused(tmp_path: Path, line: str, named: str) -> None:
    own = lay(tmp_path)
    (own / "lists/splits/test.txt").write_text(line)
    with pytest.raises(DataError) as caught:
        read(own)
    assert named in str(caught.value)
