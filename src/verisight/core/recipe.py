"""Recipes: validated YAML with `key=value` overrides. All that a run depends on stands in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from verisight.core.aggregate import aggregate
from verisight.core.errors import RecipeError, nearest, one_line
from verisight.core.preprocess import Preprocess
from verisight.core.value import Value

ValueT = TypeVar("ValueT", bound=BaseModel)


def _known_rule(rule: str) -> str:
    aggregate(rule)  # refused here, before training, not after it
    return rule


class DataSpec(Value):
    """Where the samples come from.

    layout : catalogue id of the layout that turns `path` into a manifest.
    options : settings of that layout (`verisight info LAYOUT` lists them), such as quality=c23.
    splits : shares of train, val and test, cut by group, for data that bring no split of their own.
    faces : `find` looks for faces in every picture; `whole` takes the pictures as face crops already.
    landmarks : points that methods see in a crop: `five` of the face finder, or `dlib68` (needs verisight[landmarks]).
    balance : what batches draw evenly: nothing; the two labels; or both labels and, within each, every group (so that
        forty frames of one video count as much as one photo) or every domain (camera, generator, source).
    matched : generator -> the sources of the reals it is compared with; others are compared with all reals.
    leave_out : generators that are dropped from every split, with the reals they are matched with: else a detector
        learns the look of their origin as that of reals.
    """

    path: Annotated[str, Field(coerce_numbers_to_str=True)]  # a folder may be called 2024
    layout: str = "folder"
    options: dict[str, Any] = {}
    splits: tuple[float, float, float] = (0.7, 0.15, 0.15)
    faces: Literal["find", "whole"] = "find"
    landmarks: Literal["five", "dlib68"] = "five"
    balance: Literal["none", "label", "group", "domain"] = "label"
    matched: dict[str, tuple[str, ...]] = {}
    leave_out: tuple[str, ...] = ()


class AugmentSpec(Value):
    """What training does to a crop, drawn anew for every sample and epoch; evaluation does none of it.

    crop, widen : the square is cut to a random share of its side from 1 - crop on, or widened up to 1 + widen with what
        lies outside mirrored in, and moved as far as it then can be: other finders and margins cut otherwise.
    flip : mirror with probability 1/2.
    colour : largest relative change of brightness, contrast and saturation.
    quality : what a file goes through on its way, written as `verisight.data.quality.draw` reads it.
    self_blend : share of the drawn fakes that are replaced by a real face blended with itself.
    upsample : share of the drawn fakes that are replaced by a real face with the traces of up-sampling.
    """

    crop: Annotated[float, Field(ge=0, lt=1)] = 0.2
    widen: Annotated[float, Field(ge=0, le=1)] = 0.0
    flip: bool = True
    colour: Annotated[float, Field(ge=0, le=1)] = 0.2
    quality: str = "resize:0.5..1?0.3 blur:0.3..1.5?0.2 jpeg:40..95?0.5"
    self_blend: Annotated[float, Field(ge=0, le=1)] = 0.0
    upsample: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _shares(self) -> AugmentSpec:
        if self.self_blend + self.upsample > 1:
            raise ValueError("self_blend and upsample are shares of the same fakes: at most 1 together")
        return self


class OptimiserSpec(Value):
    """An optimiser and the course of its learning rate: a linear rise, a stretch at the peak, a fall to zero.

    name : `adam` adds the decay to the gradient, `adamw` takes it off the weights.
    lr : peak learning rate.
    momentum : of sgd.
    weight_decay : on matrices and filters, not on biases and normalisation.
    warmup : share of all steps that the rise takes.
    hold : share of all steps after which the fall begins, if that is later than the end of the rise.
    fall : `cosine` or `linear`; or `one-cycle`, torch's schedule of that name: half-cosines from lr / 25 up, within the
        share `warmup`, and down to lr / 250,000, the momentum going the other way. It has no `hold`.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 3e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    hold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    fall: Literal["cosine", "linear", "one-cycle"] = "cosine"

    def factor(self, step: int, total: int) -> float:
        """Share of the peak at a step 0 .. total - 1, of a course other than `one-cycle`."""
        warm = max(1, round(total * self.warmup))
        if step < warm:
            return (step + 1) / warm
        start = max(warm, round(total * self.hold))
        gone = min(1.0, max(0.0, (step - start) / max(1, total - start)))
        return 1 - gone if self.fall == "linear" else 0.5 * (1 + math.cos(math.pi * gone))


class LoaderSpec(Value):
    """Batches.

    batch_size : draws in a step, over all processes; a draw is one row, or the few that a method makes of it.
    micro_batch : rows of one forward, to save memory: a step adds up as many as it takes. None: all at once. Batch
        normalisation sees the pieces, all else is the same.
    workers : processes that augment; 0 does it in the training process.
    """

    batch_size: Annotated[int, Field(ge=1)] = 32
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    workers: Annotated[int, Field(ge=0)] = 1


class EarlyStopping(Value):
    """End when the AUC over crops of the select split has not risen for `patience` epochs; keeps the best weights."""

    patience: Annotated[int, Field(ge=1)] = 3


