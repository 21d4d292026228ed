"""What every loader yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows first.

    inputs : (N, ...); (N, V, ...) where V views or qualities of one sample belong together.
    label : (N,) int64, 1 = positive class.
    domain : (N,) int64 camera, generator, quality: whatever a rule may align; None without domains.
    index : (N,) int64 row of the manifest: the way back to group, subject, file.
    extra : further tensors by name, rows first.
    """

    inputs: Tensor
    label: Tensor
    domain: Tensor | None
    index: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.label)

    def to(self, device: torch.device | str, *args: Any, **kwargs: Any) -> Batch:
        """The same batch on a device; Lightning calls this."""
        return replace(
            self,
            inputs=self.inputs.to(device, *args, **kwargs),
            label=self.label.to(device),
            domain=None if self.domain is None else self.domain.to(device),
            index=self.index.to(device),
            extra={name: tensor.to(device) for name, tensor in self.extra.items()},
        )
