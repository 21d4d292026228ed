"""Shared fixtures: `portrait` (a public-domain picture), `tiny_folder` (synthetic real/ and fake/), `data_packs`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PACKS = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the test run's own, shared by its worker processes: nobody's ledger is touched."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "verisight-cache"
    os.environ["VERISIGHT_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """NASA's portrait of Eileen Collins, (512, 512, 3) uint8."""
    from verisight.scan.demo import portrait

    return portrait()


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """real/ and fake/ with 12 synthetic pictures each, 40 px, in groups of two."""
    rng = np.random.default_rng(0)
    for label in ("real", "fake"):
        for i in range(12):
            path = tmp_path / "tiny" / label / f"g{i // 2}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(path)
    return tmp_path / "tiny"


@pytest.fixture(scope="session")
def data_packs() -> Path:
    """The folder of the data packs; tests that ask for it are marked `realdata`."""
    if not (PACKS / "fakes.zip").is_file():
        pytest.skip("the data packs are not here (../shared/data)")
    return PACKS
