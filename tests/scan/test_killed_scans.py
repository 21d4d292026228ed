"""A scan of many files: killed at any moment it goes on where it was, and it does not grow."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verisight.scan.ledger import Ledger

FILES = 500
KILLS = 20
SEED = 17


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """The portrait's face at half size, about 55 px, moved and compressed another way in each of 500 files."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(SEED)
    for i in range(FILES):
        left, top = int(rng.integers(140, 170)), int(rng.integers(30, 55))
        face = Image.fromarray(portrait[top : top + 160, left : left + 160]).resize((80, 80))
        face.save(folder / f"{i:03d}.jpg", quality=60 + i % 40)
    return folder


def command(folder: Path, checkpoint: Path, ledger: Path) -> list[str]:
    cli = [sys.executable, "-c", "from verisight.cli.main import run; run()"]
    options = ["--detector", str(checkpoint), "--ledger", f"sqlite:///{ledger}", "--format", "jsonl"]
    return [*cli, "scan", str(folder), *options]


def complete(folder: Path, checkpoint: Path, ledger: Path) -> list[dict[str, Any]]:
    """The verdicts of a scan that runs to its end, without the time that each took."""
    done = subprocess.run(command(folder, checkpoint, ledger), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) | {"seconds": 0} for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(
    folder: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    verdicts = complete(folder, tiny_checkpoint, tmp_path_factory.mktemp("whole") / "ledger.sqlite")
    assert [Path(v["path"]).name for v in verdicts] == [f"{i:03d}.jpg" for i in range(FILES)]
    assert sum(v["status"] == "scored" for v in verdicts) > 0.9 * FILES
    assert len({v["probability"] for v in verdicts}) > FILES / 2  # so that a mix-up would show
    return verdicts


def kept(ledger: Path) -> int:
    with Ledger(f"sqlite:///{ledger}") as book:
        return sum(1 for _ in book.rows())


def test_a_scan_killed_twenty_times_ends_as_one_that_was_never_interrupted(
    folder: Path, tiny_checkpoint: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(SEED)
    ledger = tmp_path / "cut.sqlite"
    progress = []
    for i in range(KILLS):
        # Unread lines stop a scan after some 64 KB, so that none gets to its end however long its killer sleeps.
        running = subprocess.Popen(command(folder, tiny_checkpoint, ledger), stdout=subprocess.PIPE)
        assert running.stdout is not None
        if i % 5:  # while it judges, or repeats what the ledger has
            for _ in range(rng.integers(1, 15 * (i + 1))):
                running.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
        else:  # while it starts
            time.sleep(rng.uniform(0, 1))
        running.send_signal(signal.SIGKILL)
        running.stdout.close()
        assert running.wait() == -signal.SIGKILL
        progress.append(kept(ledger))
    assert progress == sorted(progress)  # nothing that was kept is lost
    assert 0 < progress[1] < progress[-1] < FILES  # it was killed at work
    assert complete(folder, tiny_checkpoint, ledger) == uninterrupted
    with contextlib.closing(sqlite3.connect(ledger)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_ctrl_c_ends_a_scan_with_130_and_the_next_goes_on(
    folder: Path, tiny_checkpoint: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    ledger = tmp_path / "cut.sqlite"
    running = subprocess.Popen(
        command(folder, tiny_checkpoint, ledger), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    lines = [running.stdout.readline() for _ in range(100)]
    running.send_signal(signal.SIGINT)
    rest, errors = running.communicate(timeout=300)
    assert running.returncode == 130, errors
    assert errors.splitlines()[-1] == "verisight: interrupted; run the same command again to go on"
    said = [json.loads(line) | {"seconds": 0} for line in [*lines, *rest.splitlines()]]  # no line is half
    assert said == uninterrupted[: len(said)]
    assert len(said) <= kept(ledger) < FILES
    assert complete(folder, tiny_checkpoint, ledger) == uninterrupted


GROWTH = """
import os, resource, sys
from pathlib import Path
import numpy as np
from verisight.core.checkpoint import Card
from verisight.core.detector import Detector
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face
from verisight.scan.ledger import Ledger
from verisight.scan.output import writer
from verisight.scan.pipeline import scan_files

folder, force = Path(sys.argv[1]), sys.argv[2] == "force"
card = Card(name="mean", method="user", task="deepfake", positive="fake", recipe={},
            preprocess=Preprocess(size=16, min_face_px=8), aggregate="mean-of-frame-max")
detector = Detector(card, lambda batch: batch.mean(axis=(1, 2, 3)), "f00d")

def finder(picture):
    return [Face((4.0, 4.0, 16.0, 16.0), 0.9)] if picture[0, 0, 0] % 2 else []

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)

paths = (folder / f"{i:05d}.png" for i in range(int(sys.argv[3])))
with Ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger, writer("jsonl", open(os.devnull, "w")) as out:
    for number, verdict in enumerate(scan_files(paths, detector=detector, ledger=ledger, force=force, finder=finder)):
        assert verdict.status != "failed", verdict
        out.write(verdict)
        if number == 2000:
            print(peak_mb())
    print(peak_mb())
"""
MANY = 10_000
GROWTH_MB = 16


@pytest.mark.skipif(sys.platform == "win32", reason="no peak memory in the standard library there")
@pytest.mark.parametrize("mode", ["force", "known"])  # each is judged; all but the first are in the ledger
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(SEED)
    for i in range(MANY):
        path = tmp_path / f"{i:05d}.png"
        if i < 10:
            Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)).save(path)
        else:
            path.hardlink_to(tmp_path / f"{i % 10:05d}.png")
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path), mode, str(MANY)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    early_mb, late_mb = map(float, done.stdout.split())
    assert late_mb - early_mb < GROWTH_MB
