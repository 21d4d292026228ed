"""From a recipe to a checkpoint: read, cut, fit, calibrate on the select split, write."""

from __future__ import annotations

import logging
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from verisight.core import catalogue, torchvision_ops
from verisight.core.checkpoint import Card, load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.errors import DataError, RecipeError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import Recipe
from verisight.data.crops import CropSet, face_crops
from verisight.data.layouts import read_layout
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.engine.loop import Run
from verisight.engine.method import ASIDE, Method, method_class
from verisight.evaluate.protocol import Protocol, Select
from verisight.evaluate.score import crops_at, scores_at
from verisight.nn.novelty import Novelty
from verisight.optim.rule import UpdateRule

torchvision_ops.ensure()

import lightning  # noqa: E402  (imports torchvision through torchmetrics)
from lightning.pytorch.utilities import rank_zero_only  # noqa: E402

MOST_SEEN = 4096  # crops that say what is usual
warn = rank_zero_only(logging.getLogger(__name__).warning)  # once, however many processes train


def train(recipe: Recipe, out: Path) -> Path:
    """Train, calibrate and choose the threshold; returns the checkpoint `out/<recipe name>.safetensors`.

    The split `train` is fitted, `val` is what early stopping, calibration and threshold see, `test` is not opened. A
    run that was killed goes on from `out/state/` when it is started again with the same recipe and data, and ends
    where it would have ended.

    Raises
    ------
    RecipeError, DataError, MissingExtra : before any training step.
    """
    manifest = read_layout(recipe.data, recipe.seed)
    for note in manifest.notes:
        warn("%s", note)
    fit, select = manifest.split("train"), manifest.split("val")
    require_both_classes(select, select.column("label"))
    method = build(recipe)
    fit_crops = crops_of(fit, recipe, method.training_preprocess(recipe))
    select_crops = crops_of(select, recipe, recipe.preprocess)
    for skipped in fit_crops.skipped + select_crops.skipped:
        warn("left out %s", skipped)
    require_both_classes(select, select.column("label")[select_crops.row])
    run = Run(out, recipe, fingerprint=f"{fit.fingerprint()} {select.fingerprint()}")
    run.fit(
        method,
        method.training_data(fit_crops, fit, recipe),
        method.select_data(select_crops, select, recipe),
    )
    path = out / f"{recipe.name}.safetensors"
    if run.first:  # of all processes, one writes
        tensors = rounded(method)
        save_checkpoint(path, tensors, card_of(method, recipe, fit, select))
        seen = fit_crops if method.training_preprocess(recipe) == recipe.preprocess else select_crops
        aside, distances = usual(path, seen, select_crops)
        card = calibrated(path, recipe, select, select_crops)
        save_checkpoint(path, tensors | aside, card.model_copy(update={"novelty": distances}))
        run.forget()
    return path


def crops_of(manifest: Manifest, recipe: Recipe, preprocess: Preprocess) -> CropSet:
    """The face crops of one split, with the recipe's landmarks."""
    data = recipe.data
    return face_crops(manifest, preprocess, whole=data.faces == "whole", landmarks=data.landmarks)


def require_both_classes(select: Manifest, label: NDArray[np.int64]) -> None:
    """Calibration and threshold need both, in the files and in the crops; better now than after the last epoch."""
    present = set(label.tolist())
    if present != {0, 1}:
        missing = "fakes (label 1)" if present == {0} else "reals (label 0)"
        of = "crops of " if len(label) < len(select) else ""
        raise DataError(select.root, f"its split val holds no {of}{missing}", "threshold and calibration need both")


def build(recipe: Recipe) -> Method:
    """The untrained method of a recipe, with its update rule; equal for equal seeds."""
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    if "id" not in recipe.method:
        raise RecipeError(recipe.name, "'method.id' must be given", "see: verisight list --kind method")
    method = method_class(recipe.method["id"]).from_block(recipe.method, recipe.name)
    method.optimise_with(update_rule(recipe.rule), recipe.optimiser, recipe.loader.micro_batch)
    return method


