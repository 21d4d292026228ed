"""DeepfakeBench's JSON: its splits overlap, its keys collide, its paths are Windows'; what is mended is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.deepfakebench import DEEPFAKEBENCH, LABELS, people
from verisight.data.layouts.layout import write_picture
from verisight.data.manifest import Manifest


def read(root: Path, **options: object) -> Manifest:
    return DEEPFAKEBENCH(DataSpec(path=str(root), layout="deepfakebench", options=options))


def record(label: str, *frames: str) -> dict[str, Any]:
    return {"label": label, "frames": list(frames)}


def bench(root: Path, name: str, tree: Mapping[str, Any], *frames: str) -> Path:
    for frame in frames:
        write_picture(root / frame, 0)
    (root / f"{name}.json").write_text(json.dumps({name: tree}))
    return root


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    DEEPFAKEBENCH.tiny_copy(folder)
    return folder


def test_test_videos_listed_in_train_and_val_are_test_alone(copied: Path) -> None:
    made = read(copied, sets=["Celeb-DF-v2"])
    rows = zip(made.column("video"), made.column("split"), strict=True)
    homes = dict(set(rows))
    assert homes == {
        "Celeb-DF-v2/CelebDFv2_real/id0_0000": "train",
        "Celeb-DF-v2/CelebDFv2_fake/id0_id1_0000": "train",
        "Celeb-DF-v2/CelebDFv2_real/id1_0007": "test",
        "Celeb-DF-v2/CelebDFv2_fake/id1_id0_0007": "test",
    }
    assert "Celeb-DF-v2: 2 videos of train stand in test too; they count as test alone" in made.notes
    assert "Celeb-DF-v2: 2 videos of val stand in test too; they count as test alone" in made.notes
    assert any(note.startswith("Celeb-DF-v2: 2 reals listed of 890") for note in made.notes)


def test_one_name_under_two_methods_is_two_videos(copied: Path) -> None:
    made = read(copied, sets=["FF-DF", "FF-F2F"])
    same = {v for v, p in zip(made.column("video"), made.column("path"), strict=True) if "/953_974/" in p}
    assert same == {"FF-DF/FF-DF/c23/953_974", "FF-F2F/FF-F2F/c23/953_974"}


def test_reals_that_every_file_repeats_count_once(copied: Path) -> None:
    both, one = read(copied, sets=["FF-DF", "FF-F2F"]), read(copied, sets=["FF-DF"])
    assert int((both.column("label") == 0).sum()) == int((one.column("label") == 0).sum()) == 4


def test_a_real_that_two_files_put_in_two_splits_is_test(tmp_path: Path) -> None:
    for name, split in (("FF-DF", "test"), ("FF-F2F", "train")):
        bench(tmp_path, name, {"FF-real": {split: {"c23": {"000": record("FF-real", "FF/0.png")}}}}, "rgb/FF/0.png")
    assert read(tmp_path).column("split").tolist() == ["test"]


def test_a_video_in_all_three_splits_is_test(tmp_path: Path) -> None:
    videos = {"0000": record("UADFV_Real", "UADFV/real/frames/0000/000.png")}
    fakes = {"0000_fake": record("UADFV_Fake", "UADFV/fake/frames/0000_fake/000.png")}
    tree = {"UADFV_Real": dict.fromkeys(("train", "val", "test"), videos), "UADFV_Fake": {"test": fakes}}
    frames = ("rgb/UADFV/real/frames/0000/000.png", "rgb/UADFV/fake/frames/0000_fake/000.png")
    made = read(bench(tmp_path, "UADFV", tree, *frames))
    assert made.column("split").tolist() == ["test", "test"]
    assert made.column("pair").tolist() == ["uadfv/0000", "uadfv/0000"]
    assert set(made.column("group")) == {"test/uadfv/0000"}


@pytest.mark.parametrize(
    "path",
    [
        "FF\\a\\0.png", "rgb/FF/a/0.png", "./datasets/rgb/FF/a/0.png", "C:\\home\\x\\rgb\\FF\\a\\0.png", "ff/A/0.PNG",
        "/data/somebody/rgb/FF/a/0.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["rgb/FF/a/0.png", "FF/a/0.png", "datasets/rgb/FF/a/0.png"])
def test_paths_are_found_wherever_they_were_written(tmp_path: Path, path: str, place: str) -> None:
    tree = {"FF-real": {"train": {"c23": {"000": record("FF-real", path)}}}}
    made = read(bench(tmp_path, "FF", tree, place))
    assert made.column("path").tolist() == [place]
    assert made.column("quality").tolist() == ["c23"]
    assert "holds no fakes: no AUC can be had" in made.notes


def test_a_path_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    tree = {"FF-real": {"train": {"c23": {"000": record("FF-real", "..\\secret.png")}}}}
    with pytest.raises(DataError, match=r"\.\./secret\.png: a listed path leaves the folder"):
        read(bench(tmp_path, "FF", tree, "rgb/x.png"))


def test_one_quality_is_read_unless_all_are_wanted(tmp_path: Path) -> None:
    tree = {"FF-real": {"train": {q: {"000": record("FF-real", f"FF/{q}/0.png")} for q in ("c23", "c40")}}}
    bench(tmp_path, "FF", tree, "rgb/FF/c23/0.png", "rgb/FF/c40/0.png")
    assert read(tmp_path).column("quality").tolist() == ["c23"]
    assert read(tmp_path, quality="c40").column("quality").tolist() == ["c40"]
    assert read(tmp_path, quality="all").column("quality").tolist() == ["c23", "c40"]


RECORD = record("FF-real", "FF/0.png")


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"FF-rael": {"train": {"a": RECORD}}}, "unknown label name 'FF-rael'; did you mean 'FF-real'?"),
        ({"FF-real": {"dev": {"a": RECORD}}}, "unknown split 'dev'"),
        ({"FF-real": {"train": {"a": record("FF-DF", "FF/0.png")}}}, "'a' under 'FF-real' is labelled 'FF-DF'"),
        ({"FF-real": {"train": {"c23": {"a": {"label": "FF-real"}}}}}, "'a' lists no frames"),
        ({"FF-real": ["a"]}, "is not built like the files of DeepfakeBench"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path: Path, tree: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        read(bench(tmp_path, "FF", tree, "rgb/FF/0.png"))
    assert reason in str(caught.value)


def test_a_wanted_file_that_is_absent_is_named(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no FF-DP\.json; did you mean 'FF-DF'\?"):
        read(copied, sets=["FF-DP"])
    with pytest.raises(DataError, match="holds no JSON files of DeepfakeBench"):
        read(tmp_path)


def test_the_donors_of_deeperforensics_are_said_not_to_be_its_originals(tmp_path: Path) -> None:
    tree = {"DF_real": {"train": {"M101": record("DF_real", "D/0.png")}}}
    assert any("clips of its donors" in note for note in read(bench(tmp_path, "D", tree, "rgb/D/0.png")).notes)


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("953_974", "ff", ("ff/953", "ff/974", "ff/953")),
        ("953", "ff", ("ff/953", "", "ff/953")),
        ("24_23__outside_talking_still_laughing__YR5OVD4S", "dfd",
         ("dfd/24", "dfd/23", "dfd/24__outside_talking_still_laughing")),
        ("24__outside_talking_still_laughing", "dfd", ("dfd/24", "", "dfd/24__outside_talking_still_laughing")),
        ("id1_id0_0007", "celebdf", ("celebdf/id1", "celebdf/id0", "celebdf/id1_0007")),
        ("id1_0007", "celebdf", ("celebdf/id1", "", "celebdf/id1_0007")),
        ("00170", "celebdf", ("", "", "")),
        ("1255229_1260311_C_001", "dfdcp", ("dfdcp/1260311", "dfdcp/1255229", "dfdcp/1260311_C_001")),
        ("643049_A_001", "dfdcp", ("dfdcp/643049", "", "dfdcp/643049_A_001")),
        ("000_M101", "deeperforensics", ("deeperforensics/000", "deeperforensics/M101", "deeperforensics/000")),
        ("0003_fake", "uadfv", ("", "", "uadfv/0003")),
        ("aaqaifqrwn", "dfdc", ("", "", "")),
    ],
)  # fmt: skip
def test_names_give_target_donor_and_pair(name: str, family: str, expected: tuple[str, str, str]) -> None:
    assert people(name, family) == expected


def test_every_label_name_ends_as_its_class() -> None:
    for name, (label, _, _) in LABELS.items():
        assert label == int(not name.lower().endswith("real")), name
