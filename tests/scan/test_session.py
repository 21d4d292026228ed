"""One run of a scan: what it returns, what it says at the end, what a second run does."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from verisight.core.errors import VerisightError
from verisight.scan.session import scan_session, summary


@pytest.fixture
def folder(tmp_path: Path, portrait: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(portrait).save(folder / "a.jpg")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "b.png")
    (folder / "c.jpg").write_bytes((folder / "a.jpg").read_bytes()[:999])
    return folder


def run(folder: Path, checkpoint: Path, **options: object) -> tuple[int, list[dict[str, object]]]:
    """The number of failed files, and the verdicts without the time that each took."""
    stream = io.StringIO()
    failed = scan_session(sorted(folder.iterdir()), detector=str(checkpoint), format="jsonl", stream=stream, **options)
    return failed, [json.loads(line) | {"seconds": 0} for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("files", "known", "seconds", "said"),
    [
        (500, 120, 12.5, "500 files in 12.5 s (40 files/s), 120 of them from the ledger"),
        (1, 0, 0.25, "1 file in 0.2 s (4 files/s)"),
        (3, 0, 40.0, "3 files in 40.0 s (0.075 files/s)"),
        (0, 0, 1.0, "0 files in 1.0 s (0 files/s)"),
    ],
)
def test_the_summary_counts_and_gives_a_rate(files: int, known: int, seconds: float, said: str) -> None:
    assert summary(files, known, seconds) == said


def test_it_returns_how_many_failed_and_gives_every_file_a_verdict(folder: Path, tiny_checkpoint: Path) -> None:
    failed, verdicts = run(folder, tiny_checkpoint, ledger="none")
    assert failed == 1
    assert [verdict["status"] for verdict in verdicts] == ["scored", "abstained", "failed"]


def test_a_second_run_says_the_same_from_the_ledger_unless_it_is_told_not_to(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.sqlite"
    first = run(folder, tiny_checkpoint, ledger=ledger)
    assert "from the ledger" not in capsys.readouterr().err
    assert run(folder, tiny_checkpoint, ledger=ledger) == first
    assert "3 of them from the ledger" in capsys.readouterr().err
    assert run(folder, tiny_checkpoint, ledger=ledger, force=True) == first
    assert "from the ledger" not in capsys.readouterr().err


def test_a_fault_of_ours_is_tried_again(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.sqlite"
    with monkeypatch.context() as broken:
        broken.setattr("verisight.scan.pipeline.measure_quality", lambda *_, **__: 1 // 0)
        failed, _ = run(folder, tiny_checkpoint, ledger=ledger)
    assert failed == 3
    assert run(folder, tiny_checkpoint, ledger=ledger)[0] == 1


def test_the_stream_stays_empty_where_a_file_is_asked_for(folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    _, printed = run(folder, tiny_checkpoint, ledger="none")
    _, silent = run(folder, tiny_checkpoint, ledger="none", out=tmp_path / "out.jsonl")
    written = [json.loads(line) | {"seconds": 0} for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (silent, written) == ([], printed)


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet"])
def test_words_for_people_have_no_place_in_formats_for_programs(format: str) -> None:
    with pytest.raises(VerisightError, match=rf"--explain: is text for people.*--format {format}"):
        scan_session([], detector="no such detector", format=format, explain=True)
