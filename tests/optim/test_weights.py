"""AWP steps with the gradient at weights that were moved against the loss, each by the same share of its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import cross_entropy

from verisight.core.errors import RecipeError
from verisight.data.batch import Batch
from verisight.engine.train import update_rule
from verisight.optim.gradient import gradient
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses, Steps, UpdateRule
from verisight.optim.sharpness import SAM
from verisight.optim.weights import AWP
from verisight.tasks.deepfake.erm import ERM
from verisight.testing import check_rule

F64 = torch.float64


class Still:
    def step(self) -> None:
        pass


class Looking:
    """An inner rule that notes the weights where it is called and the loss there."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.loss = 0.0

    def step(self, closure: Callable[[], Iterable[Losses]], parameters: list[Parameter], optimizer: Steps) -> Losses:
        self.weights = [p.detach().clone() for p in parameters]
        losses = Plain().step(closure, parameters, optimizer)
        self.loss = float(losses.total)
        return losses


def example() -> tuple[list[Parameter], Callable[[], list[Losses]]]:
    """relu(x W1') W2' of the specification: two weights, two rows."""
    W1 = Parameter(torch.tensor([[1, -1], [2, 0]], dtype=F64))
    W2 = Parameter(torch.tensor([[1, 0.5], [-1, 1]], dtype=F64))
    x, y = torch.tensor([[1, 0.5], [0.5, 2]], dtype=F64), torch.tensor([0, 1])
    return [W1, W2], lambda: [Losses({"ce": cross_entropy(torch.relu(x @ W1.T) @ W2.T, y)}, rows=2)]


def moved(gamma: float, scale: float = 1.0, rule: Callable[[UpdateRule], UpdateRule] | None = None) -> Looking:
    """Where the inner rule looked. scale : W1 times, W2 divided by it: the same function."""
    weights, closure = example()
    with torch.no_grad():
        weights[0].mul_(scale)
        weights[1].div_(scale)
    inner = Looking()
    AWP(gamma, inner=inner).step(closure, weights, Still())
    return inner


def test_it_keeps_the_contract() -> None:
    check_rule(AWP)


# --- closed forms ---


def test_one_weight_moves_along_its_gradient_by_a_share_of_its_length() -> None:
    W, inner = Parameter(torch.tensor([[3.0, 4.0]])), Looking()
    AWP(0.01, inner=inner).step(lambda: [Losses({"l": 2 * W[0, 1]})], [W], Still())
    torch.testing.assert_close(inner.weights[0], torch.tensor([[3.0, 4.05]]))
    assert W.tolist() == [[3.0, 4.0]]


def test_the_example_of_the_specification() -> None:
    weights, closure = example()
    start, g = gradient(closure, weights)
    assert float(start.total) == pytest.approx(0.583612, abs=1e-6)
    assert g[0] is not None
    assert g[0].flatten().tolist() == pytest.approx([-0.5, -0.25, 0.077807, -0.126270], abs=1e-6)
    found = moved(0.1)
    delta = [(after - before.detach()) for after, before in zip(found.weights, weights, strict=True)]
    assert delta[0].flatten().tolist() == pytest.approx([-0.211762, -0.105881, 0.032953, -0.053479], abs=1e-6)
    assert found.loss == pytest.approx(0.874090, abs=1e-6)
    assert moved(0.01).loss == pytest.approx(0.607022, abs=1e-6)
    for d, w in zip(delta, weights, strict=True):
        assert float(d.norm() / w.detach().norm()) == pytest.approx(0.1)
    first_order = sum(float((d * each).sum()) for d, each in zip(delta, g, strict=True) if each is not None)
    bound = 0.1 * sum(
        float(w.detach().norm() * each.norm()) for w, each in zip(weights, g, strict=True) if each is not None
    )
    assert first_order == pytest.approx(bound)
    assert float(start.total) + first_order == pytest.approx(0.810789, abs=1e-6)


