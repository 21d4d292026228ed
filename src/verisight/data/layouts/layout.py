"""What a layout is: a data set's way of naming its files, with a tiny copy to prove that we read it right."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec, validate
from verisight.core.value import Value
from verisight.data.manifest import SCHEMA, Manifest
from verisight.data.quality import Picture

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
CLIPS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp")

OptionsT = TypeVar("OptionsT", bound=Value)


class NoOptions(Value):
    """A layout without settings."""


@dataclass(frozen=True)
class Promise:
    """What a layout must make of its tiny copy.

    spec : how to read the copy.
    labels, splits, generators : rows by label, split, and generator of the fakes.
    groups, subjects : number of different groups, and of different subjects that are not empty.
    notes : texts, each of which must stand in one of the manifest's notes.
    """

    spec: DataSpec
    labels: Mapping[int, int]
    splits: Mapping[str, int]
    groups: int
    generators: Mapping[str, int] = field(default_factory=dict)
    subjects: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Layout:
    """A data set: how it is read, what it should hold, on whose terms.

    read : (spec, seed) -> Manifest. Raises DataError, in one line, for what is not this data set.
    tiny_copy : writes a small made-up copy (file names of the real patterns, a missing and a stray file) into an empty
        folder, and says what must come out of it.
    expected : published number of real and fake rows (of videos, where rows are frames), by the options under which
        they hold; a difference is a note.
    licence, citation : whose terms the files come on, and whom to cite.
    options : settings that `spec.options` may hold.
    leaks : what the official split shares between train and test, in words; "" when nothing is known.
    """

    read: Callable[[DataSpec, int], Manifest]
    tiny_copy: Callable[[Path], Promise]
    licence: str
    citation: str
    expected: Mapping[str, int] = field(default_factory=dict)
    options: type[Value] = NoOptions
    leaks: str = ""

    def __call__(self, spec: DataSpec, seed: int = 0) -> Manifest:
        validate(self.options, spec.options, f"data.options of {spec.layout}")
        return self.read(spec, seed)


def root_of(spec: DataSpec) -> Path:
    """The folder of the data.

    Raises
    ------
    DataError : there is none.
    """
    root = Path(spec.path)
    if not root.is_dir():
        raise DataError(root, "no such folder", f"give data.path=DIR, the folder of {spec.layout}")
    return root


def options_of(spec: DataSpec, kind: type[OptionsT]) -> OptionsT:
    """The layout's settings, validated."""
    return validate(kind, spec.options, f"data.options of {spec.layout}")


def files_below(root: Path, suffixes: Sequence[str] = PICTURES + CLIPS) -> list[str]:
    """Relative paths with `/`, sorted, of the files with one of the suffixes (any case).

    Hidden files and folders are left out. Linked folders are entered, save in a circle.
    """
    return sorted(_walk(root, tuple(suffixes)))


def _walk(root: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    for folder, folders, files in os.walk(root, followlinks=True):
        above = {p.resolve() for p in (Path(folder), *Path(folder).parents)}
        folders[:] = [n for n in folders if not n.startswith(".") and (Path(folder) / n).resolve() not in above]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(suffixes):
                yield (Path(folder) / name).relative_to(root).as_posix()


def manifest_of(rows: Sequence[Mapping[str, Any]], root: Path, notes: Sequence[str] = ()) -> Manifest:
    """A manifest of rows as dictionaries, in path order; keys that no row has take their defaults.

    Raises
    ------
    DataError : no rows, or whatever Manifest refuses.
    """
    if not rows:
        raise DataError(root, "holds no samples of this layout", "see: verisight list --kind layout")
    ordered = sorted(rows, key=lambda row: str(row["path"]))
    names = [name for name in SCHEMA.names if name in ordered[0]]
    return Manifest.from_columns({name: [row[name] for row in ordered] for name in names}, root, notes)


def count_notes(rows: Iterable[Mapping[str, Any]], expected: Mapping[str, int], *, what: str = "files") -> list[str]:
    """A line for each key of `expected` (`real`, `fake`) whose number of rows differs from the published one.

    what : a row is.
    """
    found = Counter("fake" if row["label"] else "real" for row in rows)
    return [
        f"{found[name]} {name} {what} where the published set has {wanted}"
        for name, wanted in expected.items()
        if found[name] != wanted
    ]


def tiny_picture(seed: int, *, forged: bool = False, side: int = 32) -> Picture:
    """(side, side, 3) smooth noise; a forged one differs from its original of the same seed in the centre alone."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (4, 4, 3)).astype(np.float64)
    picture = np.kron(coarse, np.ones((side // 4, side // 4, 1))).astype(np.uint8)
    if forged:
        middle = slice(side // 4, 3 * side // 4)
        picture[middle, middle] = 255 - picture[middle, middle]
    return picture


def write_picture(path: Path, seed: int, *, forged: bool = False, side: int = 32) -> None:
    """Write `tiny_picture` as PNG or JPEG, by the suffix; folders are made."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tiny_picture(seed, forged=forged, side=side)).save(path)


def write_clip(path: Path, seed: int, *, forged: bool = False, frames: int = 2, side: int = 64) -> None:
    """Write a tiny H.264 clip; folders are made."""
    from verisight.data.quality import write_h264

    path.parent.mkdir(parents=True, exist_ok=True)
    write_h264([tiny_picture(seed, forged=forged, side=side)] * frames, path, crf=18)
