"""What a paper adds, as a LightningModule: networks and `losses(batch)`. The step is written here, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verisight.core import catalogue, torchvision_ops
from verisight.core.checkpoint import Card
from verisight.core.errors import RecipeError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import OptimiserSpec, Recipe, validate
from verisight.core.value import Value
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.loaders import Crops, Samples
from verisight.data.manifest import Manifest
from verisight.evaluate.metrics import auc
from verisight.nn.novelty import Novelty
from verisight.optim.gradient import passing_again
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses, UpdateRule

torchvision_ops.ensure()

import lightning  # noqa: E402  (imports torchvision through torchmetrics)

ASIDE = "novelty."  # of a checkpoint's tensors: those that are none of the method's


class MethodConfig(Value):
    """Base of every method's settings: the `method:` block of a recipe without its `id`."""


class Method(lightning.LightningModule, ABC):
    """Base of every trained method.

    A subclass sets `Config`, `task` and `positive`, builds its networks in `__init__(config)`, and writes `losses`
    and `scores`. One that trains on something else than single crops (pseudo-fakes, pairs of qualities) also writes
    `training_data`. One with parts that scoring does not need (a teacher, a head for a loss) names them in
    `training_only`. The engine calls `optimise_with` before training.
    """

    Config: ClassVar[type[MethodConfig]]
    task: ClassVar[str]
    positive: ClassVar[str]
    config: Any  # the settings it was built from, of type Config
    training_only: ClassVar[tuple[str, ...]] = ()  # beginnings of the names of tensors that no checkpoint holds

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False  # the update rule makes the step
        self.rule: UpdateRule = Plain()
        self.optimiser_spec = OptimiserSpec()
        self.micro_batch: int | None = None
        self._validation: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def from_block(cls, block: Mapping[str, Any], where: str) -> Self:
        """An untrained method from the `method:` block of a recipe."""
        settings = validate(cls.Config, {key: value for key, value in block.items() if key != "id"}, where)
        method = cls(settings)  # type: ignore[call-arg]
        method.config = settings
        return method

    @classmethod
    def scoring_network(cls, card: Card, tensors: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        """The network of a checkpoint: (N, 3, S, S) float32 -> (N,) logits. Nothing is initialised from elsewhere."""
        block = dict(card.recipe["method"])
        for name, nothing in (("init", "random"), ("teacher", "")):
            if name in cls.Config.model_fields:
                block[name] = nothing
        method = cls.from_block(block, card.name)
        state = {name: torch.from_numpy(np.asarray(t, np.float32)) for name, t in tensors.items()}
        aside = {name.removeprefix(ASIDE): state.pop(name) for name in list(state) if name.startswith(ASIDE)}
        method.load_state_dict(state)
        novelty = Novelty(*aside["basis"].shape) if aside else None
        if novelty is not None:
            novelty.load_state_dict(aside)
        return Scoring(method, novelty)

    @abstractmethod
    def losses(self, batch: Batch) -> Losses:
        """Named, weighted scalars of a batch; their sum is the objective."""

    @abstractmethod
    def scores(self, inputs: Tensor) -> Tensor:
        """(N, ...) -> (N,) logits, higher = positive class."""

    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """The scores, and the features (N, D) that they were read off; None of a method that has no such thing."""
        return self.scores(inputs), None

    def training_preprocess(self, recipe: Recipe) -> Preprocess:
        """How faces are cut for training: here as for everything else."""
        return recipe.preprocess

    def training_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        """What training draws from: here augmented crops, balanced as the recipe says."""
        return Crops(crops, manifest, recipe, augmented=True)

    def select_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        """What the AUC during training is measured on: here the crops of the select split as they are."""
        return Crops(crops, manifest, recipe, augmented=False)

    def optimise_with(self, rule: UpdateRule, spec: OptimiserSpec, micro_batch: int | None = None) -> None:
        """Set the update rule, the optimiser's settings and the rows of one forward."""
        self.rule, self.optimiser_spec, self.micro_batch = rule, spec, micro_batch

    def training_step(self, batch: Batch, _: int) -> None:
        optimizer: Any = self.optimizers()
        parameters = [p for p in self.parameters() if p.requires_grad]
        if hasattr(self.rule, "begin_epoch"):
            self.rule.begin_epoch(self.current_epoch)
        losses = self.rule.step(lambda: self._losses(batch), parameters, optimizer)
        scheduler: Any = self.lr_schedulers()
        scheduler.step()
        named = {f"loss/{name}": value for name, value in losses.parts.items()}
        named |= {f"aside/{name}": value for name, value in losses.aside.items()}
        self.log_dict(named, prog_bar=True, on_step=True, on_epoch=False, batch_size=len(batch))

    def _losses(self, batch: Batch) -> Iterator[Losses]:
        """The losses of one micro-batch after another; a rule's second pass leaves buffers as the first one did."""
        kept = [buffer.clone() for buffer in self.buffers()] if passing_again() else []
        for part in batch.parts(self.micro_batch or len(batch)):
            yield replace(self.losses(part), rows=len(part))
        for buffer, before in zip(self.buffers() if kept else (), kept, strict=True):
            buffer.copy_(before)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if hasattr(self.rule, "state_dict"):
            checkpoint["rule"] = self.rule.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "rule" in checkpoint and hasattr(self.rule, "load_state_dict"):
            self.rule.load_state_dict(checkpoint["rule"])

    def validation_step(self, batch: Batch, _: int) -> None:
        self._validation.append((batch.label.cpu(), self.scores(batch.inputs).float().cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the AUC over crops of the select split: it guides the eye, and early stopping where the recipe has it."""
        label, score = (torch.cat(column).numpy() for column in zip(*self._validation, strict=True))
        self._validation.clear()
        if not np.isfinite(score).all():
            reason = f"the scores are no longer finite after step {self.global_step}"
            raise RecipeError("optimiser.lr", reason, "lower it, or lengthen optimiser.warmup")
        both = 0 < label.sum() < len(label)  # trainer.limit_val_batches may leave one class only
        self.log("select/auc", auc(label, score) if both else float("nan"), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser, without decay on biases and normalisation, and its learning rate step by step."""
        spec = self.optimiser_spec
        trained = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
            if spec.name == "sgd"
            else {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec.name](groups, lr=spec.lr)
        )
        total = max(1, int(self.trainer.estimated_stepping_batches))
        schedule: torch.optim.lr_scheduler.LRScheduler = (
            torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.lr, total_steps=total, pct_start=spec.warmup)
            if spec.fall == "one-cycle"
            else torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: spec.factor(step, total))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Scoring(torch.nn.Module):
    """A method as a plain module that scores: what is exported and what detectors call.

    novelty : also gives (N,) distances of the features from what the method was trained on.
    """

    def __init__(self, method: Method, novelty: Novelty | None = None) -> None:
        super().__init__()
        self.method, self.novelty = method, novelty

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        scores, features = self.method.scored(inputs)
        return scores if self.novelty is None or features is None else (scores, self.novelty(features))


def method_class(id: str) -> type[Method]:
    """The class behind a catalogue id."""
    found: type[Method] = catalogue.find(id, "method").load()
    return found
