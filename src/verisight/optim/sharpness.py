"""Rules that look for flat minima."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.nn import Parameter

from verisight.core.errors import RecipeError
from verisight.optim.gradient import gradient, hand_over, norm, shifted
from verisight.optim.rule import Closure, Losses, Steps


class SAM:
    """Sharpness-aware minimisation (Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021, eq. 2 and 3).

        eps = rho g(w) / |g(w)|_2,    step with g(w + eps) from w

    The norm is that of the gradient over all rows, micro-batches and ranks together. Both passes are training passes:
    batch normalisation sees the step's rows twice, dropout draws anew. rho = 0 is `plain`, in one pass.

    Parameters
    ----------
    rho : radius of the neighbourhood in the space of all trained parameters, at least 0.
    """

    def __init__(self, rho: float = 0.05) -> None:
        if not (math.isfinite(rho) and rho >= 0):
            raise RecipeError("rule.rho", f"must be at least 0, got {rho}", "the paper uses 0.05")
        self.rho = rho

    def step(self, closure: Closure, parameters: Sequence[Parameter], optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        length = norm(g)
        if self.rho > 0 and length > 0:
            scale = self.rho / length
            with shifted(parameters, [None if each is None else each * scale for each in g]):
                _, g = gradient(closure, parameters)
        hand_over(parameters, g)
        optimizer.step()
        return losses