class EvaluateSpec(Value):
    """How scores become verdicts; fitted on the select split only.

    aggregate : how the faces of one file become one score (`verisight.core.aggregate`).
    calibration : how scores become probabilities: `temperature` (the ranking and a score of 0 stay), `platt` (a
        temperature and a bias; the ranking stays), `isotonic` (rising steps; needs many select files, and ties scores),
        or `none`.
    threshold : `balanced`, the threshold of the best balanced accuracy; or `fpr@X`, the smallest one at which
        at most the share X of real files is called fake.
    doubt : `fnr@X`: below the largest probability at which at most the share X of the fakes is missed a file is called
        real, and from there to the threshold no verdict is given; or `none`: whatever is not fake is real.
    resamples : of the bootstrap behind every interval.
    qualities : what files are calibrated and reported at, each of them at each: `raw`, `c23`, `c40`, or operations as
        in `augment.quality`. One calibration and one threshold serve all. None: as the files are.
    """

    aggregate: Annotated[str, AfterValidator(_known_rule)] = "mean-of-frame-max"
    calibration: Literal["temperature", "platt", "isotonic", "none"] = "temperature"
    threshold: Annotated[str, Field(pattern=r"^(balanced|fpr@0?\.\d+)$")] = "balanced"
    doubt: Annotated[str, Field(pattern=r"^(none|fnr@0?\.\d+)$")] = "none"
    resamples: Annotated[int, Field(ge=100)] = 2000
    qualities: tuple[str, ...] = ()


class Reported(Value):
    """A figure that a paper prints for this setting, with the place where it stands."""

    metric: str
    value: float
    source: str


class Recipe(Value):
    """One run: method, data, preprocess, optimiser, update rule, trainer, and what the paper reports for it.

    method : `id` of the catalogue and the fields of that method's own Config.
    rule : `id` of the catalogue and the arguments of that update rule.
    trainer : goes to `lightning.Trainer` verbatim.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    method: dict[str, Any]
    data: DataSpec
    preprocess: Preprocess = Preprocess()
    augment: AugmentSpec = AugmentSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    rule: dict[str, Any] = {"id": "plain"}
    loader: LoaderSpec = LoaderSpec()
    early_stopping: EarlyStopping | None = None
    evaluate: EvaluateSpec = EvaluateSpec()
    trainer: dict[str, Any] = {"max_epochs": 10}
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    licence: str = "not stated"
    notes: str = ""
    reported: tuple[Reported, ...] = ()


def data_block(overrides: Sequence[str]) -> dict[str, Any]:
    """What `data.key=value` overrides say of the data block, for verbs that take no recipe; not validated yet.

    Raises
    ------
    RecipeError : something else than the data block.
    """
    from omegaconf import OmegaConf

    for override in overrides:
        if not override.startswith("data.") or "=" not in override:
            raise RecipeError(override, "only the data block can be given here", "use data.KEY=VALUE")
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    block: dict[str, Any] = given.get("data", {})
    return block


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a YAML recipe, apply `key=value` overrides (dots reach inside), validate.

    Raises
    ------
    RecipeError : no such file, not YAML, an unknown key (answered with the nearest known one), a value out
        of range, a value still to be filled in (`???`).
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not Path(path).is_file():
        raise RecipeError(path, "no such recipe file", "the project keeps its own in recipes/")
    for override in overrides:
        if "=" not in override:
            raise RecipeError(override, "an override has the form key=value", "for instance: data.path=DIR")
    try:
        loaded = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides)))
        tree = OmegaConf.to_container(loaded, resolve=True)
        missing = sorted(OmegaConf.missing_keys(loaded))
    except (OmegaConfBaseException, YAMLError, TypeError, ValueError) as error:  # TypeError: a list at the top
        raise RecipeError(path, f"not a readable recipe ({one_line(error)})") from error
    try:
        recipe = validate(Recipe, tree, str(path))
    except RecipeError as error:
        if not missing or "unknown key" in error.reason:  # a misspelt key is why another one is missing
            raise
    if missing:
        raise RecipeError(path, f"'{missing[0]}' must be given", f"add: {missing[0]}=...")
    return recipe


def validate(model: type[ValueT], tree: Any, where: str) -> ValueT:
    """`model` from plain data; the first fault becomes one line that names the key and the nearest known one."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = error.errors()  # a misspelt key first: that the right one is missing follows from it
        first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        if first["type"] == "extra_forbidden":
            known = _fields_at(model, first["loc"][:-1])
            raise RecipeError(where, f"unknown key '{key}'", nearest(str(first["loc"][-1]), known)) from error
        if first["type"] == "missing":
            raise RecipeError(where, f"'{key}' must be given", f"add: {key}=...") from error
        raise RecipeError(where, f"'{key}': {first['msg']}, got {first['input']!r}") from error


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Field names of the (nested) model that an error location points into."""
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        for inner in (field.annotation, *get_args(field.annotation)):  # a model, or a tuple of models
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return list(model.model_fields)
