"""Plain folders: labels, groups and splits are read off whole path parts, and half a data set is one named error."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts import read_layout
from verisight.data.layouts.folder import FAKE, REAL
from verisight.data.layouts.layout import CLIPS, PICTURES
from verisight.data.manifest import Manifest


def tree(root: Path, *files: str) -> Path:
    """Empty files: a layout never opens them."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def classes(root: Path, real: str, fake: str, each: int = 4) -> Path:
    return tree(root, *(f"{real}/{i}.png" for i in range(each)), *(f"{fake}/{i}.png" for i in range(each)))


def read(root: Path, **changes: object) -> Manifest:
    return read_layout(DataSpec(path=str(root), layout="folder", **changes))


def labels(made: Manifest) -> dict[str, int]:
    return dict(zip(made.column("path").tolist(), made.column("label").tolist(), strict=True))


def splits(made: Manifest) -> dict[str, str]:
    return dict(zip(made.column("path").tolist(), made.column("split").tolist(), strict=True))


@pytest.mark.parametrize(
    ("real", "fake"),
    [("real", "fake"), ("REAL", "FAKE"), ("nature", "ai"), ("0_real", "1_fake"), ("original", "synthetic"),
     ("authentic", "generated")],
)  # fmt: skip
@pytest.mark.parametrize("root", ["data", "real", "fake", "fake_data", "fake/real"])
def test_fakes_are_label_1_whatever_the_classes_and_the_root_are_called(
    tmp_path: Path, real: str, fake: str, root: str
) -> None:
    found = labels(read(classes(tmp_path / root, real, fake)))
    assert found == {f"{real}/{i}.png": 0 for i in range(4)} | {f"{fake}/{i}.png": 1 for i in range(4)}


def test_every_class_name_is_known_and_none_is_both() -> None:
    assert not set(REAL) & set(FAKE)


def test_a_class_name_inside_a_longer_name_is_no_class(tmp_path: Path) -> None:
    tree(classes(tmp_path, "real", "fake"), "unreal/x.png", "fakes/y.png", "really/z.png", "stray.png")
    assert len(read(tmp_path)) == 8


def test_the_root_changes_no_fingerprint(tmp_path: Path) -> None:
    first = read(classes(tmp_path / "a", "real", "fake"))
    second = read(classes(tmp_path / "fake_data", "real", "fake"))
    assert first.fingerprint() == second.fingerprint()


def test_the_order_of_the_directory_listing_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(tmp_path, "real", "fake")
    tree(tmp_path, "real/p/1.png", "real/q/2.png", "fake/p/1.png")
    first = read(tmp_path)
    scan = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scan(path) as entries:
                self.entries = iter(sorted(entries, key=lambda e: e.name, reverse=True))

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...

        close = __exit__

    monkeypatch.setattr(os, "scandir", Backwards)
    assert [e.name for e in os.scandir(tmp_path)] == ["real", "fake"]
    assert read(tmp_path).table.equals(first.table)


def test_a_folder_under_the_class_is_the_group_and_a_lone_file_is_its_own(tmp_path: Path) -> None:
    names = [f"{c}/v{v}/{i}.png" for c in ("real", "fake") for v in range(5) for i in range(3)]
    made = read(tree(tmp_path, *names, "real/lone.png", "fake/v0/deeper/x.png"))
    group = dict(zip(made.column("path").tolist(), made.column("group").tolist(), strict=True))
    assert group["real/v0/0.png"] == group["real/v0/2.png"] != group["real/v1/0.png"]
    assert group["fake/v0/deeper/x.png"] == group["fake/v0/0.png"] != group["real/v0/0.png"]
    assert group["real/lone.png"] == "real/lone.png"
    homes = {(g, s) for g, s in zip(made.column("group"), made.column("split"), strict=True)}
    assert len(homes) == len(set(group.values()))


SPLIT_NAMES = {"train": ("train", "Training"), "val": ("val", "valid", "VALIDATION"), "test": ("test", "TEST")}


@pytest.mark.parametrize("name", [n for names in SPLIT_NAMES.values() for n in names])
@pytest.mark.parametrize("above", [True, False])
def test_split_folders_count_above_and_below_the_class(tmp_path: Path, name: str, above: bool) -> None:
    for label in ("real", "fake"):
        tree(tmp_path, f"{name}/{label}/g/x.png" if above else f"{label}/{name}/g/x.png")
    made = read(tmp_path)
    (split,) = set(made.column("split"))
    assert name in SPLIT_NAMES[split]
    assert sorted(made.column("group")) == ["fake/g", "real/g"]  # the split folder is not the group


