"""DFDC preview: the swapped face comes first in a name, and dataset.json decides the split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.dfdc_preview import DFDC_PREVIEW
from verisight.data.manifest import Manifest

FAKE = "method_A/1260311/1260311_C/1255229_1260311_C_001.mp4"
TWIN = "method_B/1260311/1260311_C/1255229_1260311_C_001.mp4"
ORIGINAL = "original_videos/1260311/1260311_C_001.mp4"
REAL = "original_videos/643049/643049_A_001.mp4"
TABLE: dict[str, dict[str, Any]] = {
    FAKE: {"label": "fake", "set": "train", "target_id": 1260311, "swapped_id": 1255229, "augmentations": []},
    TWIN: {"label": "fake", "set": "train", "target_id": 1260311, "swapped_id": 1255229, "augmentations": []},
    ORIGINAL: {"label": "real", "set": "train", "target_id": 1260311, "augmentations": []},
    REAL: {"label": "real", "set": "test", "target_id": 643049, "augmentations": ["resolution"]},
}


def lay(root: Path, table: Any = TABLE, files: tuple[str, ...] = tuple(TABLE)) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    if table is not None:
        (root / "dataset.json").write_text(json.dumps(table))
    return root


def read(root: Path, splits: tuple[float, float, float] = (0.7, 0.15, 0.15), **options: Any) -> Manifest:
    return DFDC_PREVIEW(DataSpec(path=str(root), layout="dfdc-preview", options=options, splits=splits))


def rows_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in manifest.table.to_pylist()}


def test_the_swapped_face_comes_first_the_target_second(tmp_path: Path) -> None:
    rows = rows_of(read(lay(tmp_path)))
    fake, real = rows[FAKE], rows[REAL]
    assert (fake["label"], fake["donor"], fake["subject"], fake["pair"]) == (1, "1255229", "1260311", "1260311_C_001")
    assert (fake["generator"], fake["split"], fake["quality"]) == ("method_A", "train", "")
    assert (real["label"], real["subject"], real["donor"], real["pair"]) == (0, "643049", "", "643049_A_001")
    assert (real["split"], real["quality"]) == ("test", "resolution")
    assert rows[ORIGINAL]["group"] == fake["group"] == fake["pair"]


def test_equal_names_of_two_methods_are_different_videos(tmp_path: Path) -> None:
    made = read(lay(tmp_path))
    assert len(set(made.column("video"))) == len(made) == 4


def test_the_folder_above_and_windows_separators_change_nothing(tmp_path: Path) -> None:
    turned = {path.replace("/", "\\"): entry for path, entry in TABLE.items()}
    lay(tmp_path / "dfdc_preview_set", turned)
    above, inside = read(tmp_path), read(tmp_path / "dfdc_preview_set")
    assert above.column("video").tolist() == inside.column("video").tolist()
    assert Counter(above.column("split")) == Counter(inside.column("split")) == {"train": 3, "test": 1}


def test_a_pair_that_the_official_sets_cut_is_grouped_by_clip_and_counted(tmp_path: Path) -> None:
    made = read(lay(tmp_path, {**TABLE, TWIN: {**TABLE[TWIN], "set": "test"}}))
    assert "pairs with clips in both train and test: 1, such as 1260311_C_001" in made.notes
    assert len(set(made.column("group"))) == 4


def test_what_the_table_and_the_folder_do_not_share_is_told(tmp_path: Path) -> None:
    turned = {**TABLE[FAKE], "target_id": 1255229, "swapped_id": 1260311}
    table = {FAKE: turned, ORIGINAL: TABLE[ORIGINAL], "method_B/9/9_A/8_9_A_000.mp4": TABLE[FAKE]}
    notes = read(lay(tmp_path, table)).notes
    for text in (
        "clips left out because dataset.json does not name them: 2, such as method_B/1255229_1260311_C_001",
        "clips of dataset.json that are absent: 1, such as method_B/8_9_A_000",
        "clips whose target_id or swapped_id in dataset.json is not that of their name: 1, such as "
        "method_A/1255229_1260311_C_001",
    ):
        assert text in notes


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({FAKE: {**TABLE[FAKE], "label": "real"}}, "contradicts its folder"),
        ({REAL: {**TABLE[REAL], "label": "FAKE"}}, "contradicts its folder"),
        ({"elsewhere/1_A_000.mp4": TABLE[REAL]}, "contradicts its folder"),
        ({"elsewhere/1_A_000.mp4": {"label": "Real", "set": "test"}}, "contradicts its folder"),
        ({FAKE: {**TABLE[FAKE], "set": "dev"}}, "must be train or test, got 'dev'"),
        ([FAKE], "must map paths of clips"),
    ],
)
def test_a_table_that_contradicts_the_folders_is_refused(tmp_path: Path, table: Any, named: str) -> None:
    with pytest.raises(DataError) as caught:
        read(lay(tmp_path, table))
    assert named in str(caught.value)


def test_without_the_table_pairs_are_cut_whole(tmp_path: Path) -> None:
    made = read(lay(tmp_path, None), (0.5, 0, 0.5))
    assert any("dataset.json is absent" in note for note in made.notes)
    assert len(set(zip(made.column("pair"), made.column("split"), strict=True))) == 2
    assert set(made.column("split")) == {"train", "test"}


def test_strict_leaves_out_the_fakes_of_people_on_two_sides(tmp_path: Path) -> None:
    people = [str(100 + i) for i in range(8)]
    files = [f"original_videos/{p}/{p}_A_000.mp4" for p in people]
    files += [f"method_A/{t}/{t}_A/{s}_{t}_A_000.mp4" for t in people for s in people if s != t]
    made = read(lay(tmp_path, None, tuple(files)), (0.5, 0.25, 0.25), split="strict")
    home: dict[str, str] = {}
    for name in ("subject", "donor"):
        for person, split in zip(made.column(name), made.column("split"), strict=True):
            assert not person or home.setdefault(person, split) == split
    assert set(home.values()) == {"train", "val", "test"}
    assert any(f"stand in different splits: {64 - len(made)}, such as" in note for note in made.notes)
