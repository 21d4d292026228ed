"""Empirical risk minimisation: the baseline that every paper of this task must beat under the same protocol.

    L(theta) = (1/N) sum_i CE(s_theta(x_i), y_i),   CE(s, y) = log(1 + exp(s)) - y s

x_i a face crop, y_i = 1 for a fake, s_theta a backbone with one linear logit.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from verisight.core.checkpoint import load_card, load_tensors
from verisight.core.detector import checkpoint_path
from verisight.core.errors import RecipeError
from verisight.data.batch import Batch
from verisight.engine.method import ASIDE, Method, MethodConfig
from verisight.nn.backbones import backbone
from verisight.optim.rule import Losses


class ERM(Method):
    """A timm backbone, dropout, one logit, binary cross-entropy (Vapnik 1991).

    Examples
    --------
    >>> method = ERM(ERM.Config(backbone="resnet10t", init="random"))
    >>> method.eval().scores(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """

    task = "deepfake"
    positive = "fake"

    class Config(MethodConfig):
        """backbone : a timm network.
        init : `imagenet`, `random`, or a detector (catalogue id or checkpoint) of the same backbone to go on from.
        dropout : before the logit.
        smoothing : share of the label mass that goes to the other class.
        """

        backbone: str = "tf_efficientnet_lite0"
        init: str = "imagenet"
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
        smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        known = config.init in ("imagenet", "random")
        self.features = backbone(config.backbone, config.init if known else "random")
        self.dropout = torch.nn.Dropout(config.dropout)
        self.logit = torch.nn.Linear(int(self.features.num_features), 1)  # type: ignore[arg-type]
        if not known:
            self._go_on_from(config.init)

    def losses(self, batch: Batch) -> Losses:
        target = batch.label.float() * (1 - 2 * self.config.smoothing) + self.config.smoothing
        return Losses({"cross_entropy": binary_cross_entropy_with_logits(self.scores(batch.inputs), target)})

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,) logits of fake."""
        return self.scored(inputs)[0]

    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.features(inputs)
        logits: Tensor = self.logit(self.dropout(features))
        return logits.squeeze(1), features

    def _go_on_from(self, detector: str) -> None:
        path = checkpoint_path(detector)
        theirs = load_card(path).recipe["method"].get("backbone", self.Config().backbone)
        if theirs != self.config.backbone:
            raise RecipeError(detector, f"its backbone is {theirs}, not {self.config.backbone}", "set method.backbone")
        tensors = {name: t for name, t in load_tensors(path).items() if not name.startswith(ASIDE)}
        self.load_state_dict({name: torch.from_numpy(t).float() for name, t in tensors.items()})