def test_named_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    tree(tmp_path, *(f"{s}/{c}/{s}{i}.png" for s in ("train", "val", "test") for c in ("real", "fake") for i in (1, 2)))
    assert all(path.startswith(split) for path, split in splits(read(tmp_path)).items())


def test_without_split_folders_the_spec_cuts_the_same_way_each_time(tmp_path: Path) -> None:
    classes(tmp_path, "real", "fake", each=20)
    first = read(tmp_path, splits=(0.5, 0.25, 0.25))
    assert [int((first.column("split") == s).sum()) for s in ("train", "val", "test")] == [20, 10, 10]
    assert read(tmp_path, splits=(0.5, 0.25, 0.25)).table.equals(first.table)
    assert set(read(tmp_path, splits=(0, 0, 1)).column("split")) == {"test"}


def test_a_file_outside_the_split_folders_is_named(tmp_path: Path) -> None:
    tree(tmp_path, "train/real/a.png", "test/fake/b.png", "real/c.png")
    with pytest.raises(DataError, match=r"real/c\.png: lies in no split folder"):
        read(tmp_path)


def test_a_group_in_two_split_folders_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "train/real/ann/a.png", "test/real/ann/b.png", "train/fake/x.png", "test/fake/y.png")
    with pytest.raises(DataError, match="real/ann: this group stands in two splits"):
        read(tmp_path)


def test_upper_case_extensions_count_and_other_files_do_not(tmp_path: Path) -> None:
    classes(tmp_path, "real", "fake")
    kept = [f"real/{i}{e.upper()}" for i, e in enumerate(PICTURES + CLIPS)]
    tree(tmp_path, *kept, "real/.DS_Store", "real/.hidden.png", "fake/.cache/x.png", "fake/notes.txt", "real/README")
    assert set(labels(read(tmp_path))) == {f"{c}/{i}.png" for c in ("real", "fake") for i in range(4)} | set(kept)


def test_linked_files_and_folders_count_like_others(tmp_path: Path) -> None:
    elsewhere = classes(tmp_path / "elsewhere", "x", "y")
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    for i in range(4):
        (root / "real" / f"{i}.png").symlink_to(elsewhere / "x" / f"{i}.png")
    (root / "fake").symlink_to(elsewhere / "y", target_is_directory=True)
    plain = read(classes(tmp_path / "plain", "real", "fake"))
    assert read(root).fingerprint() == plain.fingerprint()


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    classes(tmp_path, "real", "fake")
    (tmp_path / "real" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "real" / "self").symlink_to(tmp_path / "real" / "self")
    (tmp_path / "fake" / "back").symlink_to(tmp_path / "fake", target_is_directory=True)
    assert len(read(tmp_path)) == 8


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["real/a.png", "fake/readme.txt"], "no pictures or clips under fake/ (found: fake, real)"),
        (["fake/a.png"], "no pictures or clips under real/ (found: fake)"),
        (["cats/a.png"], "no pictures or clips under real/ and fake/ (found: cats)"),
        (["a.png"], "no pictures or clips under real/ and fake/ (found: no folders)"),
    ],
)
def test_half_a_data_set_is_one_named_error(tmp_path: Path, files: list[str], reason: str) -> None:
    tree(tmp_path, *files)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("gone", ["no/such/folder", "file.txt"])
def test_a_missing_folder_is_named_with_what_is_needed(tmp_path: Path, gone: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(DataError, match=r"no such folder; give data\.path=DIR"):
        read(tmp_path / gone)


def test_a_file_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    classes(tmp_path, "real", "fake")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/real/\xff.png"))).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(DataError, match=r"not UTF-8; rename it"):
        read(tmp_path)


def test_the_tiny_folder_reads_whole(tiny_folder: Path, tmp_path: Path) -> None:
    made = read(tiny_folder)
    assert (len(made), int(made.column("label").sum())) == (24, 12)
    shutil.copytree(tiny_folder, tmp_path / "copy")
    assert read(tmp_path / "copy").fingerprint() == made.fingerprint()
