"""Which files a scan means: each once, in a fixed order, nothing lost without a word."""

from __future__ import annotations

import doctest
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from verisight.core.errors import InputError
from verisight.scan import inputs
from verisight.scan.inputs import Inputs

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Makes empty files below a folder of the test's own, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def grow(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return grow


def expand(*arguments: str, stdin: bytes | None = None) -> list[str]:
    stream = None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
    return [path.as_posix() for path in Inputs(arguments, stream)]


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(inputs) == doctest.TestResults(failed=0, attempted=2)


def test_a_folder_is_walked_in_sorted_order_its_own_files_first(tree: Tree) -> None:
    tree("d/z.jpg", "d/b/2.png", "d/b/10.png", "d/a/c/1.mp4", "d/A.JPG")
    assert expand("d") == ["d/A.JPG", "d/z.jpg", "d/a/c/1.mp4", "d/b/10.png", "d/b/2.png"]


def test_inside_folders_hidden_side_and_plainly_other_files_are_passed_over(tree: Tree) -> None:
    tree("d/.hidden.jpg", "d/.git/x.jpg", "d/.DS_Store", "d/Thumbs.db", "d/notes.TXT", "d/index.csv", "d/a.json")
    tree("d/face.jpg", "d/no-extension", "d/list.m3u8")
    assert expand("d") == ["d/face.jpg", "d/list.m3u8", "d/no-extension"]


def test_what_is_named_is_never_left_out(tree: Tree) -> None:
    tree("notes.txt", ".hidden.jpg", "Thumbs.db")
    assert expand("notes.txt", ".hidden.jpg", "Thumbs.db") == ["notes.txt", ".hidden.jpg", "Thumbs.db"]
    assert expand("*.txt") == ["notes.txt"]


def test_each_file_comes_once_where_it_came_first(tree: Tree) -> None:
    here = tree("d/a.jpg", "d/b.jpg")
    given = ("d/b.jpg", "d", "./d/../d/a.jpg", "d/*.jpg", str(here / "d/a.jpg"))
    assert expand(*given) == ["d/b.jpg", "d/a.jpg"]


def test_patterns_are_expanded_here_and_two_stars_go_into_folders(tree: Tree) -> None:
    tree("d/1.jpg", "d/2.png", "d/s/3.jpg", "d/s/t/4.jpg", "d/.h/5.jpg", "d/s/.6.jpg")
    assert expand("d/*.jpg") == ["d/1.jpg"]
    assert expand("d/**/*.jpg") == ["d/1.jpg", "d/s/3.jpg", "d/s/t/4.jpg"]
    assert expand("**/[34].jp?") == ["d/s/3.jpg", "d/s/t/4.jpg"]
    assert expand("d/**") == ["d/1.jpg", "d/2.png", "d/s/3.jpg", "d/s/t/4.jpg"]
    assert expand("d/s/.*.jpg") == ["d/s/.6.jpg"]


