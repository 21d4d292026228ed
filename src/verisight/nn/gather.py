"""Rows of all processes, for losses that compare rows with each other."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """(n, ...) of every process -> (N, ...), N = sum of n, the same in all; the rows themselves in one process alone.

    A loss L that every process takes of all rows has the right gradient in the step of `verisight.optim.gradient`,
    which weighs a process by its rows n_k: the gradient of the own rows is handed back N / n times, so that
    sum_k (n_k / N) (N / n_k) dL/dz_k dz_k = dL, for unequal n too. In the backward pass no process waits for another.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    found: Tensor = _Gathered.apply(rows)  # type: ignore[no-untyped-call]
    return found


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=rows.device)
        counts[dist.get_rank()] = len(rows)
        dist.all_reduce(counts)
        number = counts.tolist()
        padded = rows.new_zeros(max(number), *rows.shape[1:])  # gathering needs equal shapes
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in number]
        dist.all_gather(parts, padded)
        context.start, context.own, context.all = sum(number[: dist.get_rank()]), len(rows), sum(number)
        return torch.cat([part[:n] for part, n in zip(parts, number, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        own: Tensor = gradients[0][context.start : context.start + context.own] * (context.all / context.own)
        return own
