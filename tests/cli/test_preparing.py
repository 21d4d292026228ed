"""prepare from the command line: what it prints, its exit codes, and a kill in the middle."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from verisight.cli.main import run

COMMAND = [sys.executable, "-c", "from verisight.cli.main import run; run()", "prepare"]
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore"}


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )


@pytest.fixture(scope="module")
def photos(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 photos, all in train."""
    root = tmp_path_factory.mktemp("photos")
    for n in range(48):
        path = root / ("fake" if n % 2 else "real") / "train" / f"{n:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(portrait[:288, 60 + n : 348 + n]).save(path, compress_level=1)
    return root


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = cli("folder", photos, "--out", out, "--size", 64, "--workers", 2)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["split", "label", "crops"],
        ["train", "real", "24"],
        ["train", "fake", "24"],
    ]
    assert lines[-1] == f"next: verisight train RECIPE data.path={out} data.layout=pack data.faces=whole"
    assert any(line.startswith("48 crops of 48 of 48 files in ") for line in lines)
    return out


def content(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and path.name != "prepare.json"
    }


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_stopped_in_the_middle_goes_on_and_ends_with_the_same_bytes(
    photos: Path, undisturbed: Path, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = ["folder", str(photos), "--out", str(out), "--size", "64", "--workers", "2"]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while not list(out.glob("parts/*/*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert not (out / "index.csv").exists()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert errors.decode() == "verisight: interrupted; run the same command again to go on\n"
    again = cli(*arguments)
    assert again.returncode == 0, again.stderr
    assert "of 48 units were done before)" in again.stdout
    assert content(out) == content(undisturbed)


def test_unreadable_files_are_counted_by_reason_and_make_exit_code_3(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "some"
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
        (root / label / "face.png").write_bytes((photos / "real/train/00.png").read_bytes())
    (root / "fake/broken.png").write_bytes(b"no picture at all")
    (root / "fake/gone.png").symlink_to(root / "nowhere.png")
    Image.fromarray(np.full((90, 90, 3), 90, np.uint8)).save(root / "real/blank.png")
    done = cli("folder", root, "data.splits=[1,0,0]", "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    for reason in ("no face found", "a symbolic link to nothing"):
        assert any(line.strip().split(maxsplit=1) == ["1", reason] for line in done.stdout.splitlines())
    assert "2 crops of 2 of 5 files" in done.stdout
    with open(tmp_path / "out/skipped.csv", newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {"fake/broken.png", "fake/gone.png", "real/blank.png"}


def test_a_full_disk_is_one_line_and_exit_code_130(photos: Path, tmp_path: Path) -> None:
    script = (
        "import errno; from pathlib import Path\n"
        "def full(path, data): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "Path.write_bytes = full\n"
        "from verisight.cli.main import run; run()"
    )
    command = [sys.executable, "-c", script, "prepare", "folder", str(photos), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 130
    assert done.stderr == (
        f"verisight: {tmp_path / 'out'}: cannot be written (No space left on device); 0 of 48 units are done; "
        "make room, then run the same command again: it goes on from there\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folder", "nowhere"], "nowhere: no such folder"),
        (["foldr", "nowhere"], "foldr: no layout of this name in the catalogue; did you mean 'folder'?"),
        (["folder", "nowhere", "frames=3"], "frames=3: only the data block can be given here; use data.KEY=VALUE"),
        (["folder", "nowhere", "data.fces=whole"], "prepare: unknown key 'fces'; did you mean 'faces'?"),
        (["folder", "nowhere", "--quality", "c22"], "c22: not an operation; did you mean 'c23'?"),
        (["folder", "nowhere", "--size", "2"], "prepare: 'size'"),
        (["folder", "nowhere", "--frames", "some"], "frames=some: no frame policy"),
        (["folder", "nowhere", "--workers", "0"], "workers=0: at least one is needed"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_refused_in_one_line(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["verisight", "prepare", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"verisight: {message}")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
