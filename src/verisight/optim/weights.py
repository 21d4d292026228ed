"""Rules that move the weights against the loss before they look at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from verisight.core.errors import RecipeError, nearest
from verisight.optim.gradient import Replay, gradient, norm, shifted
from verisight.optim.plain import Plain
from verisight.optim.rule import Closure, Losses, Steps, UpdateRule


class AWP:
    """Adversarial weight perturbation (Wu, Xia, Wang, NeurIPS 2020), as QAD uses it (Le, Woo, ICCV 2023).

        delta_j = gamma |W_j|_F g_j / |g_j|_F        for every weight W_j of two or more dimensions, g its gradient

    and the inner rule steps with what it finds at W + delta, from W. Biases and normalisation are not moved. Unlike
    SAM's one radius for all weights this one does not change when a layer is scaled up and the next one down.

    The second pass sees the step's rows as the first did: dropout draws the same, and batch normalisation remembers
    the first pass alone. A gradient that is not finite, or a frozen weight, moves nothing; such steps are in `skipped`.

    Parameters
    ----------
    gamma : relative size of the shift, at least 0; 0 is the inner rule, in one pass. QAD: 0.002 to 0.006.
    inner : the rule that steps; `plain` where none is given.
    start_epoch : before it, the inner rule alone.
    ascent : what the shift climbs: the `total`, or the name of one part, or of a scalar aside, of the losses.
    every : only each so many steps are shifted.
    """

    def __init__(
        self,
        gamma: float = 0.01,
        inner: UpdateRule | None = None,
        start_epoch: int = 0,
        ascent: str = "total",
        every: int = 1,
    ) -> None:
        if not (math.isfinite(gamma) and gamma >= 0):
            raise RecipeError("rule.gamma", f"must be at least 0, got {gamma}", "QAD uses 0.002")
        if every < 1:
            raise RecipeError("rule.every", f"must be at least 1, got {every}")
        self.gamma, self.inner, self.start_epoch = gamma, inner or Plain(), start_epoch
        self.ascent, self.every = ascent, every
        self.epoch = self.steps = self.skipped = 0

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if hasattr(self.inner, "begin_epoch"):
            self.inner.begin_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        inner: Any = self.inner
        kept = inner.state_dict() if hasattr(inner, "state_dict") else {}
        return {"steps": self.steps, "skipped": self.skipped, "inner": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.skipped = state["steps"], state["skipped"]
        inner: Any = self.inner
        if hasattr(inner, "load_state_dict"):
            inner.load_state_dict(state["inner"])

    def step(self, closure: Closure, parameters: Sequence[Parameter], optimizer: Steps) -> Losses:
        self.steps += 1
        if self.gamma == 0 or self.epoch < self.start_epoch or (self.steps - 1) % self.every:
            return self.inner.step(closure, parameters, optimizer)
        replay = Replay(parameters)
        losses, g = gradient(closure, parameters, of=self._climbed)
        if not norm(g).isfinite():  # of the step over all ranks: they skip together
            self.skipped += 1
            g = [None] * len(g)
        with shifted(parameters, self._shift(parameters, g)), replay:
            self.inner.step(closure, parameters, _Still())
        optimizer.step()
        return losses

    def _climbed(self, losses: Losses) -> Tensor:
        if self.ascent == "total":
            return losses.total
        known = {**losses.parts, **losses.aside}
        if self.ascent not in known:
            reason = "the losses have no part and nothing aside of this name"
            raise RecipeError(f"rule.ascent={self.ascent}", reason, nearest(self.ascent, ["total", *known]))
        return known[self.ascent]

    def _shift(self, parameters: Sequence[Parameter], gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """delta, by tensor."""
        out: list[Tensor | None] = []
        for weight, g in zip(parameters, gradients, strict=True):
            moved = g is not None and weight.ndim >= 2
            out.append(self.gamma * _length(weight) / (_length(g) + 1e-20) * g if moved and g is not None else None)
        return out


def _length(tensor: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(tensor.detach())
    return found


class _Still:
    """The optimiser that the inner rule is given: the step is made afterwards, from the old weights."""

    def step(self) -> None:
        pass
