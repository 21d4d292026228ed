"""Dependence measures: closed forms, invariances, limits, gradients (the checks 1 to 13 of the specification)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from verisight.ops.dependence import (
    MEASURES,
    SMALLEST,
    biased,
    cka,
    gaussian_kernel,
    linear_kernel,
    nocco,
    unbiased,
)

X = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 1]], dtype=torch.float64)
Y = torch.tensor([[0, 1], [1, 1], [1, 3], [4, 0]], dtype=torch.float64)
EXACT = {"rel": 1e-9, "abs": 1e-12}


def of(name: str, x: Tensor, y: Tensor, sigma: float = 6.0) -> float:
    return float(MEASURES[name](gaussian_kernel(x, sigma), gaussian_kernel(y, sigma)))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


# --- values ---


def test_linear_biased_is_the_norm_of_the_cross_covariance() -> None:
    K, L = linear_kernel(X), linear_kernel(Y)
    C = (X - X.mean(0)).T @ (Y - Y.mean(0)) / 3
    assert C.flatten().tolist() == pytest.approx([7 / 3, -4 / 3, 0.5, 0.75])
    assert float(biased(K, L)) == pytest.approx(float(C.square().sum()), **EXACT)
    assert float(biased(K, L)) == pytest.approx(8.034722, abs=1e-6)
    assert float(unbiased(K, L)) == pytest.approx(1.083333, abs=1e-6)
    assert float(cka(K, L)) == pytest.approx(0.968157, abs=1e-6)
    assert float(nocco(K, L)) == pytest.approx(1.939977, abs=1e-6)


@pytest.mark.parametrize(
    ("sigma", "kernel", "values"),
    [
        (1.0, (0.778801, 0.082085), (0.215125, 0.0236559, 0.983932, 0.799321, 2.999438)),
        (6.0, (0.993080, 0.932912), (1.414821e-3, 1.807813e-4, 0.968465, 0.940491, 2.860902)),
    ],
)
def test_gaussian_values(sigma: float, kernel: tuple[float, float], values: tuple[float, ...]) -> None:
    K = gaussian_kernel(X, sigma)
    assert (float(K[0, 1]), float(K[2, 3])) == pytest.approx(kernel, abs=1e-6)
    for name, value in zip(("biased", "unbiased", "cka", "cka_u", "nocco"), values, strict=True):
        assert of(name, X, Y, sigma) == pytest.approx(value, rel=1e-5), name


def test_biased_of_a_set_with_itself() -> None:
    assert of("biased", X, X, 1.0) == pytest.approx(0.200113, abs=1e-6)


def test_nocco_of_a_set_with_itself_is_a_sum_over_eigenvalues_and_below_n_minus_one() -> None:
    K = gaussian_kernel(X)
    H = torch.eye(4, dtype=torch.float64) - 0.25
    lam = torch.linalg.eigvalsh(H @ K @ H).clamp(min=0)
    expected = float((lam / (lam + 4e-5)).square().sum())
    assert of("nocco", X, X) == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(2.816341, abs=1e-6)


def test_trace_is_biased_without_its_divisor() -> None:
    assert of("trace", X, Y) == pytest.approx(9 * of("biased", X, Y), **EXACT)


@pytest.mark.parametrize(("sigma", "value"), [(10, 7.77341), (100, 8.03206), (1000, 8.03469)])
def test_a_wide_gaussian_becomes_the_linear_kernel(sigma: float, value: float) -> None:
    assert sigma**4 * 4 * of("biased", X, Y, sigma) == pytest.approx(value, rel=2e-6)


def test_the_median_sets_the_width() -> None:
    z = normal(9, 3)
    squared = torch.cdist(z, z).square()
    expected = torch.exp(-squared / squared[~torch.eye(9, dtype=torch.bool)].median())
    torch.testing.assert_close(gaussian_kernel(z, "median"), expected)


@pytest.mark.parametrize("width", [2, 64, 4096])
def test_without_the_width_in_the_kernel_wide_features_are_all_apart(width: int) -> None:
    z = normal(200, width)
    off = ~torch.eye(200, dtype=torch.bool)
    scaled, plain = (gaussian_kernel(z, 6.0, scale_by_dim=s)[off].mean() for s in (True, False))
    assert float(scaled) == pytest.approx((1 + 2 / (36 * width)) ** (-width / 2), abs=2e-3)
    assert float(plain) == pytest.approx((1 + 2 / 36) ** (-width / 2), abs=2e-2)


# --- invariances ---


@pytest.mark.parametrize("name", MEASURES)
def test_what_changes_nothing(name: str) -> None:
    value, order = of(name, X, Y), [2, 0, 3, 1]
    turn = torch.linalg.qr(normal(2, 2))[0]
    assert of(name, X[order], Y[order]) == pytest.approx(value, rel=1e-7)
    assert of(name, X @ turn + 5, Y) == pytest.approx(value, rel=1e-7)
    assert of(name, torch.cat([X, X], 1), Y) == pytest.approx(value, rel=1e-7)
    assert of(name, -X, Y) == pytest.approx(value, rel=1e-7)  # though logits read off -X would be turned round
    assert of(name, Y, X) == pytest.approx(value, rel=1e-7)
    scaled = MEASURES[name](gaussian_kernel(3 * X, 18.0), gaussian_kernel(Y))
    assert float(scaled) == pytest.approx(value, rel=1e-7)


def test_what_changes_something() -> None:
    padded = torch.cat([X, torch.zeros_like(X)], 1)
    assert float(gaussian_kernel(padded, 1.0)[0, 1]) == pytest.approx(0.882497, abs=1e-6)
    for name, factor in {"biased": 12.319, "nocco": 1.0446, "cka": 1.00097}.items():
        assert of(name, 2 * X, 2 * Y) / of(name, X, Y) == pytest.approx(factor, rel=1e-4), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [name for name in MEASURES if name != "trace"])
def test_a_constant_tap_depends_on_nothing_and_has_no_wild_gradient(name: str, dtype: torch.dtype) -> None:
    flat = torch.full((6, 5), 0.3, dtype=dtype, requires_grad=True)
    other = normal(6, 3).to(dtype)
    value = MEASURES[name](gaussian_kernel(flat), gaussian_kernel(other))
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    (g,) = torch.autograd.grad(value, flat)
    assert g.isfinite().all()


@pytest.mark.parametrize("name", ["biased", "nocco"])
def test_centring_one_side_is_enough(name: str) -> None:
    """As reference code does: K H and L H in place of H K H and H L H."""
    K, L = gaussian_kernel(X), gaussian_kernel(Y)
    H = torch.eye(4, dtype=torch.float64) - 0.25
    if name == "biased":
        expected = torch.trace(K @ H @ L @ H) / 9
    else:
        add = 4e-5 * torch.eye(4, dtype=torch.float64)
        R_K, R_L = (M @ H @ torch.linalg.inv(M @ H + add) for M in (K, L))
        expected = torch.trace(R_K @ R_L)
    assert of(name, X, Y) == pytest.approx(float(expected), rel=1e-7)


def test_identical_taps_have_alignment_one() -> None:
    assert of("cka", X, X) == pytest.approx(1, **EXACT)
    assert of("cka_u", X, X) == pytest.approx(1, **EXACT)


# --- pairing and independence ---


def test_over_all_pairings_the_unbiased_one_is_zero_on_the_mean() -> None:
    K, L = gaussian_kernel(X, 1.0), gaussian_kernel(Y, 1.0)
    every = [list(p) for p in permutations(range(4))]
    values = [float(biased(K, L[p][:, p])) for p in every]
    assert np.mean([float(unbiased(K, L[p][:, p])) for p in every]) == pytest.approx(0, abs=1e-12)
    H = torch.eye(4, dtype=torch.float64) - 0.25
    assert np.mean(values) == pytest.approx(float(torch.trace(H @ K) * torch.trace(H @ L) / 27), **EXACT)
    assert np.mean(values) == pytest.approx(0.169957, abs=1e-6)
    assert max(values) == values[0] == pytest.approx(0.215125, abs=1e-6)


def test_a_swapped_pair_is_seen() -> None:
    swapped = Y[[1, 0, 2, 3]]
    expected = {"biased": 1.174968e-3, "unbiased": -1.916782e-4, "nocco": 2.860155, "cka": 0.804282}
    for name, value in expected.items():
        assert of(name, X, swapped) == pytest.approx(value, rel=1e-5), name


def test_many_dimensions_saturate_all_but_the_debiased_measure() -> None:
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(32, 512))) for _ in range(2))
    half = (a + b) / 2**0.5
    nocco_of, cka_of, cka_u_of = ([of(name, a, z) for z in (a, half, b)] for name in ("nocco", "cka", "cka_u"))
    assert max(nocco_of) - min(nocco_of) < 0.1
    assert cka_of[2] > 0.9
    assert cka_u_of[0] == pytest.approx(1)
    assert 0.4 < cka_u_of[1] < 0.6
    assert abs(cka_u_of[2]) < 0.1


@pytest.mark.parametrize(("n", "mean_biased"), [(4, 0.0891), (8, 0.0385), (32, 0.0086)])
def test_under_independence_the_unbiased_one_has_mean_zero(n: int, mean_biased: float) -> None:
    rng = np.random.default_rng(n)
    draws = 4000 if n < 32 else 1500
    found = []
    for _ in range(draws):
        x, y = torch.from_numpy(rng.normal(size=(n, 3))), torch.from_numpy(rng.normal(size=(n, 2)))
        K, L = gaussian_kernel(x, 1.0), gaussian_kernel(y, 1.0)
        found.append((float(unbiased(K, L)), float(biased(K, L))))
    free, held = np.array(found).T
    assert abs(free.mean()) < 3.5 * free.std() / draws**0.5
    assert held.mean() == pytest.approx(mean_biased, rel=0.05)


def test_half_batches_are_not_the_batch() -> None:
    x = normal(64, 8)
    y = x + 0.5 * normal(64, 8, seed=1)
    for name in ("biased", "nocco"):
        halves = (of(name, x[:32], y[:32]) + of(name, x[32:], y[32:])) / 2
        assert abs(halves / of(name, x, y) - 1) > 0.03, name


# --- gradients ---


def gradient(name: str, kernel: str = "gaussian", sigma: float = 6.0) -> Tensor:
    x = X.clone().requires_grad_()
    of_x = linear_kernel(x) if kernel == "linear" else gaussian_kernel(x, sigma)
    of_y = linear_kernel(Y) if kernel == "linear" else gaussian_kernel(Y, sigma)
    return torch.autograd.grad(MEASURES[name](of_x, of_y), x)[0]


def test_gradients_have_the_published_values() -> None:
    g = gradient("biased", sigma=1.0)
    assert g[0].tolist() == pytest.approx([0.00318598, -0.02003740], abs=1e-8)
    assert g[3].tolist() == pytest.approx([0.0355532, 0.01076447], abs=1e-7)
    g = gradient("biased", "linear")
    assert g[0].tolist() == pytest.approx([-19 / 9, -0.625], abs=1e-8)
    assert g[3].tolist() == pytest.approx([5, 0.20833333], abs=1e-8)
    assert gradient("nocco", sigma=1.0)[0].tolist() == pytest.approx([-3.7246e-4, -6.393e-5], rel=1e-3)


def test_the_linear_gradient_has_a_closed_form() -> None:
    H = torch.eye(4, dtype=torch.float64) - 0.25
    torch.testing.assert_close(gradient("biased", "linear"), 2 * H @ linear_kernel(Y) @ H @ X / 9)


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_agree_with_differences(name: str) -> None:
    z = normal(5, 3).requires_grad_()
    other = gaussian_kernel(normal(5, 2, seed=1), 1.0)
    assert torch.autograd.gradcheck(lambda z: MEASURES[name](gaussian_kernel(z, 1.0), other), z)


@pytest.mark.parametrize("name", MEASURES)
def test_a_step_along_the_gradient_raises_dependence(name: str) -> None:
    g = gradient(name, sigma=1.0)
    step = 1e-3 * g / g.norm()
    assert of(name, X + step, Y, 1.0) > of(name, X, Y, 1.0)


# --- numbers ---


def test_a_common_offset_costs_no_digits() -> None:
    z = (normal(64, 2000) + 3).float()
    exact = gaussian_kernel(z.double())
    assert float((gaussian_kernel(z) - exact).abs().max()) < 2e-6


def test_autocast_is_not_obeyed() -> None:
    z = normal(8, 16).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gaussian_kernel(z)
        assert nocco(inside, inside).dtype == torch.float64
    assert inside.equal(gaussian_kernel(z))
    assert gaussian_kernel(z.bfloat16()).dtype == torch.float64


@pytest.mark.parametrize("name", MEASURES)
def test_wide_features_in_single_precision_keep_their_measure(name: str) -> None:
    """Distances concentrate: of 20,000 features the Gram matrix is constant to the third digit."""
    a = normal(16, 20_000)
    b = 0.7 * a + 0.7 * normal(16, 20_000, seed=1)
    assert of(name, a.float(), b.float()) == pytest.approx(of(name, a, b), rel=2e-2)


@pytest.mark.parametrize("name", MEASURES)
def test_the_fewest_rows_give_a_finite_value(name: str) -> None:
    n = SMALLEST[name]
    assert np.isfinite(of(name, normal(n, 3), normal(n, 2, seed=1)))