def test_the_gradient_that_steps_is_the_one_up_there() -> None:
    weights, closure = example()
    AWP(0.1).step(closure, weights, Still())
    assert weights[0].grad is not None
    expected = [-0.701814, -0.350907, 0.209029, -0.113659]
    assert weights[0].grad.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_scaling_one_layer_up_and_the_next_down_changes_awp_nothing_and_sam_something() -> None:
    assert moved(0.1, scale=3).loss == pytest.approx(moved(0.1).loss, abs=1e-12)

    def sharp(scale: float) -> float:
        weights, closure = example()
        with torch.no_grad():
            weights[0].mul_(scale)
            weights[1].div_(scale)
        _, g = gradient(closure, weights)
        length = torch.stack([each.norm() for each in g if each is not None]).norm()
        with torch.no_grad():
            for weight, each in zip(weights, g, strict=True):
                weight.add_(0.1 * each / length)
        return float(closure()[0].total.detach())

    assert (sharp(1), sharp(3)) == pytest.approx((0.666018, 0.781345), abs=1e-6)


def test_with_one_tensor_it_is_sam_of_a_radius_by_length() -> None:
    A = torch.diag(torch.tensor([4.0, 1.0], dtype=F64))
    found = []
    for rule in (AWP(0.1), SAM(0.1 * 2**0.5)):
        w = Parameter(torch.ones(2, 1, dtype=F64))
        rule.step(lambda w=w: [Losses({"l": (w.T @ A @ w).squeeze() / 2})], [w], Still())
        assert w.grad is not None
        found.append(w.grad.flatten().tolist())
    assert found[0] == pytest.approx([4.548795, 1.034300], abs=1e-6)
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_a_corruption_of_the_input_is_a_change_of_the_weights() -> None:
    """W (x + e) = (W + W e x' / |x|^2) x, of relative size |W e| / (|x| |W|): why flat weights tolerate corruption."""
    made = torch.Generator().manual_seed(0)
    W, x, e = (torch.randn(*s, generator=made, dtype=F64) for s in ((5, 4), (4,), (4,)))
    change = torch.outer(W @ e, x) / x.square().sum()
    torch.testing.assert_close((W + change) @ x, W @ (x + e), rtol=1e-12, atol=1e-12)
    assert float(change.norm()) == pytest.approx(float((W @ e).norm() / x.norm()))


# --- what is moved, and when ---


def losses_of(weights: list[Parameter]) -> Callable[[], list[Losses]]:
    return lambda: [Losses({"l": sum((w.square().sum() for w in weights), torch.zeros(()))})]


def test_biases_and_frozen_weights_stay() -> None:
    bias, used, unused = Parameter(torch.ones(3)), Parameter(torch.ones(2, 2)), Parameter(torch.ones(2, 2))
    inner = Looking()
    AWP(0.5, inner=inner).step(losses_of([bias, used]), [bias, used, unused], Still())
    assert inner.weights[0].equal(torch.ones(3))
    assert not inner.weights[1].equal(torch.ones(2, 2))
    assert inner.weights[2].equal(torch.ones(2, 2))


def test_a_weight_without_slope_stays_and_nothing_is_nan() -> None:
    zero, flat = Parameter(torch.zeros(2, 2)), Parameter(torch.ones(2, 2))
    inner = Looking()
    AWP(0.5, inner=inner).step(lambda: [Losses({"l": zero.square().sum() + 0 * flat.sum()})], [zero, flat], Still())
    assert all(w.isfinite().all() for w in inner.weights)
    assert inner.weights[1].equal(torch.ones(2, 2))


def test_a_gradient_that_is_not_finite_moves_nothing_and_is_counted() -> None:
    w, inner = Parameter(torch.ones(1, 1)), Looking()
    rule = AWP(0.5, inner=inner)
    rule.step(lambda: [Losses({"l": (w * float("inf")).sum()})], [w], Still())
    assert rule.skipped == 1
    assert inner.weights[0].item() == 1.0


def steps_where_it_moved(rule: AWP, epochs: int, steps: int) -> list[tuple[int, int]]:
    w = Parameter(torch.ones(1, 1))
    found = []
    for epoch in range(epochs):
        rule.begin_epoch(epoch)
        for step in range(steps):
            passes = [0]

            def closure(passes: list[int] = passes) -> list[Losses]:
                passes[0] += 1
                return [Losses({"l": w.square().sum()})]

            rule.step(closure, [w], Still())
            if passes[0] == 2:
                found.append((epoch, step))
    return found


