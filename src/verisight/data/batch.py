"""What every loader yields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

    def parts(self, rows: int) -> Iterator[Batch]:
        """The batch in pieces of at most `rows` rows, in order."""
        for start in range(0, len(self), rows):
            piece = slice(start, start + rows)
            yield replace(
                self,
                inputs=self.inputs[piece],
                label=self.label[piece],
                domain=None if self.domain is None else self.domain[piece],
                index=self.index[piece],
                extra={name: tensor[piece] for name, tensor in self.extra.items()},
            )

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


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of the rows of several, in order.

    Raises
    ------
    ValueError : a column that one has and another lacks.
    """
    first = batches[0]
    if len({(b.domain is None, *sorted(b.extra)) for b in batches}) > 1:
        raise ValueError("batches with different columns: domain and extra must be alike in all")
    return Batch(
        inputs=torch.cat([b.inputs for b in batches]),
        label=torch.cat([b.label for b in batches]),
        domain=None if first.domain is None else torch.cat([b.domain for b in batches if b.domain is not None]),
        index=torch.cat([b.index for b in batches]),
        extra={name: torch.cat([b.extra[name] for b in batches]) for name in first.extra},
    )
