"""What a paper adds, as a LightningModule: networks and `losses(batch)`. The step is written here, once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verisight.core import catalogue, torchvision_ops
from verisight.core.checkpoint import Card
from verisight.core.recipe import OptimiserSpec, validate
from verisight.core.value import Value
from verisight.data.batch import Batch
from verisight.evaluate.metrics import auc
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses, UpdateRule

torchvision_ops.ensure()

import lightning  # noqa: E402  (imports torchvision through torchmetrics)


class MethodConfig(Value):
    """Base of every method's settings: the `method:` block of a recipe without its `id`."""


class Method(lightning.LightningModule, ABC):
    """Base of every trained method.

    A subclass sets `Config`, `task` and `positive`, builds its networks in `__init__(config)`, and writes `losses`
    and `scores`. The engine calls `optimise_with` before training.
    """

    Config: ClassVar[type[MethodConfig]]
    task: ClassVar[str]
    positive: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False  # the update rule makes the step
        self.rule: UpdateRule = Plain()
        self.optimiser_spec = OptimiserSpec()
        self._validation: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def from_block(cls, block: Mapping[str, Any], where: str) -> Self:
        """An untrained method from the `method:` block of a recipe."""
        settings = {key: value for key, value in block.items() if key != "id"}
        return cls(validate(cls.Config, settings, where))  # type: ignore[call-arg]

    @classmethod
    def scoring_network(cls, card: Card, tensors: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
        """The network of a checkpoint: (N, 3, S, S) float32 -> (N,) logits. Nothing is initialised from elsewhere."""
        block = {**card.recipe["method"], "init": "random"}
        method = cls.from_block(block, card.name)
        method.load_state_dict({name: torch.from_numpy(np.asarray(t, np.float32)) for name, t in tensors.items()})
        return Scoring(method)

    @abstractmethod
    def losses(self, batch: Batch) -> Losses:
        """Named, weighted scalars of a batch; their sum is the objective."""

    @abstractmethod
    def scores(self, inputs: Tensor) -> Tensor:
        """(N, ...) -> (N,) logits, higher = positive class."""

    def optimise_with(self, rule: UpdateRule, spec: OptimiserSpec) -> None:
        """Set the update rule and the optimiser's settings."""
        self.rule, self.optimiser_spec = rule, spec

    def training_step(self, batch: Batch, _: int) -> None:
        optimizer: Any = self.optimizers()
        parameters = [p for p in self.parameters() if p.requires_grad]
        losses = self.rule.step(lambda: self.losses(batch), parameters, optimizer)
        scheduler: Any = self.lr_schedulers()
        scheduler.step()
        named = {f"loss/{name}": value.detach() for name, value in losses.parts.items()}
        self.log_dict(named, prog_bar=True, on_step=True, on_epoch=False, batch_size=len(batch))

    def validation_step(self, batch: Batch, _: int) -> None:
        self._validation.append((batch.label.cpu(), self.scores(batch.inputs).float().cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the AUC over crops of the select split; it guides the eye, nothing is chosen by it."""
        label, score = (torch.cat(column).numpy() for column in zip(*self._validation, strict=True))
        self._validation.clear()
        if 0 < label.sum() < len(label):  # the sanity check before training may see one class only
            self.log("select/auc", auc(label, score), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW without decay on biases and normalisation; linear warm-up, then a cosine to zero."""
        spec = self.optimiser_spec
        trained = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=spec.lr)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warm = max(1, round(total * spec.warmup))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Scoring(torch.nn.Module):
    """A method as a plain module that scores: what is exported and what detectors call."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, inputs: Tensor) -> Tensor:
        return self.method.scores(inputs)


def method_class(id: str) -> type[Method]:
    """The class behind a catalogue id."""
    found: type[Method] = catalogue.find(id, "method").load()
    return found
