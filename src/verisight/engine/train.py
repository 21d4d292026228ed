"""From a recipe to a checkpoint: read, cut, fit, calibrate on the select split, write."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from verisight.core import catalogue, torchvision_ops
from verisight.core.checkpoint import Card, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.errors import RecipeError
from verisight.core.recipe import Recipe
from verisight.data.crops import CropSet, face_crops
from verisight.data.layouts import read_layout
from verisight.data.loaders import select_loader, training_loader
from verisight.data.manifest import Manifest
from verisight.engine.method import Method, method_class
from verisight.evaluate.protocol import Protocol, Select
from verisight.evaluate.score import score_crops
from verisight.optim.rule import UpdateRule

torchvision_ops.ensure()

import lightning  # noqa: E402  (imports torchvision through torchmetrics)
import torch  # noqa: E402

log = logging.getLogger(__name__)


def train(recipe: Recipe, out: Path) -> Path:
    """Train, calibrate and choose the threshold; returns the checkpoint `out/<recipe name>.safetensors`.

    The split `train` is fitted, `val` is what calibration and threshold see, `test` is not opened.

    Raises
    ------
    RecipeError, DataError, MissingExtra : before any training step.
    """
    manifest = read_layout(recipe.data, recipe.seed)
    fit, select = manifest.split("train"), manifest.split("val")
    method = build(recipe)
    whole = recipe.data.faces == "whole"
    fit_crops = face_crops(fit, recipe.preprocess, whole=whole)
    select_crops = face_crops(select, recipe.preprocess, whole=whole)
    for skipped in fit_crops.skipped + select_crops.skipped:
        log.warning("left out %s", skipped)
    _fit(method, recipe, fit, fit_crops, select, select_crops, out)

    path = out / f"{recipe.name}.safetensors"
    save_checkpoint(path, stored_tensors(method), card_of(method, recipe, fit, select))
    save_checkpoint(path, stored_tensors(method), calibrated(path, recipe, select, select_crops))
    return path


def build(recipe: Recipe) -> Method:
    """The untrained method of a recipe, with its update rule; equal for equal seeds."""
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    if "id" not in recipe.method:
        raise RecipeError(recipe.name, "'method.id' must be given", "see: verisight list --kind method")
    method = method_class(recipe.method["id"]).from_block(recipe.method, recipe.name)
    method.optimise_with(update_rule(recipe.rule), recipe.optimiser)
    return method


def update_rule(block: dict[str, Any]) -> UpdateRule:
    """The rule of a recipe's `rule:` block."""
    arguments = {key: value for key, value in block.items() if key != "id"}
    rule = catalogue.find(str(block.get("id", "plain")), "rule").load()
    try:
        built: UpdateRule = rule(**arguments)
    except TypeError as error:
        raise RecipeError(
            f"rule {block.get('id')}", str(error), "see: verisight info " + str(block.get("id"))
        ) from error
    return built


def _fit(
    method: Method,
    recipe: Recipe,
    fit: Manifest,
    fit_crops: CropSet,
    select: Manifest,
    select_crops: CropSet,
    out: Path,
) -> None:
    """Lightning's loop; the recipe's `trainer:` block goes to it verbatim over these defaults."""
    from lightning.pytorch.loggers import CSVLogger

    defaults: dict[str, Any] = {
        "logger": CSVLogger(out, name="log", version=""),
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "deterministic": True,
        "log_every_n_steps": 10,
    }
    _quiet()
    try:
        trainer = lightning.Trainer(**{**defaults, **recipe.trainer})
    except (TypeError, ValueError, lightning.fabric.utilities.exceptions.MisconfigurationException) as error:
        raise RecipeError("trainer", str(error).splitlines()[0], "the block goes to lightning.Trainer") from error
    if trainer.world_size > 1:
        raise RecipeError("trainer.devices", "update rules run in one process so far", "set trainer.devices=1")
    method.to(memory_format=torch.channels_last)
    trainer.fit(method, training_loader(fit_crops, fit, recipe), select_loader(select_crops, select, recipe))
    if trainer.interrupted:
        raise KeyboardInterrupt


def stored_tensors(method: Method) -> dict[str, Any]:
    """What a checkpoint holds: matrices and filters in float16, the rest in float32.

    Everything that scores is loaded from this file, so the rounding is the same everywhere.
    """
    state = {name: tensor.cpu() for name, tensor in method.state_dict().items()}
    return {
        name: np.ascontiguousarray(t.half().numpy() if t.ndim > 1 else t.float().numpy()) for name, t in state.items()
    }


def card_of(method: Method, recipe: Recipe, fit: Manifest, select: Manifest) -> Card:
    """The card before calibration. The path of the data is cut to its last part: it is nobody's business."""
    plain = recipe.model_dump(mode="json")
    plain["data"]["path"] = Path(recipe.data.path).name
    return Card(
        name=recipe.name,
        method=recipe.method["id"],
        task=method.task,
        positive=method.positive,
        recipe=plain,
        preprocess=recipe.preprocess,
        aggregate=recipe.evaluate.aggregate,
        data={"train": describe(fit), "val": describe(select)},
        licence=recipe.licence,
        notes=recipe.notes,
        versions={name: version(name) for name in ("verisight", "torch", "timm", "lightning")}
        | {"python": platform.python_version()},
    )


def describe(manifest: Manifest) -> str:
    """Fingerprint and counts of a split, for the card."""
    label = manifest.column("label")
    return f"{manifest.fingerprint()}: {int((label == 0).sum())} real, {int((label == 1).sum())} fake"


def calibrated(path: Path, recipe: Recipe, select: Manifest, crops: CropSet) -> Card:
    """The card with calibration and threshold, fitted on the scores that the stored weights give."""
    detector = Detector.load(path, runtime="torch")
    scores = score_crops(detector, select, crops, Select)
    calibration, threshold = Protocol(recipe.evaluate).choose(scores)
    return detector.card.model_copy(update={"calibration": calibration, "threshold": threshold})


def _quiet() -> None:
    """Lightning's tips and warnings tell a user of recipes nothing that the recipe can change."""
    os.environ.setdefault("LIGHTNING_DISABLE_TIPS", "1")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
