"""Small right attacks keep the contract, and each way of breaking it is called by the name of its clause.

The catalogue holds no attack yet; FGSM and PGD below are the measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import Module

from verisight.testing import ContractError, check_attack, name_of
from verisight.testing.attack import ATTACK_CLAUSES, Attack, AttackCase, Threat


def model() -> Module:
    """A smooth network with batch normalisation and dropout, so that a wrong mode would show."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.Softplus(), torch.nn.Dropout(0.5)]
    network = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(6 * 36, 1), torch.nn.Flatten(0))
    network[1].running_mean += 0.1
    return network.eval()


def inputs() -> Tensor:
    rows = torch.rand(4, 3, 8, 8, generator=Generator().manual_seed(1))
    rows[:, :, 0] = 0.0  # values at both bounds
    rows[:, :, 1] = 1.0
    return rows


LABEL = torch.tensor([0, 1, 1, 0])


class PGD:
    """Projected gradient ascent from a random start, the best point of each row kept."""

    __name__ = "PGD"

    def __init__(self, steps: int = 4, *, start: bool = True) -> None:
        self.steps, self.start = steps, start

    def __call__(
        self, model: Module, inputs: Tensor, label: Tensor, *, threat: Threat, streams: Sequence[Generator]
    ) -> Tensor:
        if threat.eps == 0:
            return inputs.clone()
        modes, needed = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
        model.eval().requires_grad_(False)
        try:
            return self.search(model, inputs, label, threat, streams)
        finally:
            for module, mode in zip(model.modules(), modes, strict=True):
                module.training = mode
            for parameter, need in zip(model.parameters(), needed, strict=True):
                parameter.requires_grad = need

    def search(
        self, model: Module, inputs: Tensor, label: Tensor, threat: Threat, streams: Sequence[Generator]
    ) -> Tensor:
        best, most = inputs.clone(), (1 - 2 * label) * model(inputs)
        at = inputs.clone()
        if self.start:
            noise = torch.stack([torch.rand(inputs.shape[1:], generator=s, dtype=inputs.dtype) for s in streams])
            at = self.project(inputs + (2 * noise - 1) * threat.eps * 0.1, inputs, threat)
        for _ in range(self.steps):
            at.requires_grad_(True)
            (g,) = torch.autograd.grad(((1 - 2 * label) * model(at)).sum(), at)
            with torch.no_grad():
                at = self.project(at + self.direction(g, threat) * threat.eps, inputs, threat)
                gain = (1 - 2 * label) * model(at)
                best[gain > most], most = at[gain > most], torch.maximum(gain, most)
        return best

    def direction(self, g: Tensor, threat: Threat) -> Tensor:
        if threat.norm == "linf":
            return g.sign()
        return g / g.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]

    def project(self, at: Tensor, inputs: Tensor, threat: Threat) -> Tensor:
        """Onto the box, then into the ball by shrinking; inside both, since the ball's centre is in the box."""
        change = at.clamp(*threat.bounds) - inputs
        if threat.norm == "linf":
            change = change.clamp(-threat.eps, threat.eps)
        else:
            size = change.flatten(1).norm(dim=1)[:, None, None, None]
            change = change * (threat.eps / size.clamp_min(threat.eps))
        return (inputs + change).clamp(*threat.bounds)


def check(attack: Attack) -> None:
    check_attack(attack, model(), inputs(), LABEL)


@pytest.mark.parametrize("attack", [PGD(), PGD(1, start=False)], ids=["PGD", "FGSM"])
def test_a_right_attack_keeps_the_contract(attack: Attack) -> None:
    check(attack)


def test_series_with_other_bounds_and_a_double_type_keep_it_too() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1), torch.nn.Flatten(0)).double()
    series = torch.randn(3, 12, 1, 1, dtype=torch.float64).clamp(-2, 2)
    threat = Threat("l2", 0.5, (-2.0, 2.0))
    check_attack(PGD(), linear, series, torch.tensor([1, 0, 1]), threats=[threat])


# --- planted faults ---


class Changed(PGD):
    """PGD whose call is replaced by `how(self, model, inputs, label, threat, streams)`."""

    def __init__(self, how: Callable[..., Any]) -> None:
        super().__init__()
        self.how = how

    def __call__(
        self, model: Module, inputs: Tensor, label: Tensor, *, threat: Threat, streams: Sequence[Generator]
    ) -> Any:
        return self.how(super().__call__, model, inputs, label, threat, streams)


def after(change: Callable[[Tensor, Tensor, Threat], Any]) -> Changed:
    """PGD, and then something with (result, inputs, threat)."""
    return Changed(lambda pgd, m, x, y, t, s: change(pgd(m, x, y, threat=t, streams=s), x, t))


def around(before: Callable[[Module, Tensor, Tensor], Any]) -> Changed:
    """Something with (model, inputs, label), and then PGD."""

    def both(pgd: Attack, m: Module, x: Tensor, y: Tensor, t: Threat, s: Sequence[Generator]) -> Tensor:
        before(m, x, y)
        return pgd(m, x, y, threat=t, streams=s)

    return Changed(both)


class BatchNoise(PGD):
    """Draws for the whole batch from the first row's stream."""

    def search(self, model: Module, inputs: Tensor, label: Tensor, threat: Threat, streams: Any) -> Tensor:
        noise = torch.rand(inputs.shape, generator=streams[0])
        return self.project(inputs + (2 * noise - 1) * threat.eps, inputs, threat)


