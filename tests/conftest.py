"""Fixtures that any test may use.

portrait        NASA's portrait of Eileen Collins (skimage), (512, 512, 3) uint8 RGB, read-only.
tiny_folder     real/ and fake/ with 12 synthetic 48 px PNGs each, in groups of two; fakes carry fine stripes.
tiny_checkpoint a deepfake/erm checkpoint of a random 0.4 M network (test_resnet) at 32 px, not exported yet.
shared_data     the folder of the data packs; the test is skipped where it is absent (mark such a test `realdata`).

Every test runs with VERISIGHT_CACHE in a temporary folder of the session: nobody's own cache is read or written.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

hypothesis.settings.register_profile("verisight", deadline=None, max_examples=60, database=None)
hypothesis.settings.load_profile("verisight")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one for all workers: a network is exported once a run, not once a worker
        base = base.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VERISIGHT_CACHE", str(base / "verisight-cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _hears_ctrl_c() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and children inherit it; tests of interrupts need ears."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    from skimage.data import astronaut

    picture = np.asarray(astronaut())
    picture.setflags(write=False)
    return picture


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for label in ("real", "fake"):
        for i in range(12):
            picture = rng.integers(60, 200, (48, 48, 3)).astype(np.uint8)
            if label == "fake":
                picture[::2] += 50
            path = root / label / f"person{i // 2}" / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return root


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from verisight.core.checkpoint import Card, save_checkpoint
    from verisight.core.preprocess import Preprocess
    from verisight.tasks.deepfake.erm import ERM

    block = {"id": "deepfake/erm", "backbone": "test_resnet", "init": "random", "dropout": 0.0}
    torch.manual_seed(0)
    method = ERM.from_block(block, "tiny")
    torch.nn.init.normal_(method.logit.weight, std=1.0)  # scores far from one another, so that a mix-up would show
    card = Card(
        name="tiny",
        method="deepfake/erm",
        task="deepfake",
        positive="fake",
        recipe={"method": block},
        preprocess=Preprocess(size=32),
        aggregate="mean-of-frame-max",
    )
    path = tmp_path_factory.mktemp("tiny-checkpoint") / "tiny.safetensors"
    save_checkpoint(path, {name: t.numpy() for name, t in method.state_dict().items()}, card)
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the data packs are not beside this checkout")
    return folder