def test_it_begins_at_an_epoch_and_may_leave_steps_out() -> None:
    assert steps_where_it_moved(AWP(0.1, start_epoch=2), 3, 2) == [(2, 0), (2, 1)]
    assert steps_where_it_moved(AWP(0.1, every=3), 1, 7) == [(0, 0), (0, 3), (0, 6)]
    assert steps_where_it_moved(AWP(0.0), 1, 3) == []


def test_the_count_of_steps_goes_on_after_a_restart() -> None:
    first, second = AWP(0.1, every=3), AWP(0.1, every=3)
    assert steps_where_it_moved(first, 1, 2) == [(0, 0)]
    second.load_state_dict(first.state_dict())
    assert steps_where_it_moved(second, 1, 3) == [(0, 1)]


def test_the_shift_can_climb_one_part_or_something_aside() -> None:
    def closure_of(weights: list[Parameter]) -> Callable[[], list[Losses]]:
        a, b, c = weights
        return lambda: [Losses({"a": a.sum(), "b": b.sum()}, aside={"c": c.sum()})]

    for ascent, which in (("a", 0), ("b", 1), ("c", 2)):
        weights, inner = [Parameter(torch.ones(1, 2)) for _ in range(3)], Looking()
        AWP(0.5, inner=inner, ascent=ascent).step(closure_of(weights), weights, Still())
        assert [not w.equal(torch.ones(1, 2)) for w in inner.weights] == [i == which for i in range(3)]
    with pytest.raises(RecipeError, match=r"rule.ascent=total_loss: .*total"):
        AWP(0.5, ascent="total_loss").step(closure_of(weights), weights, Still())


def test_arguments_out_of_range_are_refused() -> None:
    for wrong in ({"gamma": -1}, {"gamma": float("nan")}, {"every": 0}):
        with pytest.raises(RecipeError, match="rule"):
            AWP(**wrong)


# --- recipes, networks ---


def test_a_recipe_nests_rules() -> None:
    rule = update_rule({"id": "awp", "gamma": 0.002, "inner": {"id": "sam", "rho": 0.1}})
    assert isinstance(rule, AWP)
    assert isinstance(rule.inner, SAM)
    assert rule.inner.rho == 0.1
    with pytest.raises(RecipeError, match="rule sam"):
        update_rule({"id": "sam", "inner": {"id": "plain"}})


def erm_step(rule: UpdateRule, dropout: float = 0.3) -> tuple[ERM, Tensor, int]:
    """A step of a network with batch normalisation and dropout; random state after it; forward passes."""
    torch.manual_seed(0)
    method = ERM(ERM.Config(backbone="test_resnet", init="random", dropout=dropout)).train()
    made = torch.Generator().manual_seed(1)
    inputs, label = torch.randn(8, 3, 32, 32, generator=made), torch.arange(8) % 2
    batch = Batch(inputs, label, None, torch.arange(8))
    passes = [0]
    method.features.register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    parameters = [p for p in method.parameters() if p.requires_grad]
    rule.step(lambda: method._losses(batch), parameters, torch.optim.SGD(parameters, lr=0.1))
    return method, torch.get_rng_state(), passes[0]


def test_buffers_random_state_and_passes() -> None:
    plain, after_plain, once = erm_step(Plain())
    awp, after_awp, twice = erm_step(AWP(0.02))
    assert (once, twice) == (1, 2)
    assert after_plain.equal(after_awp)
    for (name, expected), found in zip(plain.named_buffers(), awp.buffers(), strict=True):
        assert expected.equal(found), name
    assert any(not p.equal(q) for p, q in zip(plain.parameters(), awp.parameters(), strict=True))


def test_both_passes_drop_the_same() -> None:
    """With a shift too small to matter the two gradients are one; with other masks they would not be."""
    plain, _, _ = erm_step(Plain(), dropout=0.5)
    awp, _, _ = erm_step(AWP(1e-9), dropout=0.5)
    for p, q in zip(plain.parameters(), awp.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_gamma_zero_is_the_inner_rule_bit_for_bit() -> None:
    plain, _, _ = erm_step(Plain())
    awp, _, _ = erm_step(AWP(0.0))
    assert all(p.equal(q) for p, q in zip(plain.parameters(), awp.parameters(), strict=True))
