"""How far an input is from what a network was trained on, by its features.

The features f (D,) of the training split are taken as Gaussian with K free directions and one variance in all others
(probabilistic PCA, Tipping, Bishop 1999); the distance is the Mahalanobis distance under it:

    d(f)^2 = sum_k (b_k . c)^2 / v_k + (|c|^2 - sum_k (b_k . c)^2) / v_rest,    c = f - mean

What is unlike all training inputs has features along directions that hardly varied there (Lee et al., NeurIPS 2018;
Wang et al., "ViM", CVPR 2022, for the residual).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIRECTIONS = 32


class Novelty(torch.nn.Module):
    """(N, D) features -> (N,) distances d.

    Parameters
    ----------
    features : D. directions : K, at most D.
    """

    mean: Tensor
    basis: Tensor
    variance: Tensor
    rest: Tensor

    def __init__(self, features: int, directions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("basis", torch.zeros(features, directions))
        self.register_buffer("variance", torch.ones(directions))
        self.register_buffer("rest", torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - self.mean
        along = centred @ self.basis
        outside = (centred.square().sum(dim=1) - along.square().sum(dim=1)).clamp(min=0)
        return ((along.square() / self.variance).sum(dim=1) + outside / self.rest).clamp(min=1e-12).sqrt()

    @classmethod
    def fit(cls, features: NDArray[np.floating], directions: int = DIRECTIONS) -> Novelty:
        """The maximum-likelihood model of (N, D) features, N >= 2; at most min(N - 1, D - 1) directions."""
        rows, width = features.shape
        kept = max(1, min(directions, rows - 1, width - 1))
        f = features.astype(np.float64)
        mean = f.mean(axis=0)
        _, singular, basis = np.linalg.svd(f - mean, full_matrices=False)
        variance = singular**2 / rows
        floor = max(float(variance.sum()) * 1e-6, 1e-12)
        made = cls(width, kept)
        made.mean.copy_(torch.from_numpy(mean))
        made.basis.copy_(torch.from_numpy(np.ascontiguousarray(basis[:kept].T)))
        made.variance.copy_(torch.from_numpy(np.maximum(variance[:kept], floor)))
        made.rest.fill_(max(float(variance[kept:].sum()) / max(1, width - kept), floor))
        return made
