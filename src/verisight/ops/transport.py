"""Optimal transport where it is cheap: on a line, and averaged over lines.

On a line the best plan moves in order, so that W_p^p of two samples is a sort and a sum, and W_1 of two masses on the
same points is the area between their cumulative sums. The sliced distance (Rabin, Peyre, Delon, Bernot 2011) is the
mean over directions theta of the unit sphere of what samples, or masses, cost when seen along theta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def directions(
    d: int,
    number: int,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """(K, d) unit vectors, even over the sphere; drawn on the generator's device, the processor's without one."""
    at = generator.device if generator is not None else torch.device("cpu")
    drawn = torch.randn(number, d, generator=generator, dtype=dtype, device=at)
    unit: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return unit.to(device)


def wasserstein_1d(x: Tensor, y: Tensor, p: float = 1.0) -> Tensor:
    """(..., n) and (..., m) samples of equal weight -> (...) W_p^p. p >= 1."""
    if x.shape[-1] == y.shape[-1]:
        found: Tensor = _Sorted.apply(x, y, p) / x.shape[-1]  # type: ignore[no-untyped-call]
        return found
    n, m = x.shape[-1], y.shape[-1]
    x, y = x.sort(dim=-1).values, y.sort(dim=-1).values
    edges = torch.cat([torch.arange(1, n + 1, device=x.device) * m, torch.arange(1, m + 1, device=x.device) * n])
    edges = edges.sort().values  # where either quantile function steps, in units of 1 / (n m)
    share = torch.diff(edges, prepend=edges.new_zeros(1)).to(x.dtype) / (n * m)
    at = edges - 1
    return ((x[..., at // m] - y[..., at // n]).abs() ** p * share).sum(dim=-1)


def sliced_wasserstein(x: Tensor, y: Tensor, theta: Tensor, p: float = 2.0) -> Tensor:
    """(n, d) and (m, d) samples, (K, d) directions -> scalar: the mean over directions of W_p^p, that is SW_p^p."""
    return wasserstein_1d(theta @ x.T, theta @ y.T, p).mean()


def shifted_mass(m_s: Tensor, m_t: Tensor, positions: Tensor) -> Tensor:
    """(B, N) and (B, N) masses on the same points (N,) of a line -> (B,) W_1.

    sum_j |cum(m_s - m_t)_(j)| (p_(j+1) - p_(j)), the points in order. Gradients reach the masses alone.
    """
    order = positions.argsort()
    gaps = positions[order].diff().to(m_s.dtype)
    return ((m_s - m_t)[:, order].cumsum(dim=1)[:, :-1].abs() * gaps).sum(dim=1)


def _order(x: Tensor) -> Tensor:
    """(..., n) -> (..., n) int64 that sorts the last axis.

    On a processor by NumPy, whose sort of floats is vectorised: 500 rows of 256 take 0.6 ms, of torch 5.
    """
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.argsort(x.detach().numpy(), axis=-1))
    return x.argsort(dim=-1)


class _Sorted(torch.autograd.Function):
    """(..., n) and (..., n) -> (...) sum |x_(i) - y_(i)|^p.

    The backward pass needs the differences and where each came from, nothing else: half of what autograd keeps for two
    sorts, a difference and a power.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, y: Tensor, p: float) -> Tensor:
        of_x, of_y = _order(x), _order(y)
        gap = x.gather(-1, of_x) - y.gather(-1, of_y)
        context.save_for_backward(gap, of_x, of_y)
        context.p = p
        return (gap.square() if p == 2 else gap.abs() ** p).sum(dim=-1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        gap, of_x, of_y = context.saved_tensors
        p, above = context.p, gradients[0][..., None]
        slope = (2 * gap if p == 2 else gap.sign() if p == 1 else p * gap.sign() * gap.abs() ** (p - 1)) * above
        needs_x, needs_y = context.needs_input_grad[:2]
        g_x = torch.empty_like(slope).scatter_(-1, of_x, slope) if needs_x else None
        g_y = torch.empty_like(slope).scatter_(-1, of_y, -slope) if needs_y else None
        return g_x, g_y, None