class MeanDirection(PGD):
    """One direction for the batch: that of the sum of its gradients."""

    def direction(self, g: Tensor, threat: Threat) -> Tensor:
        return super().direction(g.sum(0, keepdim=True).expand_as(g), threat)


class WrongWay(PGD):
    """Forgets that a real face wants its score up."""

    def search(self, model: Module, inputs: Tensor, label: Tensor, threat: Threat, streams: Any) -> Tensor:
        return super().search(model, inputs, torch.ones_like(label), threat, streams)


class Timid(PGD):
    """Uses less, the more it is given."""

    def search(self, model: Module, inputs: Tensor, label: Tensor, threat: Threat, streams: Any) -> Tensor:
        small = Threat(threat.norm, min(threat.eps, 1e-3 / threat.eps), threat.bounds)
        return super().search(model, inputs, label, small, streams)


def backward(m: Module, x: Tensor, _: Tensor) -> None:
    m(x).sum().backward()


def keep_training(m: Module, *_: Any) -> None:
    m.train()


def freeze(m: Module, *_: Any) -> None:
    m.requires_grad_(False)


def run_in_training(m: Module, x: Tensor, _: Tensor) -> None:
    with torch.no_grad():
        m(x)  # in whatever mode it comes: batch normalisation moves


PLANTED: list[tuple[str, Attack, str]] = [
    ("the_result_has_the_form_of_the_inputs", after(lambda r, x, t: (r, None)), "tuple instead of"),
    ("the_result_has_the_form_of_the_inputs", after(lambda r, x, t: r.flatten(1)), "shape"),
    ("the_result_has_the_form_of_the_inputs", after(lambda r, x, t: r.double()), "float64"),
    ("the_result_has_the_form_of_the_inputs", after(lambda r, x, t: r / 0 * 0), "not finite"),
    ("the_result_has_the_form_of_the_inputs", after(lambda r, x, t: r.requires_grad_()), "graph"),
    ("the_change_is_inside_the_budget", after(lambda r, x, t: (x + (r - x) * 1.01).clamp(0, 1)), "linf change"),
    ("the_change_is_inside_the_budget", after(lambda r, x, t: (r * 255).round() / 255), "change"),
    ("the_result_is_inside_the_bounds", after(lambda r, x, t: x + t.eps * 0.5), "values from"),
    ("without_a_budget_nothing_changes", after(lambda r, x, t: (r * 2 - r.mul(1.0000001)).clamp(0, 1)), "eps 0"),
    ("the_model_is_left_alone", around(keep_training), "mode of a module"),
    ("the_model_is_left_alone", around(backward), r"\.grad of a parameter"),
    ("the_model_is_left_alone", around(freeze), "requires_grad"),
    ("the_model_is_left_alone", around(run_in_training), "parameter or buffer"),
    ("the_arguments_are_left_alone", around(lambda m, x, y: x.add_(1e-3)), "changed its inputs"),
    ("the_arguments_are_left_alone", around(lambda m, x, y: y.zero_()), "changed the labels"),
    ("the_arguments_are_left_alone", around(lambda m, x, y: x.requires_grad_()), "gradient on its inputs"),
    ("the_arguments_are_left_alone", Changed(lambda pgd, m, x, y, t, s: x), "shares memory"),
    ("equal_streams_give_equal_results", after(lambda r, x, t: x + (r - x) * torch.rand(())), "same streams differ"),
    ("equal_streams_give_equal_results", around(lambda m, x, y: torch.manual_seed(0)), "other than those"),
    ("a_row_does_not_depend_on_its_batch", BatchNoise(), "rows in reverse order differ"),
    ("a_row_does_not_depend_on_its_batch", MeanDirection(), "rows alone differ"),
    ("more_budget_is_never_worse_for_the_attacker", WrongWay(), "of a linear model"),
    ("more_budget_is_never_worse_for_the_attacker", Timid(), "of a linear model"),
]


@pytest.mark.parametrize(("name", "broken", "told"), PLANTED, ids=[f"{n}-{t}" for n, _, t in PLANTED])
def test_a_planted_fault_is_called_by_the_name_of_its_clause(name: str, broken: Attack, told: str) -> None:
    clause = next(c for c in ATTACK_CLAUSES if name_of(c) == name)
    with pytest.raises(ContractError, match=told) as caught:
        clause(AttackCase(broken, model(), inputs(), LABEL))
    assert caught.value.clause == name


def test_an_attack_that_loses_on_the_model_is_caught_though_it_wins_on_a_linear_one() -> None:
    class Lost(PGD):
        def search(self, model: Module, inputs: Tensor, label: Tensor, threat: Threat, streams: Any) -> Tensor:
            linear = not isinstance(model, torch.nn.Sequential)
            return super().search(model, inputs, label if linear else 1 - label, threat, streams)

    with pytest.raises(ContractError, match=r"the attacker loses .* in the mean of the batch"):
        ATTACK_CLAUSES[-1](AttackCase(Lost(), model(), inputs(), LABEL))


def test_every_clause_has_a_planted_fault() -> None:
    assert {name for name, _, _ in PLANTED} == {name_of(c) for c in ATTACK_CLAUSES}
