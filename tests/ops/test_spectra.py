"""Transforms against SciPy and NumPy, sums of squares, and the bins of a ring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from verisight.ops.spectra import dct2, fft2, radius

X = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5, 6, 7)))


@pytest.mark.parametrize(("norm", "factor"), [("forward", 1 / 42), ("ortho", 1.0)])
def test_the_fourier_transform(norm: str, factor: float) -> None:
    found = fft2(X, norm)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, np.fft.fft2(X.numpy(), norm=norm), atol=1e-13)
    assert float(found.abs().square().sum()) == pytest.approx(factor * float(X.square().sum()), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: fft2(x, norm), X[0, 0].clone().requires_grad_())  # type: ignore[arg-type]


def test_the_cosine_transform() -> None:
    found = dct2(X)
    np.testing.assert_allclose(found, dctn(X.numpy(), type=2, axes=(2, 3), norm="ortho"), atol=1e-12)
    assert float(found.square().sum()) == pytest.approx(float(X.square().sum()), rel=1e-12)
    assert dct2(X.float()).dtype == torch.float32
    assert torch.autograd.gradcheck(dct2, X[0, 0].clone().requires_grad_())


def test_frequencies() -> None:
    assert int((radius(8, 8) >= 0.25).sum()) == 55
    assert float(radius(8, 8)[4, 4]) == pytest.approx(0.5 * 2**0.5)
    assert float(radius(4, 6)[0, 1]) == pytest.approx(1 / 6)
    assert float(radius(8, 8, "dct")[0, 7]) == pytest.approx(7 / 16)
