"""What an import costs: looking at the package, its help and its catalogue loads no heavy library."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from torch import library as operators

from verisight.core import torchvision_ops

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "cv2",
    "av",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "onnxruntime",
    "skimage",
)
HELP_LIMIT_S = 0.6


def loaded_after(code: str) -> set[str]:
    """Heavy libraries in `sys.modules` after running code in a fresh interpreter."""
    probe = f"""
import json, sys
try:
    {code}
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_probe_sees_a_heavy_import() -> None:
    assert "scipy" in loaded_after("import scipy")


def test_importing_the_package_is_cheap() -> None:
    assert loaded_after("import verisight; verisight.__version__") == set()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["scan", "--help"], ["train", "--help"], ["list"], ["info", "deepfake/erm"], ["doctor"]],
    ids=" ".join,
)
def test_looking_around_on_the_command_line_is_cheap(arguments: list[str]) -> None:
    code = f"from verisight.cli.main import run; sys.argv = ['verisight', *{arguments!r}]; run()"
    assert loaded_after(code) == set()


def test_help_is_there_at_once() -> None:
    """The best of several, because the machine may be busy with something else."""
    command = [sys.executable, "-c", "from verisight.cli.main import run; run()", "--help"]
    taken = []
    for _ in range(12):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        taken.append(time.perf_counter() - start)
        if taken[-1] < HELP_LIMIT_S:
            return
    pytest.fail(f"--help took {min(taken):.2f} s at best, the limit is {HELP_LIMIT_S} s")


@pytest.mark.parametrize("library", ["torchvision", "timm", "lightning"])
def test_libraries_over_torchvision_import_after_the_operators_are_ensured(library: str) -> None:
    code = f"from verisight.core import torchvision_ops; torchvision_ops.ensure(); import {library}"
    assert library in loaded_after(code)


def test_ensuring_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_ops.ensure()
    before = str(torch.ops.torchvision.nms.default._schema)
    monkeypatch.setattr(operators, "define", no_definition)
    torchvision_ops.ensure.__wrapped__()  # past the cache, as a second process-wide caller without it would be
    assert str(torch.ops.torchvision.nms.default._schema) == before


def test_a_compiled_part_that_loads_is_left_to_bring_its_own_operators(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = []
    (tmp_path / "_C.so").touch()
    spec = ModuleSpec("torchvision", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    monkeypatch.setattr(operators, "define", no_definition)
    torchvision_ops.ensure.__wrapped__()
    assert loaded == [str(tmp_path / "_C.so")]


def test_without_torchvision_there_is_nothing_to_ensure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(operators, "define", no_definition)
    torchvision_ops.ensure.__wrapped__()


def no_definition(*arguments: object) -> None:
    raise AssertionError(f"an operator was declared: {arguments}")
