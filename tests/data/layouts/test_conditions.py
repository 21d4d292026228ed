"""Data sets as they arrive: half downloaded, on linked disks, listed in any order, shouting, written on Windows."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.cifake import CIFAKE
from verisight.data.layouts.deepfakebench import DEEPFAKEBENCH
from verisight.data.layouts.df40 import DF40
from verisight.data.layouts.fakeavceleb import FAKEAVCELEB
from verisight.data.layouts.ffiw import FFIW
from verisight.data.layouts.folder import FOLDER
from verisight.data.layouts.forensynths import FORENSYNTHS
from verisight.data.layouts.forgerynet import FORGERYNET
from verisight.data.layouts.genimage import GENIMAGE
from verisight.data.layouts.kodf import KODF
from verisight.data.layouts.layout import CLIPS, PICTURES, Layout, Promise, files_below
from verisight.data.layouts.pack import PACK
from verisight.data.layouts.wilddeepfake import WILDDEEPFAKE
from verisight.data.manifest import Manifest
from verisight.testing.layout import check_layout

LAYOUTS = {
    "cifake": CIFAKE, "deepfakebench": DEEPFAKEBENCH, "df40": DF40, "fakeavceleb": FAKEAVCELEB, "ffiw": FFIW,
    "folder": FOLDER, "forensynths": FORENSYNTHS, "forgerynet": FORGERYNET, "genimage": GENIMAGE, "kodf": KODF,
    "pack": PACK, "wilddeepfake": WILDDEEPFAKE,
}  # fmt: skip
LISTED = ("deepfakebench", "fakeavceleb", "forgerynet", "kodf", "pack")
every = pytest.mark.parametrize("name", LAYOUTS)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Promise]]:
    made = {}
    for name, layout in LAYOUTS.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = (folder, layout.tiny_copy(folder))
    return made


@pytest.fixture
def copy(name: str, copies: dict[str, tuple[Path, Promise]], tmp_path: Path) -> tuple[Layout, DataSpec]:
    """A copy of the tiny copy that a test may damage."""
    folder, promise = copies[name]
    shutil.copytree(folder, tmp_path / "data")
    return LAYOUTS[name], promise.spec.model_copy(update={"path": str(tmp_path / "data")})


def samples(spec: DataSpec) -> list[Path]:
    return [Path(spec.path) / path for path in files_below(Path(spec.path), PICTURES + CLIPS)]


def counts(manifest: Manifest) -> Counter[tuple[int, str, str]]:
    columns = (manifest.column(name).tolist() for name in ("label", "split", "generator"))
    return Counter(zip(*columns, strict=True))


@every
def test_the_contract_of_a_layout_is_kept(name: str) -> None:
    check_layout(LAYOUTS[name])


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n != "pack"])  # whose index names each file to the letter
def test_upper_case_extensions_are_the_same_files(copy: tuple[Layout, DataSpec]) -> None:
    layout, spec = copy
    before = counts(layout(spec))
    for path in samples(spec):
        path.rename(path.with_suffix(path.suffix.upper()))
    after = layout(spec)
    assert counts(after) == before
    assert all(path.suffix.isupper() for path in after.paths())


@every
def test_a_linked_folder_is_a_folder(copy: tuple[Layout, DataSpec], tmp_path: Path) -> None:
    layout, spec = copy
    expected = layout(spec)
    for inner in sorted(p for p in Path(spec.path).iterdir() if p.is_dir() and not p.name.startswith(".")):
        elsewhere = tmp_path / "disk two" / inner.name
        elsewhere.parent.mkdir(exist_ok=True)
        inner.rename(elsewhere)
        inner.symlink_to(elsewhere, target_is_directory=True)
    (tmp_path / "link").symlink_to(spec.path, target_is_directory=True)
    found = layout(spec.model_copy(update={"path": str(tmp_path / "link")}))
    assert found.fingerprint() == expected.fingerprint()


@every
@pytest.mark.parametrize("label", [0, 1])
def test_a_set_without_one_class_says_what_lacks(copy: tuple[Layout, DataSpec], name: str, label: int) -> None:
    """Its folders stay, empty: a manifest of the other class with a note about the gap, or one line that names it."""
    layout, spec = copy
    whole = layout(spec)
    for path, found in zip(whole.paths(), whole.column("label"), strict=True):
        if found == label:
            path.unlink()
    if name in ("folder", "pack"):
        with pytest.raises(DataError, match=r"no pictures or clips under|there is no such file"):
            layout(spec)
        return
    made = layout(spec)
    assert set(made.column("label")) == {1 - label}
    assert len(made) == int((whole.column("label") != label).sum())
    assert set(made.notes) - set(whole.notes)


@every
def test_half_a_download_is_the_half_that_is_there(copy: tuple[Layout, DataSpec], name: str) -> None:
    layout, spec = copy
    whole = layout(spec)
    gone = whole.paths()[::2]
    for path in gone:
        path.unlink()
    if name == "pack":
        with pytest.raises(DataError, match="there is no such file"):
            layout(spec)
        return
    made = layout(spec)
    assert set(made.paths()) == set(whole.paths()) - set(gone)
    rows = {row["path"]: row for row in whole.table.to_pylist()}
    for row in made.table.to_pylist():  # what is left is read as before; only a cut by people may fall otherwise
        same = ("label", "subject", "donor", "pair", "video", "generator", "source", "quality")
        assert {key: row[key] for key in same} == {key: rows[row["path"]][key] for key in same}


@pytest.mark.parametrize("name", LISTED)
def test_lists_written_on_windows_name_the_same_files(copy: tuple[Layout, DataSpec]) -> None:
    layout, spec = copy
    expected = layout(spec)
    lists = [Path(spec.path) / p for p in files_below(Path(spec.path), (".csv", ".txt", ".json"))]
    assert lists
    for path in lists:
        separator = "\\\\" if path.suffix == ".json" else "\\"
        text = path.read_bytes().decode().replace("/", separator).replace("\n", "\r\n")
        path.write_bytes(text.encode())
    found = layout(spec)
    plain, windows = (m.table.drop_columns(["video"]) for m in (expected, found))  # pack: an index may name it freely
    assert windows.equals(plain)


SYNONYMS = {"cifake": ("REAL", "FAKE"), "genimage": ("nature", "ai"), "forensynths": ("0_real", "1_fake")}


@pytest.mark.parametrize("name", SYNONYMS)
@pytest.mark.parametrize("swap", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("root", ["real", "fake_data", "realfake/ai", "1_fake"])
def test_labels_come_from_whole_names_and_never_from_their_order(
    copy: tuple[Layout, DataSpec], name: str, swap: Callable[[str], str], root: str, tmp_path: Path
) -> None:
    layout, spec = copy
    real, fake = SYNONYMS[name]
    for folder in sorted(Path(spec.path).rglob("*"), reverse=True):
        if folder.name in (real, fake):
            folder.rename(folder.with_name(swap(folder.name)))
    (tmp_path / root).parent.mkdir(exist_ok=True)
    Path(spec.path).rename(tmp_path / root)
    made = layout(spec.model_copy(update={"path": str(tmp_path / root)}))
    for path, label in zip(made.column("path"), made.column("label"), strict=True):
        assert label == int(path.split("/")[-2] == swap(fake))


@pytest.mark.parametrize("name", ["cifake", "genimage", "wilddeepfake", "df40"])
def test_val_is_taken_out_of_train_alone_by_whole_groups(copy: tuple[Layout, DataSpec], name: str) -> None:
    layout, spec = copy
    if name == "df40":
        shutil.copytree(
            Path(spec.path) / "DF40_train/simswap/ff/frames/000_003", Path(spec.path) / "DF40_train/lia/ff/005"
        )
    plain = layout(spec)
    held = layout(spec.model_copy(update={"options": {**spec.options, "val": 0.5}}))
    before, after = Counter(plain.column("split")), Counter(held.column("split"))
    assert after["test"] == before["test"]
    assert after["train"] + after["val"] == before["train"]
    assert min(after["train"], after["val"]) > 0
    groups = zip(held.column("group"), held.column("split"), strict=True)
    assert max(Counter(g for g, _ in set(groups)).values()) == 1
    assert not any("without a val split" in note for note in held.notes)


def test_a_changed_file_count_is_a_note_and_never_an_error(copies: dict[str, tuple[Path, Promise]]) -> None:
    for name, layout in LAYOUTS.items():
        notes = layout(copies[name][1].spec).notes
        published = [note for note in notes if "published set has" in note]
        assert len(published) == 2 * bool(layout.expected), name