def update_rule(block: dict[str, Any]) -> UpdateRule:
    """The rule of a recipe's `rule:` block."""
    arguments = {key: value for key, value in block.items() if key != "id"}
    if isinstance(arguments.get("inner"), dict):  # of a rule that wraps another
        arguments["inner"] = update_rule(arguments["inner"])
    rule = catalogue.find(str(block.get("id", "plain")), "rule").load()
    try:
        built: UpdateRule = rule(**arguments)
    except TypeError as error:
        raise RecipeError(
            f"rule {block.get('id')}", str(error), "see: verisight info " + str(block.get("id"))
        ) from error
    return built


def rounded(module: torch.nn.Module) -> dict[str, Any]:
    """What a checkpoint holds of a module: matrices and filters in float16, the rest in float32; of a method, nothing
    that is for training only.

    Everything that scores is loaded from this file, so the rounding is the same everywhere.
    """
    aside: tuple[str, ...] = getattr(module, "training_only", ())
    state = {name: tensor.cpu() for name, tensor in module.state_dict().items() if not name.startswith(aside or " ")}
    return {
        name: np.ascontiguousarray(t.half().numpy() if t.ndim > 1 else t.float().numpy()) for name, t in state.items()
    }


def card_of(method: Method, recipe: Recipe, fit: Manifest, select: Manifest) -> Card:
    """The card before calibration. Paths of data and teacher are cut to their last part: they are nobody's business."""
    plain = recipe.model_dump(mode="json")
    plain["method"] = {"id": recipe.method["id"], **method.config.model_dump(mode="json")}
    if plain["method"].get("teacher"):
        plain["method"]["teacher"] = Path(plain["method"]["teacher"]).name
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
    qualities, whole = recipe.evaluate.qualities, recipe.data.faces == "whole"
    seen = crops_at(select, recipe.preprocess, qualities, whole=whole) if qualities else {"": crops}
    scores = scores_at(detector, select, seen, Select)
    protocol = Protocol(recipe.evaluate)
    calibration, threshold = protocol.choose(scores)
    clear = protocol.clear(scores, calibration, threshold)
    return detector.card.model_copy(update={"calibration": calibration, "threshold": threshold, "clear": clear})


def usual(path: Path, seen: CropSet, select: CropSet) -> tuple[dict[str, Any], tuple[float, ...]]:
    """What is usual to the stored network: tensors to lie beside its own, and quantiles of the select crops' distances.

    seen : crops whose features are taken as usual; at most MOST_SEEN of them, evenly chosen. Nothing of either for a
    method without features.
    """
    card = load_card(path)
    network: Any = method_class(card.method).scoring_network(card, load_tensors(path)).eval()

    def features(crops: CropSet) -> NDArray[np.float32] | None:
        chosen = np.unique(np.linspace(0, len(crops.row) - 1, MOST_SEEN, dtype=np.int64))
        found = []
        for start in range(0, len(chosen), 64):
            pictures = np.stack([crops.images[i] for i in chosen[start : start + 64]])
            with torch.inference_mode():
                _, part = network.method.scored(torch.from_numpy(normalise(pictures, card.preprocess)))
            if part is None:
                return None
            found.append(part.numpy())
        return np.concatenate(found)

    known = features(seen)
    other = known if select is seen else features(select)
    if known is None or other is None or len(known) < 2:
        return {}, ()
    novelty = Novelty.fit(known)
    novelty.basis.copy_(novelty.basis.half())  # as the file rounds matrices
    with torch.inference_mode():
        distances = novelty(torch.from_numpy(other)).numpy()
    quantiles = np.maximum.accumulate(np.quantile(distances, np.linspace(0, 1, 41)))
    tensors = {f"{ASIDE}{name}": tensor for name, tensor in rounded(novelty).items()}
    return tensors, tuple(float(f"{q:.6g}") for q in quantiles)
