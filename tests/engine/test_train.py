"""A recipe becomes a checkpoint that scores, is calibrated on the select split, and says where it comes from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from verisight.core.checkpoint import load_card, load_tensors
from verisight.core.detector import Detector
from verisight.core.errors import DataError, RecipeError
from verisight.data.layouts import read_layout
from verisight.engine import train as training
from verisight.engine.loop import Run
from verisight.engine.method import Method
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


@pytest.fixture(scope="module")
def striped_recipe(recipe: Any, striped: Path) -> Any:
    return recipe(
        method={"backbone": "test_resnet", "dropout": 0.0},
        data={"path": str(striped)},
        augment={"crop": 0},
        optimiser={"lr": 3e-3},
        loader={"batch_size": 8},
        trainer={"max_epochs": 4},
    )


@pytest.fixture(scope="module")
def checkpoint(striped_recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(striped_recipe, tmp_path_factory.mktemp("run"))


def test_it_learns_the_synthetic_problem_and_reports_it_with_intervals(checkpoint: Path, striped: Path) -> None:
    detector = Detector.load(checkpoint, runtime="torch")
    record, _ = evaluate(detector, data_spec(detector.card, [f"data.path={striped}"]))
    auc = record.metrics["all"]["auc"]
    assert auc.value > 0.9
    assert auc.low <= auc.value <= auc.high


def test_the_card_says_where_everything_was_set(checkpoint: Path, striped: Path, striped_recipe: Any) -> None:
    card = load_card(checkpoint)
    manifest = read_layout(striped_recipe.data)
    select = manifest.split("val").fingerprint()
    assert select in card.threshold.fitted_on
    assert select in card.calibration.fitted_on
    assert manifest.split("train").fingerprint() in card.data["train"]
    assert card.recipe["data"]["path"] == striped.name  # the folder's place on this machine stays here


def test_the_checkpoint_knows_what_is_usual_and_every_runtime_says_the_same(checkpoint: Path, striped: Path) -> None:
    card = load_card(checkpoint)
    assert len(card.novelty) == 41
    assert list(card.novelty) == sorted(card.novelty)
    crops = np.random.default_rng(0).normal(size=(6, 3, card.preprocess.size, card.preprocess.size))
    torch_says, onnx_says = (Detector.load(checkpoint, runtime=runtime).measure(crops) for runtime in ("torch", "onnx"))
    assert torch_says.novelty is not None
    np.testing.assert_allclose(torch_says.novelty, onnx_says.novelty, atol=2e-3)
    assert torch_says.novelty.min() > 0.9  # noise is no striped picture


def test_every_step_is_logged_and_every_epoch_validated(checkpoint: Path) -> None:
    lines = [json.loads(line) for line in (checkpoint.parent / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss/cross_entropy" in line]
    validated = [(line["epoch"], line["step"]) for line in lines if "select/auc" in line]
    assert steps == list(range(28))
    assert validated == [(0, 6), (1, 13), (2, 20), (3, 27)]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)


def test_equal_seeds_give_equal_weights_and_others_do_not(recipe: Any, tmp_path: Path) -> None:
    first, again, other = (
        load_tensors(train(recipe(seed=seed, trainer={"max_epochs": 1}), tmp_path / name))
        for seed, name in [(0, "first"), (0, "again"), (1, "other")]
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_every_epoch_draws_anew(recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[int, list[torch.Tensor]] = {}
    step = Method.training_step

    def training_step(self: Method, batch: Any, number: int) -> None:
        seen.setdefault(self.current_epoch, []).append(batch.inputs)
        step(self, batch, number)

    monkeypatch.setattr(Method, "training_step", training_step)
    train(recipe(), tmp_path)
    first, second, third = (torch.cat(seen[epoch]) for epoch in range(3))
    assert not first.equal(second)
    assert not second.equal(third)


def test_training_does_not_open_the_test_split(recipe: Any, tiny_folder: Path, tmp_path: Path) -> None:
    """With every test file deleted after indexing, training ends in the same weights."""
    copy = tmp_path / "copy"
    for split in ("train", "val", "test"):
        rows = read_layout(recipe().data).split(split)
        for path, relative in zip(rows.paths(), rows.column("path"), strict=True):
            target = copy / split / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for path in (copy / "test").rglob("*.png"):
        path.write_bytes(b"")
    train(recipe(data={"path": str(copy)}, trainer={"max_epochs": 1}), tmp_path / "out")


# --- refusals: one line, before any step ---

INSTEAD = "is not Lightning's to decide here"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"method": {"id": "deepfake/emr"}}, "did you mean 'deepfake/erm'?"),
        ({"method": {"backbon": "resnet18"}}, "did you mean 'backbone'?"),
        ({"method": {"backbone": "resnet81"}}, "timm has no network of this name"),
        ({"rule": {"id": "plane"}}, "did you mean 'plain'?"),
        ({"rule": {"id": "sam", "rho": -1}}, "rule.rho: must be at least 0, got -1; the paper uses 0.05"),
        ({"rule": {"id": "plain", "rho": 0.1}}, "rule plain: "),
        ({"trainer": {"max_epoch": 3}}, "trainer: "),
        (
            {"trainer": {"max_epochs": -1}},
            "trainer: the learning rate falls until the end, and there is none; set max_",
        ),
        (
            {"trainer": {"precision": "16-mixed"}},
            "trainer.precision: update rules cannot work with 16-mixed; use bf16-",
        ),
        ({"trainer": {"precision": 16}}, "trainer.precision: update rules cannot work with 16; use bf16-mixed"),
        ({"trainer": {"precision": "64-true"}}, "trainer.precision: update rules cannot work with 64-true; use bf16-"),
        ({"trainer": {"accumulate_grad_batches": 2}}, f"{INSTEAD}; set loader.batch_size and loader.micro_batch"),
        ({"trainer": {"gradient_clip_val": 1.0}}, f"{INSTEAD}; leave it out: update rules own the gradient"),
        ({"trainer": {"use_distributed_sampler": True}}, f"trainer.use_distributed_sampler: {INSTEAD}; leave it out"),
        ({"trainer": {"callbacks": ["Timer"]}}, f"trainer.callbacks: {INSTEAD}; leave it out"),
    ],
)
def test_a_wrong_recipe_is_refused_in_a_line(recipe: Any, tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(RecipeError) as refused:
        train(recipe(**changes), tmp_path)
    assert line in str(refused.value)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_strategy_that_splits_parameters_is_refused_in_a_line(recipe: Any, tmp_path: Path) -> None:
    from lightning.pytorch.strategies import ModelParallelStrategy

    chosen = recipe().model_copy(
        update={"trainer": {"strategy": ModelParallelStrategy(), "devices": 1, "accelerator": "cpu"}}
    )
    with pytest.raises(RecipeError, match=r"^trainer\.strategy: update rules need whole parameters .*; use ddp$"):
        Run._trainer(_bare_run(chosen))


def _bare_run(chosen: Any) -> Run:
    run = object.__new__(Run)
    run.recipe, run.loggers, run.state = chosen, [], Path("state")
    return run


def test_a_method_without_an_id_is_refused(recipe: Any, tmp_path: Path) -> None:
    nameless = recipe().model_copy(update={"method": {"backbone": "test_resnet"}})
    with pytest.raises(RecipeError, match=r"'method\.id' must be given"):
        train(nameless, tmp_path)


def test_a_select_split_whose_reals_gave_no_crop_is_refused_before_training(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cut = training.crops_of

    def without_reals(manifest: Any, chosen: Any, preprocess: Any) -> Any:
        crops = cut(manifest, chosen, preprocess)
        fakes = np.flatnonzero(manifest.column("label")[crops.row] == 1)
        return type(crops)(
            crops.images[fakes], crops.row[fakes], crops.time_s[fakes], crops.landmarks[fakes], crops.skipped
        )

    monkeypatch.setattr(training, "crops_of", without_reals)
    with pytest.raises(DataError, match=r"its split val holds no crops of reals \(label 0\)"):
        train(recipe(), tmp_path)


# --- precision ---


@pytest.mark.parametrize("changes", [{}, {"rule": {"id": "sam"}, "loader": {"micro_batch": 3}}], ids=["plain", "sam"])
def test_in_bfloat16_parameters_stay_float32_and_the_checkpoint_as_ever(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any]
) -> None:
    kinds: set[torch.dtype] = set()
    losses = Method._losses

    def spied(self: Method, batch: Any) -> Iterator[Any]:
        kinds.update(p.dtype for p in self.parameters())
        kinds.add(torch.nn.functional.linear(torch.ones(1, 1), torch.ones(1, 1)).dtype)
        return losses(self, batch)

    monkeypatch.setattr(Method, "_losses", spied)
    path = train(recipe(trainer={"precision": "bf16-mixed"}, **changes), tmp_path / "half")
    assert kinds == {torch.float32, torch.bfloat16}
    stored = load_tensors(path)
    assert {t.dtype for t in stored.values() if t.ndim > 1} == {np.dtype(np.float16)}
    assert {t.dtype for t in stored.values() if t.ndim <= 1} == {np.dtype(np.float32)}
    assert all(np.isfinite(t).all() for t in stored.values())
    full = load_tensors(train(recipe(**changes), tmp_path / "full"))
    apart = np.concatenate([(stored[name] - full[name]).ravel() for name in full]).astype(np.float64)
    moved = np.concatenate([(full[name] - fresh).ravel() for name, fresh in _fresh(recipe(**changes)).items()])
    assert 0 < np.linalg.norm(apart) < 0.5 * np.linalg.norm(moved)


def _fresh(chosen: Any) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in build(chosen).state_dict().items()}


# --- micro-batches, early stopping ---


@pytest.mark.parametrize("rule", ["plain", "sam"])
def test_pieces_of_three_rows_train_as_one_batch_of_eight_does(recipe: Any, tmp_path: Path, rule: str) -> None:
    found = []
    for micro_batch in (None, 3):
        chosen = recipe(
            method={"dropout": 0.0},
            loader={"batch_size": 8, "micro_batch": micro_batch},
            rule={"id": rule},
            optimiser={"name": "sgd", "lr": 0.05},
        )
        path = train(chosen, tmp_path / str(micro_batch))
        lines = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
        found.append([line["loss/cross_entropy"] for line in lines if "loss/cross_entropy" in line])
    assert len(found[0]) == 6
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


def test_training_stops_when_the_figure_stays_and_keeps_the_first_best_weights(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    after: dict[int, np.ndarray] = {}
    figures = [0.6, 0.8, 0.8, float("nan"), 0.7, 0.9]

    def constant(self: Method) -> None:
        self._validation.clear()
        after[self.current_epoch] = self.logit.weight.detach().half().numpy().copy()
        self.log("select/auc", figures[self.current_epoch])

    monkeypatch.setattr(Method, "on_validation_epoch_end", constant)
    path = train(recipe(early_stopping={"patience": 3}, trainer={"max_epochs": 6}), tmp_path)
    assert list(after) == [0, 1, 2, 3, 4]
    assert np.array_equal(load_tensors(path)["logit.weight"], after[1])
    assert '"select/auc": null' in (tmp_path / "log.jsonl").read_text()


def test_without_early_stopping_the_last_weights_stay(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    after: list[np.ndarray] = []
    step = Method.training_step

    def training_step(self: Method, batch: Any, number: int) -> None:
        step(self, batch, number)
        after.append(self.logit.weight.detach().half().numpy().copy())

    monkeypatch.setattr(Method, "training_step", training_step)
    assert np.array_equal(load_tensors(train(recipe(), tmp_path))["logit.weight"], after[-1])


def test_where_the_figure_never_is_a_number_it_stops_with_the_last_weights(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Validation sees one class; the checkpoint is calibrated on all of the split."""
    monkeypatch.setattr("verisight.engine.loop.select_loader", _one_class)
    path = train(recipe(early_stopping={"patience": 1}, trainer={"num_sanity_val_steps": 1}), tmp_path)
    lines = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
    assert [line["select/auc"] for line in lines if "select/auc" in line] == [None]
    assert load_card(path).threshold.rule != "default"


def _one_class(data: Any) -> Any:
    from verisight.data.loaders import Draw

    fakes = [data[Draw(0, i, i)] for i in np.flatnonzero(data.label)]
    return torch.utils.data.DataLoader(fakes, batch_size=None, collate_fn=lambda batch: batch)


# --- building ---


def test_rule_arguments_are_checked() -> None:
    with pytest.raises(RecipeError, match="rule plain"):
        update_rule({"id": "plain", "rho": 0.1})


def test_build_is_deterministic(recipe: Any) -> None:
    first, second = build(recipe()), build(recipe())
    assert all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
