"""A recipe that trains in a second: 24 pictures of 48 px, a network without batch normalisation, with dropout.

recipe : the recipe, with changes to its blocks: recipe(rule={"id": "sam"}, method={"dropout": 0.0}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from verisight.core.recipe import Recipe
from verisight.engine import logs


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order, and children that may be forked."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds to import; its one test brings it back."""
    monkeypatch.setattr(logs, "find_spec", lambda _: None)


@pytest.fixture(scope="session")
def recipe(tiny_folder: Path) -> Callable[..., Recipe]:
    def build(**changes: Any) -> Recipe:
        tree: dict[str, Any] = {
            "name": "tiny",
            "method": {"id": "deepfake/erm", "backbone": "test_convnext", "init": "random", "dropout": 0.3},
            "data": {"path": str(tiny_folder), "faces": "whole"},
            "preprocess": {"size": 32},
            "augment": {"quality": ""},
            "loader": {"batch_size": 4, "workers": 0},
            "trainer": {
                "max_epochs": 3,
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "log_every_n_steps": 1,
            },
        }
        for name, change in changes.items():
            tree[name] = {**tree[name], **change} if isinstance(tree.get(name), dict) else change
        return Recipe.model_validate(tree)

    return build
