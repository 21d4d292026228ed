"""The contract of an attack: inside its budget, leaving no trace on the model, judging every row by itself.

An attack is a callable

    attack(model, inputs, label, *, threat, streams) -> adversarial inputs

- model : a module, (N, ...) -> (N,) logits of the positive class. The attacker wants the score of a positive row (label
  1) to fall and that of a negative one (label 0) to rise: the gain of a row is (1 - 2 y)(s(x') - s(x)).
- inputs : (N, ...) in raw data space, inside the threat's bounds; normalisation is the model's. label : (N,) int64.
- threat : the norm, the radius and the bounds (`Threat`, or any frozen dataclass with these fields).
- streams : one `torch.Generator` a row, and the only source of random numbers; so a row's result does not depend on
  the rows beside it.

An attack that returns more than the inputs is adapted: `lambda *a, **k: attack(*a, **k).x_adv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import Module

from verisight.testing.contract import clause, expect, run

SLACK = 1e-6  # relative to the radius; what float32 rounds


@dataclass(frozen=True)
class Threat:
    """What an attacker may change.

    norm : of the change of a row. eps : its largest value, at least 0. bounds : of every value of the result.
    """

    norm: Literal["linf", "l2"]
    eps: float
    bounds: tuple[float, float] = (0.0, 1.0)


class Attack(Protocol):
    """See the head of this module."""

    def __call__(
        self,
        model: Module,
        inputs: Tensor,
        label: Tensor,
        *,
        threat: Threat,
        streams: Sequence[Generator],
    ) -> Tensor: ...


@dataclass(frozen=True)
class AttackCase:
    """What the clauses look at.

    threats : budgets to hold the attack to; by default 8/255 in linf and 1 in l2, values between 0 and 1.
    """

    attack: Attack
    model: Module
    inputs: Tensor
    label: Tensor
    threats: Sequence[Threat] = (Threat("linf", 8 / 255), Threat("l2", 1.0))

    def __str__(self) -> str:
        return f"attack {getattr(self.attack, '__name__', type(self.attack).__name__)}"

    def run(self, threat: Threat, rows: Tensor | None = None, model: Module | None = None) -> Tensor:
        """The attack on some rows (all by default), each with its own stream."""
        chosen = torch.arange(len(self.inputs)) if rows is None else rows
        streams = [Generator().manual_seed(1000 + int(row)) for row in chosen]
        inputs, label = self.inputs[chosen].clone(), self.label[chosen].clone()
        return self.attack(model or self.model, inputs, label, threat=threat, streams=streams)


def check_attack(
    attack: Attack,
    model: Module,
    inputs: Tensor,
    label: Tensor,
    *,
    threats: Sequence[Threat] = AttackCase.threats,
    exempt: Mapping[str, str] | None = None,
) -> None:
    """Hold an attack to its contract on a model.

    inputs : (N, ...) with N >= 3, some values at the bounds, so that staying inside them is tried.
    exempt : name of a clause -> why it does not hold here.

    Raises
    ------
    ContractError : names the first broken clause.
    """
    run(ATTACK_CLAUSES, AttackCase(attack, model, inputs, label, threats), exempt or {})


@clause
def the_result_has_the_form_of_the_inputs(case: AttackCase) -> None:
    for threat in case.threats:
        found = case.run(threat)
        expect(isinstance(found, Tensor), f"{type(found).__name__} instead of a tensor")
        expect(found.shape == case.inputs.shape, f"shape {tuple(found.shape)} for inputs {tuple(case.inputs.shape)}")
        expect(found.dtype == case.inputs.dtype, f"type {found.dtype} for inputs of {case.inputs.dtype}")
        expect(found.isfinite().all(), "values that are not finite")
        expect(not found.requires_grad, "the result holds a graph")


@clause
def the_change_is_inside_the_budget(case: AttackCase) -> None:
    for threat in case.threats:
        for eps in (threat.eps, threat.eps / 4, threat.eps * 4):
            change = (case.run(replace(threat, eps=eps)).double() - case.inputs.double()).flatten(1)
            size = float(_norm(change, threat.norm).max())
            rounding = _rounding(change, case.inputs.dtype, threat.norm)
            expect(size <= eps * (1 + SLACK) + rounding, f"{threat.norm} change {size:.6f} with eps {eps:.6f}")


@clause
def the_result_is_inside_the_bounds(case: AttackCase) -> None:
    for threat in case.threats:
        for eps in (threat.eps, threat.eps * 4):
            found, (low, high) = case.run(replace(threat, eps=eps)), threat.bounds
            least, most = float(found.min()), float(found.max())
            expect(low <= least and most <= high, f"values from {least:.6f} to {most:.6f}, bounds {threat.bounds}")


@clause
def without_a_budget_nothing_changes(case: AttackCase) -> None:
    for threat in case.threats:
        change = float((case.run(replace(threat, eps=0.0)) - case.inputs).abs().max())
        expect(change == 0, f"{threat.norm} with eps 0 changed a value by {change:.1e}")


@clause
def the_model_is_left_alone(case: AttackCase) -> None:
    """Modes module by module, gradients and their flags, parameters and buffers; a model in training mode too."""
    for training in (False, True):
        model = deepcopy(case.model).train(training)
        for module in list(model.modules())[1::2]:  # modes that differ, as those of a frozen part do
            module.training = not training
        for parameter in list(model.parameters())[::2]:
            parameter.grad = torch.full_like(parameter, 3.0)
        before = _facts(model)
        case.run(case.threats[0], model=model)
        after = _facts(model)
        for what, value in before.items():
            expect(_same(value, after[what]), f"it changed {what} (model in {'training' if training else 'eval'} mode)")


@clause
def the_arguments_are_left_alone(case: AttackCase) -> None:
    inputs, label = case.inputs.clone(), case.label.clone()
    streams = [Generator().manual_seed(row) for row in range(len(inputs))]
    found = case.attack(case.model, inputs, label, threat=case.threats[0], streams=streams)
    expect(inputs.equal(case.inputs), "it changed its inputs")
    expect(label.equal(case.label), "it changed the labels")
    expect(not inputs.requires_grad and inputs.grad is None, "it left a gradient on its inputs")
    expect(found.data_ptr() != inputs.data_ptr(), "the result shares memory with the inputs")


@clause
def equal_streams_give_equal_results(case: AttackCase) -> None:
    random = torch.get_rng_state()
    for threat in case.threats:
        first = case.run(threat)
        torch.rand(3)
        expect(first.equal(case.run(threat)), f"two runs with the same streams differ ({threat.norm})")
    torch.set_rng_state(random)
    case.run(case.threats[0])
    expect(torch.get_rng_state().equal(random), "it took or set random numbers other than those of its streams")


@clause
def a_row_does_not_depend_on_its_batch(case: AttackCase) -> None:
    backwards = torch.arange(len(case.inputs)).flip(0)
    for threat in case.threats:
        together = case.run(threat)
        turned = case.run(threat, backwards).flip(0)
        alone = torch.cat([case.run(threat, row[None]) for row in torch.arange(len(case.inputs))])
        for found, what in ((turned, "in reverse order"), (alone, "alone")):
            worst = float((found - together).abs().max())
            expect(worst <= 1e-3 * threat.eps, f"rows {what} differ by {worst:.1e} ({threat.norm} {threat.eps:.4f})")


@clause
def more_budget_is_never_worse_for_the_attacker(case: AttackCase) -> None:
    """Row by row on a linear model, where more room always gives more; in the mean, against no attack, on the model."""
    linear = _Linear(case.inputs[0])
    for threat in case.threats:
        before = torch.zeros(len(case.inputs))
        for eps in (threat.eps / 4, threat.eps, threat.eps * 4):
            gain = _gain(case, linear, case.run(replace(threat, eps=eps), model=linear))
            row = int((gain - before).argmin())
            seen = f"row {row} of a linear model: gain {gain[row]:.4f} with eps {eps:.4f}, {before[row]:.4f} with less"
            expect((gain >= before - 1e-4).all(), seen)
            before = gain
        mean = float(_gain(case, case.model, case.run(threat)).mean())
        expect(mean >= -1e-6, f"the attacker loses {-mean:.4f} in the mean of the batch ({threat.norm})")


ATTACK_CLAUSES = (
    the_result_has_the_form_of_the_inputs,
    the_change_is_inside_the_budget,
    the_result_is_inside_the_bounds,
    without_a_budget_nothing_changes,
    the_model_is_left_alone,
    the_arguments_are_left_alone,
    equal_streams_give_equal_results,
    a_row_does_not_depend_on_its_batch,
    more_budget_is_never_worse_for_the_attacker,
)


class _Linear(Module):
    """s(x) = <w, x> with a fixed w without zeros."""

    def __init__(self, row: Tensor) -> None:
        super().__init__()
        w = torch.randn(row.numel(), generator=Generator().manual_seed(0))
        self.w = torch.nn.Parameter(torch.where(w.abs() < 0.1, torch.full_like(w, 0.1), w).to(row.dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = inputs.flatten(1) @ self.w
        return scores


def _gain(case: AttackCase, model: Module, found: Tensor) -> Tensor:
    """(N,) how far each score moved as the attacker wants."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.inference_mode():
        moved = model(found).double() - model(case.inputs).double()
    for module, training in modes:
        module.training = training
    return torch.where(case.label == 1, -moved, moved)


def _norm(change: Tensor, norm: str) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(change, ord=torch.inf if norm == "linf" else 2, dim=1)
    return size


def _rounding(change: Tensor, dtype: torch.dtype, norm: str) -> float:
    """What rounding x + delta to the type of the inputs may add to the norm."""
    single = torch.finfo(dtype).eps
    return single if norm == "linf" else float(single * change.shape[1] ** 0.5)


def _facts(model: Module) -> dict[str, object]:
    return {
        "the mode of a module": [module.training for module in model.modules()],
        "a parameter or buffer": {name: value.clone() for name, value in model.state_dict().items()},
        "requires_grad of a parameter": [p.requires_grad for p in model.parameters()],
        "the .grad of a parameter": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
    }


def _same(before: object, after: object) -> bool:
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(_same(value, after[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return before.equal(after)
    return type(before) is type(after) and before == after
