"""Optimal transport where it is cheap: on a line, and averaged over lines.

On a line the best plan moves in order, so that W_p^p of two samples is a sort and a sum, and W_1 of two masses on the
same points is the area between their cumulative sums. The sliced distance (Rabin, Peyre, Delon, Bernot 2011) is the
mean over directions theta of the unit sphere of what samples, or masses, cost when seen along theta.
"""

from __future__ import annotations

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
    x, y = x.gather(-1, _order(x)), y.gather(-1, _order(y))
    n, m = x.shape[-1], y.shape[-1]
    if n == m:
        return _power(x - y, p).mean(dim=-1)
    edges = torch.cat([torch.arange(1, n + 1, device=x.device) * m, torch.arange(1, m + 1, device=x.device) * n])
    edges = edges.sort().values  # where either quantile function steps, in units of 1 / (n m)
    share = torch.diff(edges, prepend=edges.new_zeros(1)).to(x.dtype) / (n * m)
    at = edges - 1
    return (_power(x[..., at // m] - y[..., at // n], p) * share).sum(dim=-1)


def sliced_wasserstein(x: Tensor, y: Tensor, theta: Tensor, p: float = 2.0) -> Tensor:
    """(n, d) and (m, d) samples, (K, d) directions -> scalar: the mean over directions of W_p^p, that is SW_p^p.

    In float32 at least, whatever autocast says. Autograd keeps 20 bytes a sample and direction in float32.
    """
    with torch.autocast(x.device.type, enabled=False):
        exact = torch.promote_types(
            torch.promote_types(x.dtype, y.dtype), torch.promote_types(theta.dtype, torch.float32)
        )
        x, y, theta = x.to(exact), y.to(exact), theta.to(exact)
        return wasserstein_1d(theta @ x.T, theta @ y.T, p).mean()


def shifted_mass(m_s: Tensor, m_t: Tensor, positions: Tensor) -> Tensor:
    """(B, N) and (B, N) masses on the same points (N,) of a line -> (B,) W_1; of K lines (K, N), the mean over them.

        W_1 = sum_j |cum(m_s - m_t)_(j)| (p_(j+1) - p_(j)) = sum_i f_i (m_s - m_t)_i,    the points in order,
        f_(i) = sum_(j >= i) sign cum(m_s - m_t)_(j) (p_(j+1) - p_(j))

    f is the potential of the dual problem, and constant where no sign changes: it is the gradient. So the K lines cost
    autograd one tensor (B, N) and not K. Gradients reach the masses alone.
    """
    lines = positions.reshape(-1, positions.shape[-1])
    gap = m_s - m_t
    with torch.no_grad():
        f = torch.zeros_like(gap)
        for line in lines:
            order = _order(line)
            apart = line[order].diff().to(gap.dtype)
            steps = gap.index_select(1, order).cumsum(dim=1)[:, :-1].sign() * apart
            passed = torch.nn.functional.pad(steps.cumsum(dim=1), (1, 0))
            f.index_add_(1, order, passed[:, -1:] - passed)
        f /= len(lines)
    return (gap * f).sum(dim=1)


def _power(gap: Tensor, p: float) -> Tensor:
    return gap.square() if p == 2 else gap.abs() ** p


def _order(x: Tensor) -> Tensor:
    """(..., n) -> (..., n) int64 that sorts the last axis.

    On a processor by NumPy, whose sort of floats is vectorised: 500 rows of 256 take 0.6 ms, of torch 5.
    """
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.argsort(x.detach().numpy(), axis=-1))
    return x.argsort(dim=-1)
