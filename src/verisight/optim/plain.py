"""The update rule that every other one reduces to."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn import Parameter

from verisight.optim.gradient import gradient, hand_over
from verisight.optim.rule import Closure, Losses, Steps


class Plain:
    """Gradient of the total loss, one optimiser step."""

    def step(self, closure: Closure, parameters: Sequence[Parameter], optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        hand_over(parameters, g)
        optimizer.step()
        return losses
