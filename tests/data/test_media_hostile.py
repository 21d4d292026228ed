"""Every hostile file is either read or refused in one line; never a crash, a hang or a flood of memory."""

from __future__ import annotations

import functools
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hostile import Hostile, hostile_files

from verisight.core.errors import InputError, one_line
from verisight.data.media import open_media

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filter that the package sets
MAX_SECONDS = 5.0
MAX_GROWTH_KB = 150_000  # of the process, by any one file; the bombs ask for gigabytes


@functools.cache
def made() -> tuple[tempfile.TemporaryDirectory[str], dict[str, Hostile]]:
    folder = tempfile.TemporaryDirectory(prefix="hostile-")
    files = hostile_files(Path(folder.name))
    assert len({hostile.name for hostile in files}) == len(files)
    return folder, {hostile.name: hostile for hostile in files}


def names() -> list[str]:
    return list(made()[1])


@pytest.mark.parametrize("name", names())
def test_hostile_file(name: str) -> None:
    hostile = made()[1][name]
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    error = None
    frames = []
    try:
        frames = [(f.rgb.shape, f.rgb.dtype, f.time_s) for f in open_media(hostile.path, frames=8)]
    except InputError as raised:
        error = raised
    assert time.monotonic() - start < MAX_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MAX_GROWTH_KB
    assert hostile.expect in ("either", "reads" if error is None else "fails"), error
    if error is not None:
        assert str(error).isprintable()
        assert one_line(hostile.path.name) in str(error)
        assert error.reason
    else:
        assert 1 <= len(frames) <= 8
        assert all(shape[2] == 3 and min(shape) >= 1 and dtype == np.uint8 for shape, dtype, _ in frames)
        times = [time_s for _, _, time_s in frames if time_s is not None]
        assert times == sorted(set(times))


def test_there_are_many_of_every_kind() -> None:
    expected = Counter(hostile.expect for hostile in made()[1].values())
    assert expected.total() > 240
    assert min(expected.values()) > 60


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    again = hostile_files(tmp_path)
    assert [(h.name, h.expect) for h in again] == [(h.name, h.expect) for h in made()[1].values()]
    for one, other in zip(again, made()[1].values(), strict=True):
        if one.path.is_file() and not one.path.is_symlink():
            assert one.path.read_bytes() == other.path.read_bytes()
