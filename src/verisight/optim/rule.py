"""The border between a Method and an UpdateRule: it carries the whole composition, so it stays this small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """What a method's forward gives.

    parts : named, weighted scalars, each a mean over rows; their sum is the objective.
    by_domain : the total per domain, from the same forward; empty without domains.
    aside : further named scalars, means over rows, that are no part of the objective: they are logged, and a rule may
        look at one.
    rows : number of rows behind the means: the weight of a micro-batch, and of a rank, in the step.
    """

    parts: Mapping[str, Tensor]
    by_domain: Mapping[int, Tensor] = field(default_factory=dict)
    aside: Mapping[str, Tensor] = field(default_factory=dict)
    rows: int = 1

    @property
    def total(self) -> Tensor:
        return torch.stack(list(self.parts.values())).sum()


Closure = Callable[[], Iterable[Losses]]  # runs forward and losses anew, one micro-batch of the step after another


class Steps(Protocol):
    """The part of an optimiser that a rule may use; Lightning's wrapper has it too."""

    def step(self) -> object: ...


class UpdateRule(Protocol):
    """How losses become one step.

    A sharpness rule looks at `total`, an alignment rule at `by_domain`, a conflict rule at `parts`; a wrapping
    rule calls the inner rule's step at shifted weights and restores them exactly. Micro-batches and ranks are no
    concern of a rule that takes its gradients from `verisight.optim.gradient`. A rule with a memory of its own offers
    `state_dict` and `load_state_dict`, which checkpoints keep; one that goes by epochs offers `begin_epoch(epoch)`.
    """

    def step(self, closure: Closure, parameters: Sequence[torch.nn.Parameter], optimizer: Steps) -> Losses:
        """One step; returns the losses at the old weights, detached."""
        ...
