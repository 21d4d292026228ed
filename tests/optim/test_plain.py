"""The plain rule is one optimiser step along the gradient of the total, and nothing more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from verisight.optim.plain import Plain
from verisight.optim.rule import Losses

X = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]], dtype=torch.float64)
Y = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def weights() -> Parameter:
    return Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))


def halves(w: Tensor) -> Callable[[], list[Losses]]:
    """Squared error in two named parts: the first row, and the others."""

    def closure() -> list[Losses]:
        residual = X @ w - Y
        return [Losses({"first": residual[:1].square().sum(), "others": residual[1:].square().sum()})]

    return closure


def test_a_step_is_the_hand_written_sgd_step() -> None:
    w = weights()
    gradient = 2 * X.T @ (X @ w.detach() - Y)
    expected = w.detach() - 0.05 * gradient
    Plain().step(halves(w), [w], torch.optim.SGD([w], lr=0.05))
    torch.testing.assert_close(w.detach(), expected, rtol=0, atol=1e-15)


def test_the_losses_returned_are_those_at_the_old_weights_and_their_sum_is_the_total() -> None:
    w = weights()
    (before,) = halves(w)()
    losses = Plain().step(halves(w), [w], torch.optim.SGD([w], lr=0.05))
    assert all(losses.parts[name].equal(before.parts[name]) for name in ("first", "others"))
    assert float(losses.total.detach()) == pytest.approx(float((X @ weights().detach() - Y).square().sum()))
    (after,) = halves(w)()
    assert after.total < losses.total


def test_the_closure_runs_once() -> None:
    w, calls = weights(), []

    def counted() -> list[Losses]:
        calls.append(1)
        return halves(w)()

    Plain().step(counted, [w], torch.optim.SGD([w], lr=0.05))
    assert len(calls) == 1


def test_gradients_do_not_pile_up_over_steps_or_from_elsewhere() -> None:
    w, reference = weights(), weights()
    w.grad = torch.full_like(w, 1e6)  # left behind by somebody
    ours, theirs = torch.optim.SGD([w], lr=0.05), torch.optim.SGD([reference], lr=0.05)
    for _ in range(3):
        Plain().step(halves(w), [w], ours)
        theirs.zero_grad()
        halves(reference)()[0].total.backward()
        theirs.step()
    torch.testing.assert_close(w, reference, rtol=0, atol=1e-15)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
def test_unused_parameters_are_left_alone_even_by_weight_decay(optimiser: type) -> None:
    w, unused = weights(), Parameter(torch.ones(2, dtype=torch.float64))
    unused.grad = torch.ones_like(unused)
    steps = optimiser([w, unused], lr=0.1, weight_decay=0.5)
    Plain().step(halves(w), [w, unused], steps)
    assert unused.tolist() == [1, 1]
    assert unused.grad is None
    assert not w.equal(weights())


def test_parameters_that_it_is_not_given_get_no_gradient() -> None:
    w, frozen = weights(), Parameter(torch.ones(2, dtype=torch.float64))

    def closure() -> list[Losses]:
        return [Losses({"loss": ((w * frozen) @ X.T - Y).square().sum()})]

    Plain().step(closure, [w], torch.optim.SGD([w, frozen], lr=0.05))
    assert frozen.grad is None
    assert frozen.tolist() == [1, 1]


def test_the_losses_that_come_back_hold_no_graph() -> None:
    w = weights()
    losses = Plain().step(halves(w), [w], torch.optim.SGD([w], lr=0.05))
    assert not any(value.requires_grad for value in losses.parts.values())
