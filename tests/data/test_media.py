"""What is opened at all: by content, within limits, regular files only, and nothing that a file names."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hostile import hostile_files
from PIL import Image
from reading import put, read, reason
from samples import clip, encode, gradient, playlists, png

from verisight.data.decode import clips
from verisight.data.media import Limits, open_media

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filter that the package sets


def test_a_name_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    image = encode(Image.new("RGB", (8, 6)), "PNG")
    assert open_media(put(tmp_path, image, "a.mp4")).kind == "image"
    assert open_media(put(tmp_path, clip("mp4", "libx264", frames=2), "a.png")).kind == "video"


# ---- limits


def test_limits_are_kept_by_name(tmp_path: Path) -> None:
    image = put(tmp_path, encode(Image.new("RGB", (40, 30)), "PNG"), "image")
    movie = put(tmp_path, clip("mp4", "libx264"), "movie")
    for path in (image, movie):
        assert "over the limit of 20 a side" in reason(path, limits=Limits(max_side=20))
        assert "pixels, over the limit of 1000" in reason(path, limits=Limits(max_pixels=1000))
        assert "bytes, over the limit of 10" in reason(path, limits=Limits(max_bytes=10))
    assert "1 s long, over the limit of 0 s" in reason(movie, limits=Limits(max_seconds=0.4))
    assert "over the limit of 5" in reason(movie, limits=Limits(max_frames=5), frames=2)
    assert len(read(movie, limits=Limits(max_frames=24))[1]) == 16


def growth_kb(program: str, path: Path) -> int:
    """By how much a fresh process grows while it runs this on a path; nothing may reach its terminal."""
    frame = f"""
import re, sys
from pathlib import Path
from verisight.core.errors import InputError
from verisight.data.media import Limits, open_media
def peak_kb():
    # not ru_maxrss: a fresh process inherits the peak of the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
path, before = Path(sys.argv[1]), peak_kb()
{program}
print(peak_kb() - before)
"""
    done = subprocess.run([sys.executable, "-c", frame, str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


def test_a_bomb_is_refused_without_being_decoded(tmp_path: Path) -> None:
    side = 9000  # 243 MB as RGB, 81 million pixels: below the warning of Pillow
    path = put(tmp_path, png(side, side, zlib.compress(bytes((side * 3 + 1) * side), 1)))
    refused = (
        "try: list(open_media(path, limits=Limits(max_pixels=80_000_000)))\nexcept InputError: pass\nelse: sys.exit(5)"
    )
    assert growth_kb(refused, path) < 20_000
    assert growth_kb("list(open_media(path))", path) > 200_000  # the measure measures


def test_hostile_files_leave_nothing_on_the_terminal_and_little_in_memory(tmp_path: Path) -> None:
    assert len(hostile_files(tmp_path)) > 240
    every = """
for one in sorted(path.rglob("*")):
    try:
        for frame in open_media(one, frames=4): pass
    except InputError: pass
"""
    assert growth_kb(every, tmp_path) < 150_000


# ---- nothing that a file names is opened


@pytest.fixture
def listener() -> tuple[str, list[object]]:
    """A URL on this machine, and the list of those who called."""
    server = socket.create_server(("127.0.0.1", 0))
    callers: list[object] = []

    def serve() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            callers.append(address)
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4", callers
    server.close()


def test_nothing_that_a_playlist_names_is_opened(tmp_path: Path, listener: tuple[str, list[object]]) -> None:
    url, callers = listener
    target = put(tmp_path, clip("mp4", "libx264", frames=2), "target.mp4")
    os.utime(target, (1, 1))
    for kind, content in playlists(str(target), url).items():
        for extension in (kind, "mp4", "png"):
            why = reason(put(tmp_path, content, f"{kind}.{extension}"))
            assert "never opened" in why or (kind, why) == ("ram", "not a picture or video that Verisight reads")
    time.sleep(0.05)
    assert callers == []
    assert target.stat().st_atime == 1


def external_track(target: Path) -> bytes:
    """A QuickTime clip whose pictures are said to lie in another file (a data reference of type `alis`)."""
    movie = clip("mov", "libx264")
    name = str(target).encode()
    alias = bytes(10) + b"\x04disk" + bytes(35) + bytes([len(target.name)]) + target.name.encode().ljust(63, b"\0")
    alias += bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)
    alias += struct.pack(">HH", 2, len(name)) + name + bytes(len(name) % 2) + struct.pack(">HH", 0xFFFF, 0)
    place = movie.index(b"dref") - 4
    old = struct.unpack(">I", movie[place : place + 4])[0]
    entries = movie[place + 4 : place + 16] + struct.pack(">I4sI", len(alias) + 12, b"alis", 0) + alias
    out = bytearray(movie)
    out[place : place + old] = struct.pack(">I", 4 + len(entries)) + entries
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = movie.index(box) - 4
        size = struct.unpack(">I", movie[at : at + 4])[0]
        out[at : at + 4] = struct.pack(">I", size + 4 + len(entries) - old)
    return bytes(out)


def test_a_track_in_another_file_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = put(tmp_path, clip("mov", "libx264"), "target.mov")
    path = put(tmp_path, external_track(target), "names-another.mov")
    assert "no frame of it" in reason(path)
    # The file does ask when FFmpeg lets it; then the last barrier holds.
    monkeypatch.setattr(clips, "_OPTIONS", {"enable_drefs": "1", "use_absolute_path": "1"})
    assert "it names another file, target.mov, which is not opened" in reason(path)


# ---- files that are no files


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    assert reason(tmp_path / "pipe") == "not a regular file (a pipe, socket or device)"
    assert time.monotonic() - start < 1


def test_special_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path) == "a folder, not a file"
    assert reason(Path("/dev/zero")) == "not a regular file (a pipe, socket or device)"
    assert reason(tmp_path / "link") == "a symbolic link to nothing"
    assert reason(tmp_path / "empty.jpg") == "an empty file"
    assert reason(tmp_path / "two\nlines") == "no such file"
    assert "null" in reason(Path("nul\0l"))
    assert "File name too long" in reason(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, b"x")
    path.chmod(0)
    assert reason(path) == "may not be read (permission denied)"


def test_handles_are_closed(tmp_path: Path) -> None:
    def handles() -> set[str]:
        return {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_is_open(fd)}

    def fd_is_open(fd: str) -> bool:
        return os.path.lexists(f"/proc/self/fd/{fd}")

    contents = {
        "image": encode(Image.new("RGB", (9, 9)), "PNG"),
        "broken-image": encode(Image.fromarray(gradient(32, 32, np.random.default_rng(0))), "PNG")[:900],
        "movie": clip("mp4", "libx264"),
        "broken-movie": clip("mp4", "libx264")[:500],
    }
    for name, content in contents.items():
        path = put(tmp_path, content, name)
        if name.startswith("broken"):
            reason(path)
        else:
            read(path)
            unfinished = iter(open_media(path))
            next(unfinished)
            unfinished.close()
        assert str(path) not in handles()
