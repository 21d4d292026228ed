"""Files by the whole of their names, and two data sets under one root."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.data.layouts.names import MP4, named, one_root, read_json, told

PATTERN = re.compile(r"(?P<id>\d{3})" + MP4)


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_the_whole_name_counts_and_the_rest_is_handed_back(tmp_path: Path) -> None:
    lay(
        tmp_path / "clips",
        "001.mp4",
        "002.MP4",
        "0003.mp4",
        "004.mp4.mp4",
        "005.avi",
        "sub/006.mp4",
        ".DS_Store",
        "a.txt",
    )
    lay(tmp_path / "clips", "masks/007.mp4", "Frames/008/001.png")
    found, stray = named(tmp_path, "clips", PATTERN)
    assert [(path, match["id"]) for path, match in found] == [("clips/001.mp4", "001"), ("clips/002.MP4", "002")]
    assert stray == ["clips/0003.mp4", "clips/004.mp4.mp4", "clips/005.avi", "clips/sub/006.mp4"]


def test_a_folder_that_is_absent_or_goes_in_a_circle_is_no_fault(tmp_path: Path) -> None:
    assert named(tmp_path, "clips", PATTERN) == ([], [])
    lay(tmp_path / "clips", "001.mp4")
    (tmp_path / "clips/again").symlink_to(tmp_path / "clips", target_is_directory=True)
    assert [path for path, _ in named(tmp_path, "clips", PATTERN)[0]] == ["clips/001.mp4"]


def test_a_line_names_the_number_and_the_first_and_none_is_no_line() -> None:
    assert told({"b", "a", "c"}, "clips that are absent") == ["clips that are absent: 3, such as a"]
    assert told([], "clips that are absent") == []


@pytest.mark.parametrize(
    ("root", "other", "base", "paths"),
    [
        ("a/fakes", "a/reals", "a", ["fakes/f.mp4", "reals/r.mp4"]),
        ("a", "b/c", "", ["a/f.mp4", "b/c/r.mp4"]),
        ("a", "a/reals", "a", ["f.mp4", "reals/r.mp4"]),
        ("a/fakes", "a", "a", ["fakes/f.mp4", "r.mp4"]),
        ("a", "a", "a", ["f.mp4", "r.mp4"]),
        ("a/fakes", "a/fakes/../reals", "a", ["fakes/f.mp4", "reals/r.mp4"]),
    ],
)
@pytest.mark.parametrize("relative", [True, False])
def test_two_sets_meet_in_the_folder_above_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, other: str, base: str, paths: list[str], relative: bool
) -> None:
    lay(tmp_path, f"{root}/f.mp4", f"{os.path.normpath(other)}/r.mp4")
    monkeypatch.chdir(tmp_path)
    start = Path() if relative else tmp_path
    above, rows = one_root(start / root, [{"path": "f.mp4"}], start / other, [{"path": "r.mp4"}])
    assert above == (tmp_path / base if base else tmp_path)
    assert [row["path"] for row in rows] == paths
    assert all((above / path).is_file() for path in paths)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_a_file_that_is_not_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.json").write_bytes(content)
    with pytest.raises(DataError, match=r"list\.json: not readable as JSON"):
        read_json(tmp_path / "list.json")
    with pytest.raises(DataError, match=r"absent\.json: not readable as JSON"):
        read_json(tmp_path / "absent.json")
