"""A recipe becomes a checkpoint that scores, is calibrated on the select split, and says where it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from verisight.core.checkpoint import load_card, load_tensors
from verisight.core.detector import Detector
from verisight.core.errors import RecipeError
from verisight.core.recipe import Recipe
from verisight.data.layouts import read_layout
from verisight.engine.train import build, train, update_rule
from verisight.evaluate.run import data_spec, evaluate


@pytest.fixture(scope="module")
def striped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic: noise with fine stripes (fake) or without (real), 40 pictures a class, in groups of two."""
    root = tmp_path_factory.mktemp("striped")
    rng = np.random.default_rng(0)
    for label in ("real", "fake"):
        for i in range(40):
            picture = rng.integers(60, 200, (48, 48, 3))
            if label == "fake":
                picture[::2] += 50
            path = root / label / f"person{i // 2:02d}" / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(path)
    return root


def recipe(root: Path, **changes: object) -> Recipe:
    tree = {
        "name": "striped",
        "method": {"id": "deepfake/erm", "backbone": "resnet10t", "init": "random", "dropout": 0.0},
        "data": {"path": str(root), "faces": "whole"},
        "preprocess": {"size": 48},
        "augment": {"resize": 0, "blur": 0, "jpeg": 0, "crop": 0},
        "optimiser": {"lr": 2e-3},
        "loader": {"batch_size": 8, "workers": 0},
        "trainer": {"max_epochs": 4, "enable_progress_bar": False},
    }
    return Recipe.model_validate({**tree, **changes})


@pytest.fixture(scope="module")
def checkpoint(striped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe(striped), tmp_path_factory.mktemp("run"))


def test_it_learns_the_synthetic_problem_and_reports_it_with_intervals(checkpoint: Path, striped: Path) -> None:
    detector = Detector.load(checkpoint, runtime="torch")
    record, _ = evaluate(detector, data_spec(detector.card, [f"data.path={striped}"]))
    auc = record.metrics["all"]["auc"]
    assert auc.value > 0.9
    assert auc.low <= auc.value <= auc.high


def test_the_card_says_where_everything_was_set(checkpoint: Path, striped: Path) -> None:
    card = load_card(checkpoint)
    manifest = read_layout(recipe(striped).data)
    select = manifest.split("val").fingerprint()
    assert select in card.threshold.fitted_on
    assert select in card.calibration.fitted_on
    assert manifest.split("train").fingerprint() in card.data["train"]
    assert card.recipe["data"]["path"] == striped.name  # the folder's place on this machine stays here


def test_equal_seeds_give_equal_weights_and_others_do_not(checkpoint: Path, striped: Path, tmp_path: Path) -> None:
    first = load_tensors(checkpoint)
    again = load_tensors(train(recipe(striped), tmp_path / "again"))
    other = load_tensors(train(recipe(striped, seed=1), tmp_path / "other"))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_training_does_not_open_the_test_split(striped: Path, tmp_path: Path) -> None:
    """With every test file deleted after indexing, training ends in the same weights."""
    import shutil

    copy = tmp_path / "copy"
    for split in ("train", "val", "test"):
        rows = read_layout(recipe(striped).data).split(split)
        for path, relative in zip(rows.paths(), rows.column("path"), strict=True):
            target = copy / split / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for path in (copy / "test").rglob("*.png"):
        path.write_bytes(b"")
    train(recipe(copy, trainer={"max_epochs": 1, "enable_progress_bar": False}), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"method": {"id": "deepfake/emr"}}, "did you mean 'deepfake/erm'?"),
        ({"method": {"backbone": "resnet18"}}, "method.id"),
        ({"method": {"id": "deepfake/erm", "backbon": "resnet18"}}, "did you mean 'backbone'?"),
        ({"method": {"id": "deepfake/erm", "backbone": "resnet81", "init": "random"}}, "timm"),
        ({"rule": {"id": "plane"}}, "did you mean 'plain'?"),
        ({"trainer": {"max_epoch": 3}}, "trainer"),
        ({"trainer": {"devices": 2, "strategy": "ddp", "accelerator": "cpu"}}, "trainer.devices"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(striped: Path, tmp_path: Path, changes: dict, named: str) -> None:
    with pytest.raises(RecipeError, match=named.replace("?", r"\?")):
        train(recipe(striped, **changes), tmp_path)


def test_rule_arguments_are_checked() -> None:
    with pytest.raises(RecipeError, match="rule plain"):
        update_rule({"id": "plain", "rho": 0.1})


def test_build_is_deterministic(striped: Path) -> None:
    first, second = build(recipe(striped)), build(recipe(striped))
    assert all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
