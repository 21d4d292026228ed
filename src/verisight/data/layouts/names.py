"""Clips found by the whole of their names, lists that come beside them, and one line on whatever does not fit."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from verisight.core.errors import DataError
from verisight.data.layouts.layout import files_below

T = TypeVar("T")
MP4 = r"\.(?i:mp4)"  # the end of a pattern; names keep their case, extensions come in both
Row = dict[str, Any]  # a row of the manifest, by the columns of SCHEMA
Found = list[tuple[str, "re.Match[str]"]]  # path from the root, match of its name
Several = Annotated[  # one value or many: quality=c23 and quality=[c23,c40] are both understood
    tuple[T, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given), Field(min_length=1)
]

STRAY = "files not named like clips of this set"
_BESIDE = {"masks", "models", "images", "frames", "landmarks"}  # stand beside the clips, and may hold .mp4 files too


def named(root: Path, folder: str, pattern: re.Pattern[str]) -> tuple[Found, list[str]]:
    """Files in root/folder whose path from there is the whole pattern, and the other files; none without the folder."""
    if not (root / folder).is_dir():
        return [], []
    found: Found = []
    stray = []
    for below in files_below(root / folder):
        if _BESIDE & set(below.lower().split("/")[:-1]):
            continue
        match = pattern.fullmatch(below)
        if match:
            found.append((f"{folder}/{below}", match))
        else:
            stray.append(f"{folder}/{below}")
    return found, stray


def told(names: Collection[str], what: str) -> list[str]:
    """`clips that are absent: 3, such as a.mp4`; nothing for no names."""
    return [f"{what}: {len(names)}, such as {min(names)}"] if names else []


def read_json(path: Path) -> Any:
    """A JSON file that comes with a data set.

    Raises
    ------
    DataError : not readable as JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"not readable as JSON ({error})", "download it again") from error


def one_root(root: Path, rows: Sequence[Row], other: Path, more: Sequence[Row]) -> tuple[Path, list[Row]]:
    """The lowest folder above both roots, and the rows of both with paths from there.

    Raises
    ------
    DataError : `other` is no folder, or the two lie on different drives.
    """
    if not other.is_dir():
        raise DataError(other, "no such folder", "it is to hold the reals of this set")
    try:
        base = os.path.commonpath([os.path.abspath(root), os.path.abspath(other)])
    except ValueError as error:
        raise DataError(other, "lies on another drive than the fakes", "move one of them") from error
    moved: list[Row] = []
    for place, part in ((root, rows), (other, more)):
        ahead = PurePosixPath(Path(os.path.relpath(place, base)).as_posix())
        moved += [{**row, "path": (ahead / row["path"]).as_posix()} for row in part]
    return Path(base), moved
