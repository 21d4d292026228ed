"""Which files a scan means: paths, folders, globs, and a list on stdin."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from verisight.core.errors import InputError, nearest

# Inside folders these are passed over: nobody means them. Named on the command line, they are judged like any file.
SIDE_FILES = frozenset({"thumbs.db", "desktop.ini"})
NOT_MEDIA = re.compile(
    r"\.(txt|csv|tsv|jsonl?|ya?ml|toml|xml|html?|md|py|ipynb|log|sqlite(-wal|-shm)?|db|parquet|safetensors|onnx|pth?)$",
    re.IGNORECASE,
)


class Inputs(Iterable[Path]):
    """Files in a fixed order, each once; expanded as they are read, so that a million of them need no list.

    Parameters
    ----------
    arguments : files, folders (with all below them), globs, or `-` for a list on stdin, one path a line or
        NUL-separated.
    stdin : where the list comes from.

    Raises
    ------
    InputError : at once for a path that does not exist or a glob or folder that holds nothing.
    """

    def __init__(self, arguments: Sequence[str], stdin: TextIO | None = None) -> None:
        self._arguments, self._stdin = list(arguments), stdin
        for argument in self._arguments:
            if argument != "-" and next(_expand(argument), None) is None:
                raise InputError(argument, "holds no files to scan")

    def __iter__(self) -> Iterator[Path]:
        seen: set[int] = set()  # hashes, not paths: 100 MB for a million files would be too much
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
        if self._stdin is None:
            return
        for line in self._stdin:
            for item in line.rstrip("\r\n").split("\0"):
                if item:
                    yield Path(item)


def _expand(argument: str) -> Iterator[Path]:
    path = Path(argument)
    try:
        exists, is_folder = os.path.lexists(path), path.is_dir()
    except (OSError, ValueError) as error:
        raise InputError(argument, f"not a possible path ({error})") from error
    if is_folder:
        yield from _below(path)
    elif exists:
        yield path
    elif glob.has_magic(argument):
        for match in sorted(glob.iglob(argument, recursive=True)):
            if not os.path.isdir(match):
                yield Path(match)
    else:
        siblings = os.listdir(path.parent) if path.parent.is_dir() else []
        step = nearest(path.name, siblings) if siblings else ""
        raise InputError(argument, "no such file or folder", step if step.startswith("did you mean") else "")


def _below(folder: Path) -> Iterator[Path]:
    """Files below a folder in sorted order; links to folders are not followed, so that loops cannot happen."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            hidden = name.startswith(".") or name.lower() in SIDE_FILES
            if not hidden and not NOT_MEDIA.search(name):
                yield Path(place) / name
