"""The update rule that every other one reduces to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from verisight.optim.rule import Losses, Steps


class Plain:
    """Gradient of the total loss, one optimiser step.

    Gradients come from `torch.autograd.grad`, not from hooks, so that a wrapping rule may call `step` again.
    """

    def step(self, closure: Callable[[], Losses], parameters: Sequence[torch.nn.Parameter], optimizer: Steps) -> Losses:
        losses = closure()
        gradients = torch.autograd.grad(losses.total, list(parameters), allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        return losses
