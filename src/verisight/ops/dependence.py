"""How much two sets of features, row by row of the same instances, depend on each other.

Symbols: Z (n, d), features of n instances; K (n, n), their Gram matrix; H = I - 11'/n; K_c = H K H. A measure D(K, L)
looks at two patterns of similarity between the same instances, so Z and W may be of unlike width.

    biased     tr(K H L H) / (n - 1)^2                                  HSIC, Gretton et al. 2005; >= 0
    unbiased   as `biased`, with mean 0 under independence              Song et al. 2012; n >= 4
    trace      tr(K H L H)
    nocco      tr(R_K R_L), R_K = K_c (K_c + eps n I)^-1                Fukumizu et al. 2007; in [0, n - 1)
    cka        biased(K, L) / sqrt(biased(K, K) biased(L, L))           Kornblith et al. 2019; in [0, 1]
    cka_u      the same of `unbiased`                                   1 iff equal, about 0 under independence

Features are multiplied in float32 at least, whatever autocast says, and Gram matrices are float64: those of wide
features are nearly constant, and what a measure looks at is the little that is left when the constant is taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

TINY = 1e-30  # below it a variance is that of a constant tap

Measure = Callable[[Tensor, Tensor], Tensor]


def linear_kernel(z: Tensor) -> Tensor:
    """(n, d) -> (n, n) inner products."""
    with torch.autocast(z.device.type, enabled=False):
        z = _exact(z)
        return (z @ z.T).double()


def gaussian_kernel(z: Tensor, sigma: float | Literal["median"] = 6.0, *, scale_by_dim: bool = True) -> Tensor:
    """(n, d) -> (n, n): exp(-|a - b|^2 / (2 sigma^2 d)).

    sigma : "median" takes exp(-|a - b|^2 / m), m the median of the squared distances off the diagonal, detached.
    scale_by_dim : the d in the formula; without it a wide Gram matrix is the identity, and every measure blind.
    """
    with torch.autocast(z.device.type, enabled=False):
        squared = _squared_distances(_exact(z)).double()
        if sigma == "median":
            apart = squared.detach()[~torch.eye(len(z), dtype=torch.bool, device=z.device)]
            return torch.exp(-squared / apart.median().clamp(min=TINY))
        return torch.exp(-squared / (2 * sigma**2 * (z.shape[1] if scale_by_dim else 1)))


def _squared_distances(z: Tensor) -> Tensor:
    """Of all pairs of rows, at least 0, and 0 of a row and itself. Centred first: a common offset would eat digits."""
    z = z - z.mean(dim=0)
    length = z.square().sum(dim=1)
    squared = (length[:, None] + length[None] - 2 * z @ z.T).clamp(min=0)
    return squared * (1 - torch.eye(len(z), dtype=z.dtype, device=z.device))


def _exact(z: Tensor) -> Tensor:
    return z.to(torch.promote_types(z.dtype, torch.float32))


def _centred(K: Tensor) -> Tensor:
    """H K H."""
    return K - K.mean(dim=0, keepdim=True) - K.mean(dim=1, keepdim=True) + K.mean()


def trace(K: Tensor, L: Tensor) -> Tensor:
    return (_centred(K) * _centred(L)).sum()


def biased(K: Tensor, L: Tensor) -> Tensor:
    return trace(K, L) / (len(K) - 1) ** 2


def unbiased(K: Tensor, L: Tensor) -> Tensor:
    n = len(K)
    off = 1 - torch.eye(n, dtype=K.dtype, device=K.device)
    K, L = K * off, L * off
    both = (K.sum(dim=0) * L.sum(dim=0)).sum()  # 1' K L 1
    return ((K * L).sum() + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * both) / (n * (n - 3))


def nocco(K: Tensor, L: Tensor, eps: float = 1e-5) -> Tensor:
    R_K, R_L = (_resolvent(_centred(M), eps) for M in (K, L))
    return (R_K * R_L.T).sum()


def _resolvent(K_c: Tensor, eps: float) -> Tensor:
    """K_c (K_c + eps n I)^-1; the two commute."""
    n = len(K_c)
    solved: Tensor = torch.linalg.solve(K_c + eps * n * torch.eye(n, dtype=K_c.dtype, device=K_c.device), K_c)
    return solved


def cka(K: Tensor, L: Tensor) -> Tensor:
    return _normalised(biased, K, L)


def cka_u(K: Tensor, L: Tensor) -> Tensor:
    return _normalised(unbiased, K, L)


def _normalised(of: Measure, K: Tensor, L: Tensor) -> Tensor:
    """A constant tap depends on nothing: 0, with a gradient of 0."""
    own = of(K, K) * of(L, L)
    known = own > TINY
    return torch.where(known, of(K, L) / torch.where(known, own, torch.ones_like(own)).sqrt(), torch.zeros_like(own))


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {"biased": biased, "unbiased": unbiased, "trace": trace, "nocco": nocco, "cka": cka, "cka_u": cka_u}
)
SMALLEST: Mapping[str, int] = MappingProxyType({name: 4 if name in ("unbiased", "cka_u") else 2 for name in MEASURES})
