"""DFDC: two tables that spell labels differently, originals shared by fakes, parts that are absent."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.dfdc import DFDC, EXPECTED, SPLIT_SIZES
from verisight.data.manifest import Manifest

REAL: dict[str, Any] = {"label": "REAL", "split": "train"}


def fake(original: str) -> dict[str, Any]:
    return {"label": "FAKE", "split": "train", "original": original}


def part(folder: Path, entries: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps(entries))
    for name in entries:
        (folder / name).touch()
    return folder


def labels(folder: Path, lines: str, clips: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_text(lines)
    for line in lines.splitlines()[1:]:
        path = (clips or folder) / line.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def read(root: Path, splits: tuple[float, float, float] = (0.7, 0.15, 0.15), **options: Any) -> Manifest:
    return DFDC(DataSpec(path=str(root), layout="dfdc", options=options, splits=splits))


def rows_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {row["video"]: row for row in manifest.table.to_pylist()}


def test_the_published_splits_sum_to_the_published_classes() -> None:
    assert sum(SPLIT_SIZES.values()) == sum(EXPECTED.values()) == 128_154


def test_words_and_numbers_are_read_by_name(tmp_path: Path) -> None:
    part(tmp_path / "dfdc_train_part_0", {"aaaaaaaaaa.mp4": REAL, "bbbbbbbbbb.mp4": fake("aaaaaaaaaa.mp4")})
    labels(tmp_path / "test", "filename,label\ncccccccccc.mp4,1\ndddddddddd.mp4,0\n")
    labels(tmp_path / "validation", "filename,label\neeeeeeeeee.mp4,1\n")
    rows = rows_of(read(tmp_path))
    found = {video[0]: (row["label"], row["split"], row["group"][0], row["pair"][:1]) for video, row in rows.items()}
    assert found == {
        "a": (0, "train", "a", "a"),
        "b": (1, "train", "a", "a"),
        "c": (1, "test", "c", ""),
        "d": (0, "test", "d", ""),
        "e": (1, "val", "e", ""),
    }


@pytest.mark.parametrize("clips", ["", "test_videos", "dfdc/test"])
def test_listed_clips_may_lie_below_their_table(tmp_path: Path, clips: str) -> None:
    labels(tmp_path, "filename,label\ncccccccccc.mp4,1\ndddddddddd.mp4,0\n", tmp_path / clips)
    assert read(tmp_path).column("label").tolist() == [1, 0]


def test_a_table_from_windows_is_read(tmp_path: Path) -> None:
    labels(tmp_path / "test", "filename,label\ncccccccccc.mp4,1\n")
    (tmp_path / "test/labels.csv").write_text("\ufefffilename,label\r\ntest\\cccccccccc.MP4, 1\r\n", encoding="utf-8")
    made = read(tmp_path)
    assert made.column("label").tolist() == [1]
    assert not any("absent" in note or "not named" in note for note in made.notes)


def test_a_test_folder_with_both_tables_is_test_alone(tmp_path: Path) -> None:
    labels(
        part(tmp_path / "test", {"cccccccccc.mp4": {"is_fake": 1, "augmentations": {}}}),
        "filename,label\ncccccccccc.mp4,1\n",
    )
    made = read(tmp_path)
    assert made.column("split").tolist() == ["test"]


def test_what_a_table_names_and_the_disk_lacks_is_counted_both_ways(tmp_path: Path) -> None:
    folder = part(tmp_path / "dfdc_train_part_7", {"aaaaaaaaaa.mp4": REAL, "bbbbbbbbbb.mp4": fake("aaaaaaaaaa.mp4")})
    (folder / "aaaaaaaaaa.mp4").rename(folder / "zzzzzzzzzz.mp4")
    made = read(tmp_path)
    assert made.column("group").tolist() == ["aaaaaaaaaa"]  # the fake keeps its original, present or not
    assert "clips of the tables that are absent: 1, such as dfdc_train_part_7/aaaaaaaaaa.mp4" in made.notes
    assert "files not named like clips of this set: 1, such as dfdc_train_part_7/zzzzzzzzzz.mp4" in made.notes
    assert any("every clip is train" in note for note in made.notes)


def test_a_name_in_two_folders_is_one_clip(tmp_path: Path) -> None:
    for name in ("dfdc_train_part_0", "train_sample_videos"):
        part(tmp_path / name, {"aaaaaaaaaa.mp4": REAL, "bbbbbbbbbb.mp4": fake("aaaaaaaaaa.mp4")})
    made = read(tmp_path)
    assert made.column("path").tolist() == ["dfdc_train_part_0/aaaaaaaaaa.mp4", "dfdc_train_part_0/bbbbbbbbbb.mp4"]
    assert any(note.startswith("clips left out because their name stands in two folders: 2") for note in made.notes)


@pytest.mark.parametrize("originals", [True, False])
def test_parts_are_cut_whole_and_the_test_set_stays(tmp_path: Path, originals: bool) -> None:
    for i, letter in enumerate("abcdefgh"):
        real, forged = f"{letter * 9}r.mp4", f"{letter * 9}f.mp4"
        folder = part(tmp_path / f"dfdc_train_part_{i}", {real: REAL, forged: fake(real)})
        if not originals:
            (folder / real).unlink()
    labels(tmp_path / "test", "filename,label\nzzzzzzzzzz.mp4,1\n")
    made = read(tmp_path, (0.5, 0.25, 0.25), split="parts")
    homes = {(path.split("/")[0], split) for path, split in zip(made.column("path"), made.column("split"), strict=True)}
    assert len(homes) == 9
    assert Counter(split for folder, split in homes if folder != "test") == {"train": 4, "val": 2, "test": 2}
    assert ("test", "test") in homes


def test_an_original_in_another_part_takes_its_fakes_along(tmp_path: Path) -> None:
    for i, letter in enumerate("abcdefgh"):
        part(
            tmp_path / f"dfdc_train_part_{i}",
            {f"{letter * 10}.mp4": REAL, f"{letter * 9}x.mp4": fake("aaaaaaaaaa.mp4")},
        )
    made = read(tmp_path, (0.5, 0.25, 0.25), split="parts")
    assert len(set(made.column("split")[made.column("label") == 1])) == 1


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"a.mp4": {"label": "fake", "split": "train"}}, "'a.mp4' needs a label REAL or FAKE"),
        ({"a.mp4": {"label": 1}}, "'a.mp4' needs a label REAL or FAKE"),
        ({"a.mp4": "FAKE"}, "'a.mp4' needs a label REAL or FAKE"),
        ({"a.mp4": {"label": "REAL", "split": "holdout"}}, "a known split"),
        (["a.mp4"], "must map names of clips"),
    ],
)
def test_a_table_of_another_spelling_is_refused(tmp_path: Path, entries: Any, named: str) -> None:
    part(tmp_path / "dfdc_train_part_0", entries)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("filename,label\na.mp4,FAKE\n", "the label of 'a.mp4' must be 0 (real) or 1 (fake), got 'FAKE'"),
        ("filename,label\na.mp4\n", "got 'None'"),
        ("name,label\na.mp4,1\n", "has no columns filename and label"),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, lines: str, named: str) -> None:
    labels(tmp_path / "test", lines)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert named in str(caught.value)


def test_broken_json_is_refused_by_name(tmp_path: Path) -> None:
    (part(tmp_path / "p", {}) / "metadata.json").write_text("{")
    with pytest.raises(DataError, match=r"metadata\.json: not readable as JSON"):
        read(tmp_path)
