"""Every kind of leak is planted and found, with its count; a clean set is clean."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from verisight.core.recipe import DataSpec
from verisight.data.audit import Audit, Finding, _shortcut, audit, audit_table
from verisight.data.layouts import read_layout
from verisight.data.manifest import SCHEMA, Manifest
from verisight.data.quality import jpeg, write_h264
from verisight.data.synthetic import synthetic_face, synthetic_folder


def kinds(found: Audit) -> dict[str, tuple[str, int]]:
    return {f.kind: (f.severity, f.count) for f in found.findings}


def finding(found: Audit, kind: str) -> Finding:
    (one,) = [f for f in found.findings if f.kind == kind]
    return one


def rows(root: Path, **columns: Sequence[Any]) -> Manifest:
    return Manifest.from_columns(columns, root)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_folder(tmp_path_factory.mktemp("clean"), 5, 2, ("blend", "swap"), seed=3, size=64)


@pytest.fixture
def copy(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "set"))


def read(root: Path, layout: str = "pack") -> Manifest:
    return read_layout(DataSpec(path=str(root), layout=layout))


def test_a_clean_set_is_clean_under_both_rules_and_both_layouts(clean: Path) -> None:
    for layout in ("pack", "folder"):
        for strict in (False, True):
            found = audit(read(clean, layout), strict=strict)
            assert found.findings == ()
            assert found.errors == 0
    assert (found.files, found.videos) == (20, 20)
    assert sum(share.files for share in found.shares) == 20
    assert audit(read(clean)).people == 5 + 5  # and a donor for every swap
    assert audit(read(clean)).fingerprint == read(clean).fingerprint()


def test_official_splits_may_share_people_and_strict_ones_may_not(tmp_path: Path) -> None:
    manifest = rows(
        tmp_path,
        path=["a", "b", "c", "d", "e"],
        label=[0, 1, 0, 1, 0],
        split=["train", "train", "test", "test", "test"],
        subject=["ann", "ann", "bob", "bob", "cy"],
        donor=["", "bob", "", "ann", ""],
    )
    loose, strict = (audit(manifest, strict=s, pixels=False) for s in (False, True))
    assert kinds(loose)["people"] == ("note", 2)
    assert kinds(strict)["people"] == ("error", 2)
    assert "2 of 3 files outside train show one of train's" in finding(loose, "people").text
    assert finding(loose, "people").examples == ("ann: train, test", "bob: train, test")


def test_ff_pair_swapped_both_ways_across_splits_is_found(tmp_path: Path) -> None:
    manifest = rows(
        tmp_path,
        path=["Deepfakes/000_003.mp4", "Deepfakes/003_000.mp4", "Deepfakes/010_011.mp4", "Deepfakes/011_010.mp4"],
        label=[1] * 4,
        split=["train", "test", "val", "val"],
        subject=["000", "003", "010", "011"],
        donor=["003", "000", "011", "010"],
    )
    assert kinds(audit(manifest, pixels=False))["couples"] == ("warning", 1)
    found = finding(audit(manifest, pixels=False, strict=True), "couples")
    assert (found.severity, found.examples) == ("error", ("000+003: train, test",))


def test_pairs_in_two_splits_are_always_reported_with_their_number(tmp_path: Path) -> None:
    manifest = rows(
        tmp_path,
        path=list("abcdef"),
        label=[0, 1, 0, 1, 0, 1],
        split=["train", "test", "train", "val", "test", "test"],
        pair=["1", "1", "2", "2", "3", "3"],
    )
    assert kinds(audit(manifest, pixels=False))["pairs"] == ("warning", 2)
    assert kinds(audit(manifest, pixels=False, strict=True))["pairs"] == ("error", 2)


def test_four_methods_with_one_folder_name_are_four_videos(tmp_path: Path) -> None:
    methods = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"]
    frames = [(m, i) for m in methods for i in range(3)]
    manifest = rows(
        tmp_path,
        path=[f"{m}/000_003/{i}.png" for m, i in frames],
        label=[1] * 12,
        split=["train"] * 6 + ["test"] * 6,
        group=["g1"] * 6 + ["g2"] * 6,
        video=["000_003"] * 12,
        generator=[m for m, _ in frames],
    )
    found = audit(manifest, pixels=False)
    assert found.videos == 4
    assert "videos" not in kinds(found)


def test_a_video_whose_frames_stand_in_two_splits_is_an_error(tmp_path: Path) -> None:
    manifest = rows(
        tmp_path,
        path=["v/0.png", "v/1.png", "w/0.png"],
        label=[1, 1, 0],
        split=["train", "test", "test"],
        video=["v", "v", "w"],
    )
    found = audit(manifest, pixels=False)
    assert kinds(found)["videos"] == ("error", 1)
    assert finding(found, "videos").examples == ("v (fake): train, test",)


def test_a_raw_table_with_a_cut_group_is_reported_where_manifest_refuses(tmp_path: Path) -> None:
    good = rows(tmp_path, path=["a", "b"], label=[0, 1], group=["g", "g"], split=["train", "train"])
    columns = {name: good.table.column(name).to_pylist() for name in SCHEMA.names} | {"split": ["train", "test"]}
    found = audit_table(pa.table(columns, schema=SCHEMA), tmp_path, pixels=False)
    assert kinds(found)["groups"] == ("error", 1)


def test_an_exact_copy_under_another_name_is_found(copy: Path) -> None:
    shutil.copy(next((copy / "real/train").rglob("*.png")), copy / "real/test/stranger.png")
    found = audit(read(copy, "folder"))
    assert kinds(found)["copies"] == ("error", 1)
    (example,) = finding(found, "copies").examples
    assert "real/test/stranger.png (test, real)" in example
    assert "near-duplicates" not in kinds(found)  # told once


def test_one_content_with_two_labels_and_one_told_twice(copy: Path) -> None:
    first, second = sorted((copy / "real/train").rglob("*.png"))[:2]
    shutil.copy(first, copy / "fake/train/copy.png")
    shutil.copy(second, copy / "real/train/again.png")
    found = kinds(audit(read(copy, "folder")))
    assert found["labels"] == ("error", 1)
    assert found["repeated"] == ("note", 1)
    assert "copies" not in found


def test_a_changed_copy_across_splits_is_found_and_its_class_told(copy: Path) -> None:
    picture = np.asarray(Image.open(next((copy / "real/train").rglob("*.png"))))
    Image.fromarray(jpeg(picture, 60)).save(copy / "fake/test/stranger.png")
    loose, strict = (audit(read(copy, "folder"), strict=s) for s in (False, True))
    near = finding(loose, "near-duplicates")
    assert (near.severity, near.count) == ("warning", 1)
    assert "1 of them match a file of the other class" in near.text
    assert near.examples[0].startswith("fake/test/stranger.png (test, fake) ~ real/train/")
    assert kinds(strict)["near-duplicates"] == ("error", 1)


def test_a_copied_video_under_another_name_is_found(tmp_path: Path) -> None:
    clips = {seed: [synthetic_face(seed, 64, shot=i // 3).picture for i in range(6)] for seed in range(4)}
    for seed, (split, label) in enumerate((s, n) for s in ("train", "test") for n in ("real", "fake")):
        (tmp_path / label / split).mkdir(parents=True)
        write_h264(clips[seed], tmp_path / label / split / f"{seed}.mp4", crf=15)
    write_h264(clips[0], tmp_path / "real/test/renamed.mp4", crf=28)
    near = finding(audit(read(tmp_path, "folder")), "near-duplicates")
    assert near.count == 1
    assert near.examples == ("real/test/renamed.mp4 (test, real) ~ real/train/0.mp4 (train, real)",)


def test_missing_and_broken_files_are_named(copy: Path) -> None:
    manifest = read(copy)
    broken, gone = manifest.paths()[:2]
    broken.write_bytes(broken.read_bytes()[:100])
    gone.unlink()
    found = audit(manifest)
    assert kinds(found)["missing"] == ("error", 1)
    assert kinds(found)["unreadable"] == ("error", 1)
    assert finding(found, "unreadable").examples[0].startswith(str(manifest.column("path")[0]))
    assert kinds(audit(manifest, pixels=False)) == {"missing": ("error", 1)}


def test_a_split_of_one_class_and_a_rare_class_are_said(tmp_path: Path) -> None:
    count = 40
    manifest = rows(
        tmp_path,
        path=[str(i) for i in range(2 * count)],
        label=[1, 1, *[0] * (count - 2), *[1] * count],
        split=["train"] * count + ["test"] * count,
    )
    found = audit(manifest, pixels=False)
    assert kinds(found)["one-class"] == ("warning", count)
    assert kinds(found)["imbalance"] == ("note", 2)
    assert "2 of 40 files in train are fake" in finding(found, "imbalance").text
    assert kinds(found)["no-groups"] == ("note", 2 * count)


def test_a_format_that_goes_with_the_label_is_a_shortcut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(30):
        for label, suffix in (("real", "jpg"), ("fake", "png")):
            path = tmp_path / label / f"{i}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(path)
    found = audit(read(tmp_path, "folder"))
    shortcut = finding(found, "shortcut: file format")
    assert shortcut.severity == "warning"
    assert "file format alone separates the classes with AUC 1.00 (real: 30 JPEG; fake: 30 PNG)" in shortcut.text
    assert {"shortcut: bytes per pixel", "shortcut: file size"} <= kinds(found).keys()
    assert "shortcut: width" not in kinds(found)
    assert "shortcut: file format" in kinds(audit(read(tmp_path, "folder"), pixels=False))  # by the names then


def test_frames_of_one_video_count_once_for_a_shortcut(tmp_path: Path) -> None:
    """Two videos of a hundred frames each prove nothing about formats; two hundred pictures would."""
    names = [f"{v}/{i}.{suffix}" for v, suffix in (("real", "jpg"), ("fake", "png")) for i in range(100)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    label = [0] * 100 + [1] * 100
    videos = rows(tmp_path, path=names, label=label, video=["v"] * 100 + ["w"] * 100)
    assert "shortcut: file format" not in kinds(audit(videos, pixels=False))
    assert "shortcut: file format" in kinds(audit(rows(tmp_path, path=names, label=label), pixels=False))


def test_the_auc_of_a_shortcut_is_scikit_learns() -> None:
    rng = np.random.default_rng(4)
    label = np.repeat([0, 1], [60, 90])
    values = np.round(rng.normal(1.6 * label, 1), 1)  # with ties
    (found,) = _shortcut("file size", values.tolist(), label, "")
    assert f"AUC {roc_auc_score(label, values):.2f}" in found.text
    (turned,) = _shortcut("file size", (-values).tolist(), label, "")
    assert turned.text == found.text
    assert not list(_shortcut("file size", rng.normal(size=150).tolist(), label, ""))
    assert not list(_shortcut("file size", [0, 0, 1, 1], np.array([0, 0, 1, 1]), ""))  # four files prove nothing


def test_the_audit_survives_json_and_its_table_tells_the_gravest_first(copy: Path) -> None:
    shutil.copy(next((copy / "real/train").rglob("*.png")), copy / "fake/test/stranger.png")
    found = audit(read(copy, "folder"), strict=True)
    assert Audit.model_validate_json(found.model_dump_json()) == found
    text = found.table()
    assert text.splitlines()[0] == f"21 files, 21 videos, no people named; {found.fingerprint}"
    assert "| train | real | real | 6 |" in text
    order = [line.split()[0] for line in text.splitlines() if line.startswith(("error", "warning", "note"))]
    assert order == sorted(order, key=("error", "warning", "note").index)
    assert text.splitlines()[-1].startswith(f"{found.errors} errors (no two splits may share anybody")
