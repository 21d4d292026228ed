"""Transport on lines: closed forms, an independent library, gradients (checks 8 to 10 of ADD's specification)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from verisight.ops.transport import directions, shifted_mass, sliced_wasserstein, wasserstein_1d

F64 = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_shifted_and_stretched_samples() -> None:
    z = normal(50)
    assert float(wasserstein_1d(z, z + 0.7)) == pytest.approx(0.7)
    assert float(wasserstein_1d(z, z + 0.7, p=2)) == pytest.approx(0.49)
    assert float(wasserstein_1d(z, 2 * z, p=2)) == pytest.approx(float(z.square().mean()))


def test_masses_on_four_points() -> None:
    even, left = torch.full((1, 4), 0.25, dtype=F64), torch.tensor([[0.5, 0.5, 0, 0]], dtype=F64)
    assert float(shifted_mass(even, left, torch.arange(4.0, dtype=F64))) == pytest.approx(1)
    order = torch.tensor([2, 0, 3, 1])
    mixed = shifted_mass(even[:, order], left[:, order], torch.arange(4.0, dtype=F64)[order])
    assert float(mixed) == pytest.approx(1)
    four, two = torch.tensor([0.0, 1, 2, 3], dtype=F64), torch.tensor([0.0, 0, 1, 1], dtype=F64)
    assert float(wasserstein_1d(four, two, p=2)) == pytest.approx(1.5)


@pytest.mark.parametrize("k", range(6))
def test_a_unit_of_mass_costs_what_it_moves(k: int) -> None:
    at = torch.eye(6, dtype=F64)
    assert float(shifted_mass(at[:1], at[k : k + 1], torch.linspace(0, 1, 6, dtype=F64))) == pytest.approx(k / 5)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (6, 4), (5, 12), (1, 3)])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_samples_against_an_independent_library(n: int, m: int, p: float) -> None:
    ot: Any = pytest.importorskip("ot")
    x, y = normal(n), normal(m, seed=1)
    assert float(wasserstein_1d(x, y, p)) == pytest.approx(float(ot.wasserstein_1d(x, y, p=p)), rel=1e-12)
    batch = wasserstein_1d(normal(3, n), normal(3, m, seed=1), p)
    assert batch.shape == (3,)


def test_sliced_distance_and_gradient_against_an_independent_library() -> None:
    ot: Any = pytest.importorskip("ot")
    x, y = normal(32, 6).requires_grad_(), normal(32, 6, seed=1) * 1.5
    theta = directions(6, 20, torch.Generator().manual_seed(2), dtype=F64)
    for p in (1, 2):
        theirs = ot.sliced_wasserstein_distance(x, y, projections=theta.T, p=p)
        ours = sliced_wasserstein(x, y, theta, p) ** (1 / p)
        assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-12)
        torch.testing.assert_close(*(torch.autograd.grad(value, x)[0] for value in (ours, theirs)))


def test_samples_of_unlike_number_against_an_independent_library() -> None:
    ot: Any = pytest.importorskip("ot")
    x, y = normal(12, 3).requires_grad_(), normal(8, 3, seed=1)
    theta = directions(3, 10, torch.Generator().manual_seed(2), dtype=F64)
    theirs, ours = ot.sliced_wasserstein_distance(x, y, projections=theta.T, p=2) ** 2, sliced_wasserstein(x, y, theta)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(value, x)[0] for value in (ours, theirs)))


def test_masses_against_an_independent_library() -> None:
    ot: Any = pytest.importorskip("ot")
    m = torch.rand(2, 9, generator=torch.Generator().manual_seed(0), dtype=F64)
    m, at = m / m.sum(dim=1, keepdim=True), normal(9)
    expected = ot.wasserstein_1d(at, at, m[0], m[1], p=1)
    assert float(shifted_mass(m[:1], m[1:], at)) == pytest.approx(float(expected), rel=1e-12)
    apart = float((m[0] - m[1]).abs().sum())
    assert float(shifted_mass(m[:1], m[1:], at)) <= float(at.max() - at.min()) / 2 * apart + 1e-12


def test_masses_on_several_lines_cost_their_mean_and_autograd_one_tensor() -> None:
    m = torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(0), dtype=F64)
    m, lines = m / m.sum(dim=2, keepdim=True), normal(5, 9)
    each = torch.stack([shifted_mass(m[0], m[1], line) for line in lines])
    torch.testing.assert_close(shifted_mass(m[0], m[1], lines), each.mean(dim=0))
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):  # type: ignore[func-returns-value]
        shifted_mass(m[0].clone().requires_grad_(), m[1], lines)
    assert [x.shape for x in kept] == [(3, 9)]


def test_gradients_of_masses_are_those_of_the_area_between_cumulative_sums() -> None:
    """Also where the two do not weigh the same, as of a dead map."""
    m, at = torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(0), dtype=F64), normal(9)
    m_s, order = m[0].clone().requires_grad_(), at.argsort()
    area = ((m_s - m[1])[:, order].cumsum(dim=1)[:, :-1].abs() * at[order].diff()).sum(dim=1)
    ours = shifted_mass(m_s, m[1], at)
    torch.testing.assert_close(ours, area)
    torch.testing.assert_close(*(torch.autograd.grad(value.sum(), m_s)[0] for value in (ours, area)))
    assert torch.autograd.gradcheck(lambda m_s: shifted_mass(m_s, m[1], at), m_s)


def test_gaussians_have_a_closed_form() -> None:
    """SW_2^2 of N(0, I) and N(mu, s^2 I) is |mu|^2 / d + (1 - s)^2; along theta alone (theta . mu)^2 + (1 - s)^2."""
    mu = torch.tensor([1.0, 0, 0, 0, 0], dtype=F64)
    x, y = normal(20000, 5), mu + 1.5 * normal(20000, 5, seed=1)
    theta = directions(5, 500, torch.Generator().manual_seed(2), dtype=F64)
    found = float(sliced_wasserstein(x, y, theta))
    assert found == pytest.approx(0.45, abs=0.04)
    assert found == pytest.approx(float((theta @ mu).square().mean()) + 0.25, abs=0.02)


@pytest.mark.parametrize("p", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("m", [5, 4])
def test_gradients_agree_with_differences(p: float, m: int) -> None:
    x, y = normal(2, 5).requires_grad_(), normal(2, m, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: wasserstein_1d(x, y, p), (x, y))
    assert torch.autograd.gradgradcheck(lambda x, y: wasserstein_1d(x, y, p), (x, y))  # as a gradient penalty asks for


@pytest.mark.parametrize("m", [5, 4])
def test_one_sample_against_many(m: int) -> None:
    many, one = normal(3, 5), normal(1, m, seed=1).requires_grad_()
    torch.testing.assert_close(wasserstein_1d(many, one, 2), wasserstein_1d(many, one.expand(3, m), 2))
    assert torch.autograd.gradcheck(lambda y: wasserstein_1d(many, y, 2), one)


def test_directions_are_unit_vectors_that_repeat_under_a_seed() -> None:
    first, again = (directions(3, 7, torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.equal(again)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(7))


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
def test_precisions(dtype: torch.dtype) -> None:
    x, y = normal(4, 8).to(dtype).requires_grad_(), normal(4, 8, seed=1).to(dtype)
    value = wasserstein_1d(x, y, 2).sum()
    (g,) = torch.autograd.grad(value, x)
    assert value.dtype == g.dtype == dtype
    exact = float(wasserstein_1d(x.detach().double(), y.double(), 2).sum())
    assert float(value.detach()) == pytest.approx(exact, rel=0.05)


def test_autocast_is_not_obeyed() -> None:
    x, y, theta = normal(16, 64).float(), normal(16, 64, seed=1).float(), directions(64, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = sliced_wasserstein(x, y, theta)
    assert inside.equal(sliced_wasserstein(x, y, theta))
    assert sliced_wasserstein(x.bfloat16(), y.bfloat16(), theta).dtype == torch.float32
