"""train and eval from the command line, end to end on synthetic pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def cli(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from verisight.cli.main import run; run()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


def test_a_folder_becomes_a_detector_that_scans_and_is_reported(place: Path, tiny_folder: Path) -> None:
    recipe = ROOT / "recipes/deepfake/erm-folder.yaml"
    small = ["method.backbone=test_resnet", "method.init=random", "preprocess.size=32", "data.faces=whole"]
    quick = ["trainer.max_epochs=1", "loader.workers=0", "trainer.enable_progress_bar=false"]
    trained = cli("train", recipe, f"data.path={tiny_folder}", *small, *quick, cwd=place)
    assert trained.returncode == 0, trained.stderr
    checkpoint = place / "runs/my-detector/my-detector.safetensors"
    assert checkpoint.is_file()
    assert f"verisight scan PATH --detector {checkpoint.relative_to(place)}" in trained.stdout

    reported = cli("eval", checkpoint, f"data.path={tiny_folder}", cwd=place)
    assert reported.returncode == 0, reported.stderr
    assert "| all |" in reported.stdout
    record = json.loads((place / "runs/my-detector/record/record.json").read_text())
    assert record["metrics"]["all"]["auc"]["value"] >= 0
    assert str(tiny_folder) not in json.dumps(record)  # a record says nothing of this machine's folders

    picture = next(tiny_folder.rglob("*.png"))
    scanned = cli("scan", picture, "--detector", checkpoint, "--format", "jsonl", "--runtime", "torch", cwd=place)
    assert json.loads(scanned.stdout)["detector"].startswith("my-detector@")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", ROOT / "recipes/deepfake/erm-folder.yaml"], "data.path"),
        (["train", ROOT / "recipes/deepfake/erm-folder.yaml", "data.path=nowhere"], "nowhere"),
        (["train", ROOT / "recipes/deepfake/erm-folder.yaml", "data.pth=x"], "did you mean 'path'?"),
        (["eval", "deepfake"], "data.path"),
        (["eval", "deepfake", "seed=1"], "data.KEY=VALUE"),
        (["eval", "deepfake", "data.path=x", "--unit", "vidoe"], "did you mean 'video'?"),
    ],
    ids=str,
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments: list[object], named: str, place: Path) -> None:
    done = cli(*arguments, cwd=place)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
