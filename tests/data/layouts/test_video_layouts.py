"""What every layout of clips stands: links, upper-case extensions, an empty class, half a download, any order."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.celebdf import CELEBDF_V1, CELEBDF_V2
from verisight.data.layouts.deeperforensics import DEEPERFORENSICS
from verisight.data.layouts.df_timit import DF_TIMIT
from verisight.data.layouts.dfd import DFD
from verisight.data.layouts.dfdc import DFDC
from verisight.data.layouts.dfdc_preview import DFDC_PREVIEW
from verisight.data.layouts.ffpp import FFPP
from verisight.data.layouts.layout import Layout, Promise
from verisight.data.layouts.uadfv import UADFV
from verisight.data.manifest import Manifest

LAYOUTS = {
    "ffpp": FFPP,
    "dfd": DFD,
    "celebdf-v1": CELEBDF_V1,
    "celebdf-v2": CELEBDF_V2,
    "dfdc": DFDC,
    "dfdc-preview": DFDC_PREVIEW,
    "deeperforensics": DEEPERFORENSICS,
    "uadfv": UADFV,
    "df-timit": DF_TIMIT,
}
Copy = tuple[Layout, Path, DataSpec, Manifest, Promise]


@pytest.fixture(scope="module", params=LAYOUTS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Path, Promise]:
    folder = tmp_path_factory.mktemp(request.param)
    return LAYOUTS[request.param], folder, LAYOUTS[request.param].tiny_copy(folder)


@pytest.fixture
def copy(tiny: tuple[Layout, Path, Promise], tmp_path: Path) -> Copy:
    """A tiny copy of one's own, and the manifest of the untouched one."""
    layout, written, promise = tiny
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    inside = Path(promise.spec.path).relative_to(written)
    spec = promise.spec.model_copy(update={"path": str(folder / inside)})
    return layout, folder, spec, layout(promise.spec), promise


def content(manifest: Manifest) -> list[tuple[Any, ...]]:
    """Rows without their paths, in an order of their own."""
    names = [name for name in manifest.table.column_names if name not in ("path", "box", "applied")]
    return sorted(tuple(row[name] for name in names) for row in manifest.table.to_pylist())


def test_the_tiny_copy_is_what_it_promises(copy: Copy) -> None:
    layout, _, spec, _, promise = copy
    made = layout(spec)
    fake = made.column("label") == 1
    assert Counter(made.column("label").tolist()) == promise.labels
    assert Counter(made.column("split")) == promise.splits
    assert Counter(made.column("generator")[fake]) == promise.generators
    assert len(set(made.column("group"))) == promise.groups
    assert len(set(made.column("subject")) - {""}) == promise.subjects
    for text in promise.notes:
        assert any(text in note for note in made.notes), text
    assert all(path.is_file() for path in made.paths())


def test_upper_case_extensions_are_the_same_clips(copy: Copy) -> None:
    layout, _, spec, expected, _ = copy
    for path in clips_of(layout, spec):
        path.rename(path.with_suffix(path.suffix.upper()))
    made = layout(spec)
    assert all(path.endswith((".MP4", ".AVI", ".JPG")) for path in made.column("path"))
    assert content(made) == content(expected)
    assert not any("absent: " in note and note not in expected.notes for note in made.notes)


def test_linked_folders_are_entered(copy: Copy, tmp_path: Path) -> None:
    layout, _, spec, expected, _ = copy
    top = Path(spec.path)
    for number, folder in enumerate(sorted(p for p in top.iterdir() if p.is_dir())):
        folder.rename(tmp_path / f"elsewhere{number}")
        folder.symlink_to(tmp_path / f"elsewhere{number}", target_is_directory=True)
    made = layout(spec)
    assert made.fingerprint() == expected.fingerprint()
    assert made.notes == expected.notes


def test_the_order_of_the_listing_changes_nothing(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, _, spec, expected, _ = copy
    walk = os.walk

    def backwards(top: Any, **options: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
        for folder, folders, files in walk(top, **options):
            folders.sort(reverse=True)
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(sorted((self / n for n in os.listdir(self)), reverse=True)))
    made = layout(spec)
    assert made.fingerprint() == expected.fingerprint()
    assert made.notes == expected.notes


@pytest.mark.parametrize("gone", [0, 1])
def test_an_empty_class_folder_leaves_one_class_and_a_note_or_one_named_error(copy: Copy, gone: int) -> None:
    layout, _, spec, expected, _ = copy
    label = expected.column("label")
    for path, its in zip(clips_of(layout, spec), label, strict=True):
        if its == gone:
            path.unlink()
    if gone == 1 and spec.layout in ("deeperforensics", "df-timit"):  # their reals come along with fakes
        with pytest.raises(DataError, match="holds no samples"):
            layout(spec)
        return
    made = layout(spec)
    assert set(made.column("label")) == {1 - gone}
    told = (f"0 {('real', 'fake')[gone]} files where", "sentences without their real in VidTIMIT: 8")
    assert any(note.startswith(told) for note in made.notes)


def test_half_a_download_is_read_and_counted(copy: Copy) -> None:
    layout, _, spec, expected, _ = copy
    for path in clips_of(layout, spec)[::2]:
        path.unlink()
    made = layout(spec)
    assert 0 < len(made) <= len(expected) // 2
    assert set(content(made)) <= set(content(expected))
    assert any("where the published set has" in note for note in made.notes)


def clips_of(layout: Layout, spec: DataSpec) -> list[Path]:
    """Files of the rows, in the order of the manifest."""
    return layout(spec).paths()
