"""The layers of ARCHITECTURE.md hold, and the check that says so catches what it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of `root`/pyproject.toml over `root`/src, in a process that sees that copy of the package."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200"}
    command = [sys.executable, "-c", code, "--no-cache"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Only the Python files: the weights would cost more time than the check."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for source in (ROOT / "src" / "verisight").rglob("*.py"):
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return tmp_path


def test_every_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("file", "upward"),
    [
        ("core/errors.py", "verisight.scan.verdict"),
        ("data/media.py", "verisight.engine.train"),
        ("evaluate/metrics.py", "verisight.tasks.deepfake.erm"),
        ("scan/verdict.py", "verisight.cli.main"),
    ],
)
def test_an_upward_import_is_caught(copy: Path, file: str, upward: str) -> None:
    with open(copy / "src" / "verisight" / file, "a") as source:
        source.write(f"\nimport {upward}\n")
    done = lint_imports(copy)
    assert done.returncode != 0, done.stdout
    assert "1 kept, 1 broken" in done.stdout, done.stdout
    assert upward in done.stdout


def test_a_task_that_imports_another_task_is_caught(copy: Path) -> None:
    other = copy / "src" / "verisight" / "tasks" / "other"
    other.mkdir()
    (other / "__init__.py").write_text("import verisight.tasks.deepfake.erm\n")
    done = lint_imports(copy)
    assert done.returncode != 0, done.stdout
    assert "verisight.tasks.other" in done.stdout


def test_core_is_below_everything_that_the_package_holds() -> None:
    """A new subpackage has to be given its layer; the contract would pass over one that it does not name."""
    text = (ROOT / "pyproject.toml").read_text()
    folders = [p.name for p in (ROOT / "src" / "verisight").iterdir() if (p / "__init__.py").is_file()]
    assert folders
    for name in folders:
        assert f"verisight.{name}" in text, name
