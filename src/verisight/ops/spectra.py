"""Spectra of maps: transforms whose sums of squares are known, and where in the plane their frequencies lie."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["forward", "ortho"]


def fft2(x: Tensor, norm: Norm = "forward") -> Tensor:
    """(..., H, W) -> (..., H, W) complex. Parseval: sum |F|^2 = sum x^2 of `ortho`, and (1 / HW) of it of `forward`."""
    found: Tensor = torch.fft.fft2(x, norm=norm)
    return found


def dct2(x: Tensor) -> Tensor:
    """(..., H, W) -> (..., H, W): orthonormal DCT-II over both axes; sum of squares kept."""
    rows, columns = (_basis(n).to(x) for n in x.shape[-2:])
    found: Tensor = rows @ x @ columns.T
    return found


@cache
def _basis(n: int) -> Tensor:
    """(n, n) float64 orthonormal cosines, a frequency a row."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    rows: Tensor = torch.cos(torch.pi * k * (2 * i + 1) / (2 * n)) * (2 / n) ** 0.5
    rows[0] /= 2**0.5
    return rows


def radius(H: int, W: int, transform: Literal["fft", "dct"] = "fft") -> Tensor:
    """(H, W) float64 distance of every bin from the constant one, in cycles a pixel."""
    down, across = (
        torch.fft.fftfreq(n, dtype=torch.float64)
        if transform == "fft"
        else torch.arange(n, dtype=torch.float64) / (2 * n)
        for n in (H, W)
    )
    return torch.hypot(down[:, None], across[None])