def test_a_pattern_may_be_absolute(tree: Tree) -> None:
    here = tree("d/1.jpg")
    assert expand(f"{here}/d/*") == [f"{here.as_posix()}/d/1.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree: Tree) -> None:
    tree("img[1].jpg", "img1.jpg")
    assert expand("img[1].jpg") == ["img[1].jpg"]


@pytest.mark.parametrize("argument", ["d", "d/**/*.jpg", "**/**/a.jpg"])
def test_loops_of_links_end(tree: Tree, argument: str) -> None:
    here = tree("d/a.jpg", "d/s/a.jpg")
    for loop in ("d/s/up", "d/s/again", "d/self"):  # two links into one loop would double the work at every level
        (here / loop).symlink_to(here / "d", target_is_directory=True)
    assert expand(argument) == ["d/a.jpg", "d/s/a.jpg"]


def test_links_to_files_count_and_links_to_nothing_do_not(tree: Tree) -> None:
    here = tree("elsewhere.jpg", "d/a.jpg")
    (here / "d/linked.jpg").symlink_to(here / "elsewhere.jpg")
    (here / "d/broken.jpg").symlink_to(here / "gone.jpg")
    assert expand("d") == ["d/a.jpg", "d/linked.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this platform")
def test_a_pipe_in_a_folder_is_no_file(tree: Tree) -> None:
    os.mkfifo(tree("d/a.jpg") / "d" / "pipe.mp4")
    assert expand("d", "d/*") == ["d/a.jpg"]


def test_a_subfolder_that_cannot_be_read_stands_in_the_result_itself(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("d/a.jpg", "d/locked/b.jpg", "d/open/c.jpg")
    scandir = os.scandir

    def guarded(folder: str) -> object:
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)  # permissions do not hold for root, who may run the tests
    assert expand("d") == ["d/a.jpg", "d/locked", "d/open/c.jpg"]


@pytest.fixture
def deep_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """1,200 folders in one another, deeper than Python's recursion limit: pytest could not clear them away itself."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    Path("deep.jpg").touch()
    os.chdir(tmp_path)
    yield
    for _ in range(1200):
        os.chdir("d")
    os.unlink("deep.jpg")
    for _ in range(1200):
        os.chdir("..")
        os.rmdir("d")


@pytest.mark.usefixtures("deep_tree")
def test_a_very_deep_tree_is_walked() -> None:
    assert [path.name for path in Inputs(["d"])] == ["deep.jpg"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("portrit.jpg", "portrit.jpg: no such file or folder; did you mean 'portrait.jpg'?"),
        ("fotos/a.jpg", "fotos/a.jpg: no such file or folder; did you mean 'photos/a.jpg'?"),
        ("zzzzzz", "zzzzzz: no such file or folder"),
        ("portrait.jpg/x", "portrait.jpg/x: no such file or folder"),
        ("*.webp", "*.webp: matches no file; ** goes into folders"),
        ("a**b", "a**b: not a pattern (Invalid pattern: '**' can only be an entire path component)"),
        ("empty", "empty: holds no files to scan; hidden files and files such as .txt are left out"),
        ("nul\0byte", "nul byte: not a possible path (embedded null byte)"),
        ("-", "-: there is no list on stdin"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(tree: Tree, argument: str, message: str) -> None:
    tree("portrait.jpg", "photos/a.jpg", "empty/notes.txt")
    with pytest.raises(InputError) as error:
        Inputs([argument])
    assert str(error.value) == message


def test_a_name_that_is_too_long_is_refused(tree: Tree) -> None:
    tree()
    with pytest.raises(InputError, match="not a possible path"):
        Inputs(["x" * 5000])


def test_everything_is_checked_before_anything_is_handed_out(tree: Tree) -> None:
    tree("a.jpg")
    with pytest.raises(InputError, match=r"b\.jpg"):
        Inputs(["a.jpg", "b.jpg"])


@pytest.mark.parametrize(
    "listed",
    [
        b"d/a.jpg\nb c.jpg\n",
        b"d/a.jpg\r\n\r\nb c.jpg",
        b"\xef\xbb\xbfd/a.jpg\nb c.jpg\n",
        b"d/a.jpg\0b c.jpg\0",
        b"d/a.jpg\0b c.jpg\0d/a.jpg",
        b"d\nb c.jpg\n",
    ],
    ids=["lines", "windows", "bom", "nul", "twice", "folder"],
)
def test_a_list_on_stdin(tree: Tree, listed: bytes) -> None:
    tree("d/a.jpg", "b c.jpg")
    assert expand("-", stdin=listed) == ["d/a.jpg", "b c.jpg"]


def test_a_nul_separated_list_may_hold_line_breaks(tree: Tree) -> None:
    tree("two\nlines.jpg", "a.jpg")
    assert expand("-", stdin=b"two\nlines.jpg\0a.jpg\0") == ["two\nlines.jpg", "a.jpg"]


def test_names_that_are_not_utf8_reach_their_file(tree: Tree) -> None:
    here = tree()
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        (here / name).write_bytes(b"found")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (path,) = Inputs(["-"], io.TextIOWrapper(io.BytesIO(b"caf\xe9.jpg\n"), encoding="utf-8"))
    assert path.read_bytes() == b"found"


def test_a_list_that_is_longer_than_a_chunk_keeps_every_name(tree: Tree) -> None:
    tree()
    names = [f"{i:05d}-{'x' * 40}.jpg" for i in range(5000)]  # five chunks, cut in the middle of names
    assert expand("-", stdin="\n".join(names).encode()) == names


def test_a_list_is_read_as_it_is_consumed(tree: Tree) -> None:
    tree()
    reader, writer = os.pipe()
    with open(reader) as stream, open(writer, "wb", buffering=0) as end:
        end.write(b"first.jpg\n")
        paths = iter(Inputs(["-"], stream))
        assert next(paths) == Path("first.jpg")  # would hang if the end of the list were waited for
        end.write(b"second.jpg\n")
        assert next(paths) == Path("second.jpg")


def test_counting_agrees_with_walking_and_leaves_a_list_alone(tree: Tree) -> None:
    tree("d/a.jpg", "d/b.jpg", "c.jpg")
    assert Inputs(["d", "c.jpg", "d/a.jpg"]).count() == 3
    listed = Inputs(["-"], io.TextIOWrapper(io.BytesIO(b"d/a.jpg\n")))
    assert listed.count() is None
    assert list(listed) == [Path("d/a.jpg")]
