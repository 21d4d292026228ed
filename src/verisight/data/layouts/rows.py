"""What layouts do with rows besides naming them: find listed files, hold out val, keep people on one side, count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from verisight.core.value import Value
from verisight.data.layouts.disjoint import on_one_side, sides
from verisight.data.layouts.layout import count_notes, files_below
from verisight.data.layouts.names import Row, told
from verisight.data.manifest import split_by_group

STRAY = "files named like none of this set, left out"
ABSENT = "listed files that are absent"
UNLISTED = "files that no list names, left out"


class HeldOut(Value):
    """Settings of a set that is published in two parts.

    val : share of the groups of its training part that becomes `val`; 0 leaves that part whole.
    """

    val: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Disk:
    """The files below a folder, found by the names that lists give them.

    Lists come from Windows and name `.mp4` what lies there as `.MP4`: separators and case do not count.

    suffixes : of the files that are looked for.
    key : what of a path names a file, for lists that start at another folder than the data.
    """

    def __init__(self, root: Path, suffixes: Sequence[str], key: Callable[[str], str] = str) -> None:
        self.key = key
        self.files = files_below(root, suffixes)
        self.missing: set[str] = set()
        self._found: set[str] = set()
        self._at: dict[str, str] = {}
        for path in self.files:
            self._at.setdefault(key(path).lower(), path)

    def find(self, *names: str) -> str | None:
        """The file with the first of these names that there is; else None, and the first one counts as missing."""
        for name in names:
            path = self._at.get(self.key(name.replace("\\", "/")).lower())
            if path is not None:
                self._found.add(path)
                return path
        self.missing.add(names[0].replace("\\", "/"))
        return None

    def unlisted(self) -> list[str]:
        """Files that nobody asked for."""
        return [path for path in self.files if path not in self._found]


def video_notes(rows: Iterable[Mapping[str, Any]], expected: Mapping[str, int]) -> list[str]:
    """As `count_notes`, but different videos count, not their frames."""
    videos = {(row["label"], row["video"]): row for row in rows}
    return count_notes(videos.values(), expected, what="videos")


def lacking(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A note where a class is absent, for sets whose published numbers would not tell."""
    found = {row["label"] for row in rows}
    return [f"holds no {name}s: no AUC can be had" for label, name in ((0, "real"), (1, "fake")) if label not in found]


def hold_out(rows: Sequence[Row], share: float, seed: int) -> list[str]:
    """Turn a share of the train groups into `val`, in place; without one, a note says how to get it."""
    train = [row for row in rows if row["split"] == "train"]
    if not train:
        return []
    if share == 0:
        return ["published without a val split; data.options.val=0.1 takes one from train"]
    groups, labels = [row["group"] for row in train], [row["label"] for row in train]
    for row, split in zip(train, split_by_group(groups, labels, (1 - share, share, 0.0), seed), strict=True):
        row["split"] = split
    return []


def cut_by_person(
    rows: Sequence[Row], shares: tuple[float, float, float], seed: int, *, strict: bool
) -> tuple[list[Row], list[str]]:
    """Rows with group and split by the people in them, and a note about the fakes that join people of two splits.

    strict : nobody, shown or lending a face, stands in two splits; fakes that would join two are left out, and a
        group is whoever then hangs together by fakes. Otherwise a row goes with its `subject`, which is its group, and
        the fakes whose `donor` is shown in another split are counted.

    Raises
    ------
    DataError : fewer people than splits with a share.
    """
    if strict:
        cut, mixed = on_one_side(rows, shares, seed)
        return cut, told(mixed, "fakes that join people of two splits, left out")
    side = sides((row["subject"] for row in rows), shares, seed, what="people")
    cut = [{**row, "group": row["subject"], "split": side[row["subject"]]} for row in rows]
    mixed = [row["path"] for row in cut if side.get(row["donor"], row["split"]) != row["split"]]
    return cut, told(mixed, "fakes that join people of two splits (data.options.split=strict leaves them out)")
