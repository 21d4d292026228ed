"""Plain folders: `real/` and `fake/`, with or without `train/`, `val/`, `test/` above or below them.

Label traps: class folders are matched as whole path parts, case-blind, so that a root called `fake_data` changes
nothing; a folder directly under the class is the group (one video's frames, one person), which no split cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import Layout, Promise, files_below, write_picture
from verisight.data.manifest import Manifest, split_by_group

REAL = ("real", "original", "nature", "0_real", "authentic")
FAKE = ("fake", "synthetic", "ai", "1_fake", "generated")
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read_folder(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index `spec.path`.

    Splits come from folder names when there are any; else groups are cut by `spec.splits` and `seed`.

    Raises
    ------
    DataError : no such folder, only one class found, or splits named for some files only.
    """
    root = Path(spec.path)
    if not root.is_dir():
        raise DataError(root, "no such folder", "give data.path=DIR, a folder with real/ and fake/ in it")
    rows = [row for row in map(_row, files_below(root)) if row is not None]
    present = {row.label for row in rows}
    if present != {0, 1}:
        found = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())) or "no folders"
        missing = "real/ and fake/" if not present else ("fake/" if present == {0} else "real/")
        raise DataError(root, f"no pictures or clips under {missing} (found: {found})")
    labels, groups, splits = [r.label for r in rows], [r.group for r in rows], [r.split for r in rows]
    if any(splits) and not all(splits):
        raise DataError(rows[splits.index("")].path, "lies in no split folder though others do")
    if not any(splits):
        splits = split_by_group(groups, labels, spec.splits, seed)
    columns: dict[str, Sequence[Any]] = {
        "path": [r.path for r in rows],
        "label": labels,
        "group": groups,
        "split": splits,
    }
    return Manifest.from_columns(columns, root)


class _Row(NamedTuple):
    path: str
    label: int
    group: str
    split: str


def _row(path: str) -> _Row | None:
    """Label, group and split of one file, from the parts of its path; None outside the class folders."""
    parts = path.split("/")[:-1]
    lowered = [part.lower() for part in parts]
    at = next((i for i, part in enumerate(lowered) if part in REAL + FAKE), None)
    if at is None:
        return None
    split = next((SPLIT_NAMES[part] for part in lowered if part in SPLIT_NAMES), "")
    inner = [part for part in parts[at + 1 :] if part.lower() not in SPLIT_NAMES]
    group = f"{lowered[at]}/{inner[0]}" if inner else path
    return _Row(path, int(lowered[at] in FAKE), group, split)


def tiny_copy(folder: Path) -> Promise:
    """Three people of each class with two pictures each, and one picture outside the classes."""
    for seed in range(6):
        write_picture(folder / "real" / f"person{seed // 2}" / f"{seed}.png", seed)
        write_picture(folder / "fake" / f"person{seed // 2}" / f"{seed}.png", seed, forged=True)
    write_picture(folder / "unreal" / "sketch.png", 9)
    (folder / "real" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="folder"),
        labels={0: 6, 1: 6},
        splits={"train": 4, "val": 4, "test": 4},
        groups=6,
    )


FOLDER = Layout(
    read=read_folder,
    tiny_copy=tiny_copy,
    licence="that of your files",
    citation="none: your own files",
    leaks="unknown: only what shares a folder is kept together",
)
