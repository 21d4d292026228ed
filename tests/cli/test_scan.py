"""`verisight scan` as a person or a program uses it, with the shipped detector."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import verisight
from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.detector import checkpoint_path
from verisight.scan.demo import build_scene
from verisight.scan.ledger import Ledger

KEYS = [
    *("path", "status", "label", "probability", "interval", "threshold", "reason", "novelty", "people", "faces"),
    *("quality", "warnings", "provenance", "detector", "seconds"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    build_scene(folder)
    Image.fromarray(np.full((300, 300, 3), 128, np.uint8)).save(folder / "faceless.png")
    return folder


def cli(*arguments: object, stdin: str | None = None, **kwargs) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from verisight.cli.main import run; run()", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=240, **kwargs)


def test_jsonl_is_one_object_a_file_with_the_documented_keys_in_order(scene: Path) -> None:
    done = cli("scan", scene, "--format", "jsonl", "--ledger", "none")
    assert done.returncode == 3, done.stderr  # broken.jpg
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(o["path"]).name for o in objects] == sorted(p.name for p in scene.iterdir())
    assert all(list(o) == KEYS for o in objects)
    by_name = {Path(o["path"]).name: o for o in objects}
    assert by_name["broken.jpg"]["status"] == "failed"
    assert by_name["faceless.png"]["status"] == "abstained"
    for name in ("portrait.jpg", "forged.jpg", "portrait-crf23.mp4", "forged-crf40.mp4"):
        verdict = by_name[name]
        low, high = verdict["interval"]
        assert 0 <= low <= verdict["probability"] <= high <= 1
        if verdict["status"] == "scored":
            assert verdict["label"] == ("fake" if verdict["probability"] >= verdict["threshold"] else "real")
        else:  # in doubt
            assert (verdict["status"], verdict["label"]) == ("abstained", None)
            assert verdict["probability"] < verdict["threshold"]
        assert all(set(face) == {"box", "score", "time_s", "person"} for face in verdict["faces"])
        assert {face["person"] for face in verdict["faces"]} == {person["person"] for person in verdict["people"]}
    assert len(by_name["forged-crf40.mp4"]["faces"]) >= 16
    assert by_name["portrait.jpg"]["faces"][0]["box"] == pytest.approx([178.1, 65.0, 91.4, 111.4], abs=2)


def test_python_command_line_onnx_torch_and_a_copied_checkpoint_agree(scene: Path, tmp_path: Path) -> None:
    files = [scene / "portrait.jpg", scene / "forged-crf23.mp4"]
    copied = tmp_path / "copied.safetensors"
    copied.write_bytes(checkpoint_path(DEFAULT_DETECTOR).read_bytes())
    shown = cli("scan", *files, "--format", "json", "--ledger", "none")
    roads = {
        "python": verisight.scan_files(files),
        "torch": verisight.scan_files(files, detector=verisight.Detector.load(DEFAULT_DETECTOR, runtime="torch")),
        "reloaded": verisight.scan_files(files, detector=copied),
    }
    expected = [o["probability"] for o in json.loads(shown.stdout)]
    for name, verdicts in roads.items():
        assert [v.probability for v in verdicts] == pytest.approx(expected, abs=1e-4), name


def test_csv_has_a_row_a_file(scene: Path) -> None:
    done = cli("scan", scene / "forged.jpg", scene / "broken.jpg", "--format", "csv", "--ledger", "none")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["status"] for row in rows] == ["scored", "failed"]


def test_the_table_says_what_a_low_score_means_and_names_the_failed_file(scene: Path) -> None:
    done = cli("scan", scene, "--ledger", "none", env={**os.environ, "COLUMNS": "140"})
    assert "broken.jpg" in done.stdout
    assert "1 failed" in done.stdout


def test_report_is_written_and_self_contained(scene: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = cli("scan", scene / "forged-crf23.mp4", "--report", page, "--ledger", "none")
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "data:image/webp;base64," in text
    assert 'src="http' not in text


def test_a_list_on_stdin(scene: Path) -> None:
    done = cli("scan", "-", "--format", "jsonl", "--ledger", "none", stdin=f"{scene / 'portrait.jpg'}\n")
    assert json.loads(done.stdout)["probability"] is not None


def test_an_explanation_stands_below_each_row(scene: Path) -> None:
    files = [scene / name for name in ("portrait.jpg", "faceless.png", "broken.jpg")]
    lines = cli("scan", *files, "--explain", "--ledger", "none").stdout.splitlines()
    starts = [next(i for i, line in enumerate(lines) if line.endswith(f.name)) for f in files]
    below = [" ".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    for text in below:
        assert "What was decided?" in text
        assert "What to do next?" in text
    asked = ["Where does it show?" in text for text in below]
    assert asked == [True, False, False]  # where there is no face there is no heat
    explained = [line for line in lines if "What to do next?" in line]
    assert all(line.startswith(" " * 10) for line in explained)


def test_parquet_goes_to_a_file_and_holds_what_json_does(scene: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "verdicts.parquet"
    files = [scene / "faceless.png", scene / "broken.jpg"]
    done = cli("scan", *files, "--format", "parquet", "--out", out, "--ledger", "none")
    assert (done.returncode, done.stdout) == (3, "")
    rows = pq.read_table(out).to_pylist()
    assert [row["status"] for row in rows] == ["abstained", "failed"]
    assert [list(row) for row in rows] == [KEYS] * 2


def test_help_tells_what_each_option_is_for() -> None:
    shown = " ".join(cli("scan", "--help", env={**os.environ, "COLUMNS": "200"}).stdout.split())
    for told in (
        "parquet needs --out",
        "in plain words",
        "--out",
        "--explain",
        "does not prove that a file is authentic",
    ):
        assert told in shown


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["scan", "no-such-file.jpg"], "no-such-file.jpg"),
        (["scan", ".", "--detector", DEFAULT_DETECTOR[:-1]], f"did you mean '{DEFAULT_DETECTOR}'?"),
        (["scan", ".", "--ledger", "nonsense://x"], "nonsense"),
        (["scan", ".", "--explain", "--format", "jsonl"], "--explain"),
        (["scan", ".", "--format", "parquet"], "--out"),
        (["config", "no-such-recipe.yaml"], "no-such-recipe.yaml"),
        (["info", "deepfake/emr"], "did you mean 'deepfake/erm'?"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments: list[str], named: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.png")
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    said = [line for line in done.stderr.splitlines() if "preparing" not in line]  # the first call exports the network
    assert len(said) == 1, done.stderr
    assert done.stdout == ""


def test_a_pickled_checkpoint_is_never_loaded(scene: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.safetensors"
    trap.write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR.")
    done = cli("scan", scene / "portrait.jpg", "--detector", trap)
    assert done.returncode == 2
    assert "never loaded" in done.stderr
    assert not (tmp_path / "owned").exists()


def test_a_reader_that_goes_away_is_no_error(scene: Path) -> None:
    code = "from verisight.cli.main import run; run()"
    scan = f"{sys.executable} -c '{code}' scan {scene} --format jsonl --ledger none"
    pipe = f"{scan} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False, timeout=240)
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] in ("0", "3")  # 3 when all verdicts were out before the reader went


def test_a_scan_killed_half_way_goes_on_and_its_ledger_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    build_scene(folder)
    portrait = Image.open(folder / "portrait.jpg")
    for i in range(60):
        portrait.rotate(i / 10).save(folder / f"many{i:02d}.jpg", quality=80)

    def command(ledger: Path) -> list[str]:
        code = "from verisight.cli.main import run; run()"
        return [sys.executable, "-c", code, "scan", str(folder), "--format", "jsonl", "--ledger", f"sqlite:///{ledger}"]

    def rows(ledger: Path) -> list[tuple[str, ...]]:
        with Ledger(f"sqlite:///{ledger}") as book:
            return [
                (row.path, row.content, row.detector, row.verdict.model_copy(update={"seconds": 0}).model_dump_json())
                for row in book.rows()
            ]

    subprocess.run(command(tmp_path / "whole.sqlite"), capture_output=True, check=False)
    cut = tmp_path / "cut.sqlite"
    running = subprocess.Popen(command(cut), stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    for _ in range(12):  # twelve verdicts are out: kill it in the middle
        running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.wait()
    done_before = len(rows(cut))
    assert 0 < done_before < 67
    start = time.perf_counter()
    again = subprocess.run(command(cut), capture_output=True, text=True, check=False)
    assert again.returncode == 3, again.stderr
    assert time.perf_counter() - start < 60
    assert len(again.stdout.splitlines()) == 67
    assert rows(cut) == rows(tmp_path / "whole.sqlite")
