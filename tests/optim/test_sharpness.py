"""SAM steps with the gradient at the worst point of the neighbourhood, from where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from verisight.core.errors import RecipeError
from verisight.engine.train import update_rule
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses, UpdateRule
from verisight.optim.sharpness import SAM

Closure = Callable[[], Iterable[Losses]]


def net() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))


def data(step: int) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(step)
    return torch.randn(6, 5, generator=made), torch.randn(6, 1, generator=made)


def loss_of(model: torch.nn.Module, step: int) -> Tensor:
    x, y = data(step)
    return (model(x) - y).square().mean()


def trained(rule: UpdateRule, steps: int = 5) -> list[Tensor]:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(steps):
        rule.step(lambda s=step: [Losses({"l": loss_of(model, s)})], list(model.parameters()), optimizer)
    return [p.detach() for p in model.parameters()]


def test_on_a_quadratic_the_step_is_the_closed_form() -> None:
    """L = w'Aw / 2: g = Aw, eps = rho g / |g|, w <- w - lr A (w + eps)."""
    A = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    w = Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    before, g = w.detach().clone(), A @ w.detach()
    losses = SAM(0.3).step(lambda: [Losses({"l": w @ A @ w / 2})], [w], torch.optim.SGD([w], lr=0.05))
    torch.testing.assert_close(w.detach(), before - 0.05 * A @ (before + 0.3 * g / g.norm()), rtol=1e-14, atol=0)
    assert float(losses.parts["l"]) == pytest.approx(float(before @ A @ before / 2))  # at the old weights


def test_five_steps_over_sgd_are_those_of_an_implementation_with_backward() -> None:
    rho, model = 0.4, net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(5):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        length = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        moves = [rho * p.grad / length for p in model.parameters()]
        with torch.no_grad():
            old = [p.clone() for p in model.parameters()]
            for p, move in zip(model.parameters(), moves, strict=True):
                p += move
        optimizer.zero_grad()
        loss_of(model, step).backward()
        with torch.no_grad():
            for p, before in zip(model.parameters(), old, strict=True):
                p.copy_(before)
        optimizer.step()
    expected = [p.detach() for p in model.parameters()]
    torch.testing.assert_close(trained(SAM(rho)), expected, rtol=1e-5, atol=1e-6)
    apart = max(float((a - b).abs().max()) for a, b in zip(trained(Plain()), expected, strict=True))
    assert apart > 1e-3  # plain is something else


def test_a_radius_of_zero_is_plain_bit_for_bit_in_one_pass() -> None:
    assert all(a.equal(b) for a, b in zip(trained(SAM(0)), trained(Plain()), strict=True))
    assert passes(SAM(0)) == passes(Plain()) == 1
    assert passes(SAM(0.1)) == 2


def passes(rule: UpdateRule) -> int:
    w, calls = Parameter(torch.ones(1)), list[int]()

    def closure() -> list[Losses]:
        calls.append(1)
        return [Losses({"l": w.square().sum()})]

    rule.step(closure, [w], torch.optim.SGD([w], lr=0.1))
    return len(calls)


def test_the_radius_is_that_of_all_parameters_together() -> None:
    p, q, unused = (Parameter(torch.tensor([value])) for value in (3.0, 4.0, 5.0))
    seen = []

    def closure() -> list[Losses]:
        seen.append((p.item(), q.item(), unused.item()))
        return [Losses({"l": (p.square() + q.square()).sum() / 2})]

    SAM(5.0).step(closure, [p, q, unused], torch.optim.SGD([p, q], lr=0.1))
    assert seen == [(3.0, 4.0, 5.0), (pytest.approx(6.0), pytest.approx(8.0), 5.0)]


def test_when_the_second_pass_fails_the_weights_are_where_they_were() -> None:
    w, calls = Parameter(torch.rand(100)), list[int]()
    before = w.detach().clone()

    def closure() -> list[Losses]:
        calls.append(1)
        if len(calls) == 2:
            assert not w.equal(before)
            raise ZeroDivisionError
        return [Losses({"l": w.square().sum()})]

    with pytest.raises(ZeroDivisionError):
        SAM(0.1).step(closure, [w], torch.optim.SGD([w], lr=0.1))
    assert w.equal(before)


def test_where_the_gradient_is_zero_nothing_moves() -> None:
    w, elsewhere = Parameter(torch.ones(2)), Parameter(torch.ones(()))
    SAM(0.1).step(lambda: [Losses({"l": (w * 0).sum()})], [w], torch.optim.SGD([w], lr=0.1))
    SAM(0.1).step(lambda: [Losses({"l": elsewhere * 1})], [w], torch.optim.SGD([w], lr=0.1))
    assert w.tolist() == [1, 1]


@pytest.mark.parametrize("rho", [-1, float("nan"), float("inf")])
def test_a_radius_out_of_range_is_refused_by_name(rho: float) -> None:
    with pytest.raises(RecipeError, match=r"^rule\.rho: must be at least 0, got .*; the paper uses 0\.05$"):
        update_rule({"id": "sam", "rho": rho})


@pytest.mark.parametrize(("block", "named"), [({"rho": "wide"}, "number"), ({"radius": 1}, "radius")])
def test_other_arguments_are_refused_in_a_line(block: dict[str, Any], named: str) -> None:
    with pytest.raises(RecipeError, match=rf"^rule sam: .*{named}.*; see: verisight info sam$"):
        update_rule({"id": "sam", **block})
