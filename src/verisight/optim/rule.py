"""The border between a Method and an UpdateRule: it carries the whole composition, so it stays this small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """What a method's forward gives.

    parts : named, weighted scalars; their sum is the objective.
    by_domain : the total per domain, from the same forward; empty without domains.
    """

    parts: Mapping[str, Tensor]
    by_domain: Mapping[int, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        return torch.stack(list(self.parts.values())).sum()


class Steps(Protocol):
    """The part of an optimiser that a rule may use; Lightning's wrapper has it too."""

    def step(self) -> object: ...


class UpdateRule(Protocol):
    """How losses become one step.

    A sharpness rule looks at `total`, an alignment rule at `by_domain`, a conflict rule at `parts`; a wrapping
    rule calls the inner rule's step at shifted weights and restores them exactly.
    """

    def step(self, closure: Callable[[], Losses], parameters: Sequence[torch.nn.Parameter], optimizer: Steps) -> Losses:
        """One step. `closure` runs forward and losses anew each time; returns the losses at the old weights."""
        ...
