"""Which files a scan means: paths, folders, globs, and a list on stdin."""

from __future__ import annotations

import difflib
import glob
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from verisight.core.errors import InputError

# Inside folders these are passed over: nobody means them. Named on the command line, they are judged like any file.
SIDE_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
NOT_MEDIA = re.compile(
    r"\.(txt|csv|tsv|jsonl?|ya?ml|toml|ini|cfg|xml|xmp|html?|css|js|md|rst|py|ipynb|sh|log|srt|vtt|md5|sha256"
    r"|sqlite(-wal|-shm)?|db|parquet|npy|npz|safetensors|onnx|pth?|ckpt|docx?|xlsx?)$",
    re.IGNORECASE,
)
_CHUNK = 65536  # bytes of a list that are read at once
_MOST_SIBLINGS = 5000  # names that are compared with a misspelt one


class Inputs(Iterable[Path]):
    """Files in a fixed order, each once; expanded as they are read, so that a million of them need no list.

    Parameters
    ----------
    arguments : files; folders, with all below them, save hidden files, what is no picture or clip by its name (.txt,
        .csv, ...), and what lies behind links to folders; globs (`**` goes into folders), which name files; `-` for a
        list on stdin, one path a line, or NUL-separated. A file that is named, by itself, a glob or a list, is
        never left out.
    stdin : where the list comes from; it is read as the files are consumed.

    Raises
    ------
    InputError : at once, for a path that does not exist, and for a glob or folder that holds nothing. A file that a
        list names and that does not exist is handed on, and fails there by name: the list is longer than one line.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("b.jpg", "a.jpg", "notes.txt", ".hidden.jpg"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in Inputs([folder, f"{folder}/notes.txt"])]
    ['a.jpg', 'b.jpg', 'notes.txt']
    """

    def __init__(self, arguments: Sequence[str], stdin: TextIO | None = None) -> None:
        self._arguments, self._stdin = list(arguments), stdin
        for argument in self._arguments:
            if argument != "-":
                _check(argument)
            elif stdin is None:
                raise InputError("-", "there is no list on stdin")

    def __iter__(self) -> Iterator[Path]:
        if len(self._arguments) == 1 and self._arguments[0] != "-":  # one folder or glob names each file once
            yield from _expand(self._arguments[0])
            return
        seen: set[int] = set()  # hashes, not paths: half the memory for a list of a million
        for argument in self._arguments:
            for path in self._listed() if argument == "-" else _expand(argument):
                key = hash(os.path.abspath(path))
                if key not in seen:
                    seen.add(key)
                    yield path

    def count(self) -> int | None:
        """How many there are, for a progress bar; None when stdin is among them, which can be read only once."""
        return None if "-" in self._arguments else sum(1 for _ in self)

    def _listed(self) -> Iterator[Path]:
        """The files of the list; a folder in it stands for what is below it. A pattern is a name here."""
        if self._stdin is None:
            return
        buffer: BinaryIO = getattr(self._stdin, "buffer", None) or io.BytesIO(os.fsencode(self._stdin.read()))
        for item in _items(buffer):
            yield from _below(item) if os.path.isdir(item) else (Path(item),)


def _items(buffer: BinaryIO) -> Iterator[str]:
    """Names from a stream of bytes, as they arrive. The first bytes tell lines from a NUL-separated list."""
    read = getattr(buffer, "read1", buffer.read)  # what is there now: a list may be written slowly
    chunk: bytes = read(_CHUNK).removeprefix(b"\xef\xbb\xbf")
    separator = b"\0" if b"\0" in chunk else b"\n"
    rest = b""
    while chunk:
        *whole, rest = (rest + chunk).split(separator)
        yield from (name for item in whole if (name := _name(item, separator)))
        chunk = read(_CHUNK)
    if name := _name(rest, separator):
        yield name


def _name(item: bytes, separator: bytes) -> str:
    return os.fsdecode(item.removesuffix(b"\r") if separator == b"\n" else item)


def _expand(argument: str) -> Iterator[Path]:
    """The files of one checked argument."""
    if os.path.isdir(argument):
        yield from _below(argument)
    elif os.path.lexists(argument) or not glob.has_magic(argument):
        yield Path(argument)
    else:
        yield from _matches(argument)


def _check(argument: str) -> None:
    """Refuse what cannot be meant, before anything is judged."""
    try:
        os.lstat(argument)
    except (FileNotFoundError, NotADirectoryError):
        if not glob.has_magic(argument):
            raise _missing(Path(argument)) from None
        if not _matches(argument):
            raise InputError(argument, "matches no file", "** goes into folders") from None
    except PermissionError:  # it fails later, by name, and the others are judged
        return
    except (OSError, ValueError) as error:
        raise InputError(argument, f"not a possible path ({getattr(error, 'strerror', None) or error})") from error
    if os.path.isdir(argument) and next(_below(argument), None) is None:
        raise InputError(argument, "holds no files to scan", "hidden files and files such as .txt are left out")


def _below(folder: str) -> Iterator[Path]:
    """Files below a folder, sorted, a folder's own before those of its subfolders.

    Links to folders are not followed, so that loops cannot happen. A folder that cannot be read stands in the result
    itself: it fails by name instead of being lost.
    """
    pending = [folder]
    while pending:
        here = pending.pop()
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file() and entry.name.lower() not in SIDE_FILES and not NOT_MEDIA.search(entry.name):
                        files.append(entry.name)
        except OSError:
            yield Path(here)
            continue
        files.sort()
        for name in files:
            yield Path(here, name)
        pending += [os.path.join(here, name) for name in sorted(folders, reverse=True)]


def _matches(pattern: str) -> list[Path]:
    """Files that a pattern names, sorted. As in a shell, `*` and `**` pass over hidden names, and `**` over links."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    tail = [*parts[fixed:], *(["*"] if parts[-1] == "**" else [])]  # a bare ** would name folders only
    hidden_meant = any(part.startswith(".") for part in tail)
    try:
        found = set(Path(*parts[:fixed]).glob("/".join(tail)))
    except (ValueError, NotImplementedError) as error:
        raise InputError(pattern, f"not a pattern ({error})") from error
    return sorted(
        path
        for path in found
        if path.is_file()
        and path.name.lower() not in SIDE_FILES
        and (hidden_meant or not any(part.startswith(".") for part in path.parts[fixed:]))
    )


def _missing(path: Path) -> InputError:
    """The error for a path that is not there, with the nearest name beside its first missing part."""
    lost = path
    while lost.parent != lost and not os.path.lexists(lost.parent):
        lost = lost.parent
    try:
        with os.scandir(lost.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_SIBLINGS)]
    except OSError:
        names = []
    close = difflib.get_close_matches(lost.name, sorted(names), n=1, cutoff=0.5)
    meant = lost.with_name(close[0]) / path.relative_to(lost) if close else None
    return InputError(path, "no such file or folder", f"did you mean '{meant}'?" if meant else "")
