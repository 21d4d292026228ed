"""compare from the command line: a table, files where asked, one line where it cannot, and no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results/deepfake/erm-fakes/seed0"


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from verisight.cli.main import run; run()"
    )
    command = [sys.executable, "-c", code, "compare", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_shipped_record_becomes_a_table_and_a_plot_without_torch(tmp_path: Path) -> None:
    done = cli(RECORD, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    assert done.stdout.startswith("# AUC per file\n")
    assert "| dfdc_faceswap vs matched reals | 0." in done.stdout
    assert "spectrum + colour LR" in done.stdout  # the figures of others from the recipe
    assert f"written: {tmp_path / 'out'}" in done.stdout
    assert (tmp_path / "out/compare.md").read_text() in done.stdout
    assert (tmp_path / "out/compare.svg").read_text().startswith("<?xml")


def test_what_cannot_be_compared_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for arguments, named in [
        ([RECORD, RECORD], "the same detector on the same data"),
        ([tmp_path], "no readable record"),
        ([RECORD, "--metric", "f1"], "no metric of this name"),
    ]:
        done = cli(*arguments)
        assert done.returncode == 2
        *errors, torch_loaded = done.stderr.splitlines()
        assert len(errors) == 1, done.stderr
        assert named in errors[0]
        assert torch_loaded == "False"
