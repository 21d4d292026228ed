"""The contract of an update rule: what it makes of micro-batches, ranks and precisions is what one batch would make.

The clauses run a rule on a small network whose gradients are known, in float64, with plain SGD behind it: the change of
the weights over the learning rate is then the gradient that the rule handed over.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from verisight.core.errors import VerisightError
from verisight.optim.plain import Plain
from verisight.optim.rule import Closure, Losses, Steps, UpdateRule
from verisight.testing.contract import clause, expect, run
from verisight.testing.ranks import on_two_ranks

RADII = ("rho", "radius", "gamma")  # names of an argument that, set to zero, turns a rule into `plain`
LR = 0.05
CLOSE = 1e-6  # relative to the largest gradient


@dataclass(frozen=True)
class RuleCase:
    """What the clauses look at.

    factory : makes the rule with its defaults; a class or a partial of one. Its signature says whether it has a radius
        (one of RADII) and whether it wraps another rule (`inner`).
    """

    factory: Callable[..., UpdateRule]

    def __str__(self) -> str:
        named = getattr(self.factory, "func", self.factory)  # a partial has no name of its own
        return f"rule {getattr(named, '__name__', named)}"

    def argument(self, *names: str) -> str | None:
        """The first of these that the factory takes."""
        taken = inspect.signature(self.factory).parameters
        return next((name for name in names if name in taken), None)


def check_rule(factory: Callable[..., UpdateRule], *, exempt: Mapping[str, str] | None = None) -> None:
    """Hold an update rule to its contract.

    factory : makes the rule with its defaults.
    exempt : name of a clause -> why it does not hold here.

    Raises
    ------
    ContractError : names the first broken clause.
    """
    run(RULE_CLAUSES, RuleCase(factory), exempt or {})


@dataclass
class Problem:
    """Regression with a small tanh network; two named parts, two domains, 16 rows.

    weights : W1 (5, 4) and W2 (1, 5), the trained parameters. unused : trained, and without a part in the loss.
    """

    dtype: torch.dtype = torch.float64
    weights: list[Parameter] = field(init=False)
    unused: Parameter = field(init=False)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(16, 4, generator=draw, dtype=torch.float64).to(self.dtype)
        self.target = torch.randn(16, generator=draw, dtype=torch.float64).to(self.dtype)
        self.domain = torch.arange(16) % 2
        first, second = (torch.randn(s, generator=draw, dtype=torch.float64) for s in ((5, 4), (1, 5)))
        self.weights = [Parameter(first.to(self.dtype)), Parameter(second.to(self.dtype))]
        self.unused = Parameter(torch.ones(3, dtype=self.dtype))

    @property
    def parameters(self) -> list[Parameter]:
        return [*self.weights, self.unused]

    def optimiser(self) -> torch.optim.SGD:
        return torch.optim.SGD(self.parameters, lr=LR)

    def losses(self, rows: slice) -> Losses:
        """Squared error and a part that pulls the outputs to zero, each a mean over the rows."""
        first, second = self.weights
        output = (torch.tanh(self.inputs[rows] @ first.T) @ second.T).squeeze(1)
        error, size = (output - self.target[rows]).square(), 0.1 * output.square()
        domain = self.domain[rows]
        totals = {d: (error + size)[domain == d].mean() for d in sorted(set(domain.tolist()))}
        return Losses({"error": error.mean(), "size": size.mean()}, by_domain=totals, rows=len(output))

    def closure(self, *pieces: slice) -> Closure:
        """The micro-batches of a step."""

        def run_again() -> Iterator[Losses]:
            for rows in pieces:
                yield self.losses(rows)

        return run_again


WHOLE = slice(0, 16)


class Still:
    """An optimiser that counts its steps and makes none."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self) -> None:
        self.steps += 1


@clause
def zero_radius_equals_plain(case: RuleCase) -> None:
    """Asked of rules with a radius, around `Plain` where they wrap. The reference is autograd's own gradient."""
    radius = case.argument(*RADII)
    if radius is None:
        return
    problem = Problem()
    expected = torch.autograd.grad(problem.losses(WHOLE).total, problem.weights)
    inner = {"inner": Plain()} if case.argument("inner") else {}
    found = _gradient(case.factory(**{radius: 0.0}, **inner), problem)
    expect(_apart(found, expected) <= 1e-12, f"with {radius}=0 the gradient is off by {_apart(found, expected):.1e}")


@clause
def weights_are_restored(case: RuleCase) -> None:
    problem, still = Problem(torch.float32), Still()
    before = _copies(problem.parameters)
    case.factory().step(problem.closure(WHOLE), problem.parameters, still)
    moved = max(float((p.detach() - b).abs().max()) for p, b in zip(problem.parameters, before, strict=True))
    expect(_equal(problem.parameters, before), f"after a step of an optimiser that stands still, off by {moved:.1e}")


@clause
def the_optimiser_steps_once_at_the_old_weights(case: RuleCase) -> None:
    problem = Problem()
    before = _copies(problem.parameters)
    seen: list[bool] = []

    class Watching(Still):
        def step(self) -> None:
            super().step()
            seen.append(_equal(problem.parameters, before))

    case.factory().step(problem.closure(WHOLE), problem.parameters, Watching())
    expect(len(seen) == 1, f"{len(seen)} optimiser steps in one step")
    expect(all(seen), "the optimiser stepped from shifted weights")


@clause
def the_losses_are_those_at_the_old_weights(case: RuleCase) -> None:
    problem = Problem()
    expected = {name: value.detach().clone() for name, value in problem.losses(WHOLE).parts.items()}
    losses = case.factory().step(problem.closure(WHOLE), problem.parameters, problem.optimiser())
    expect(set(losses.parts) == set(expected), f"parts {sorted(losses.parts)} instead of {sorted(expected)}")
    for name, value in losses.parts.items():
        expect(not value.requires_grad, f"'{name}' still holds its graph")
        off = float((value - expected[name]).abs())
        expect(off <= 1e-9, f"'{name}' is {float(value):.6f}, at the old weights {float(expected[name]):.6f}")


@clause
def it_descends(case: RuleCase) -> None:
    problem, rule = Problem(), case.factory()
    start = float(problem.losses(WHOLE).total.detach())
    optimiser = problem.optimiser()
    for _ in range(20):
        rule.step(problem.closure(WHOLE), problem.parameters, optimiser)
    end = float(problem.losses(WHOLE).total.detach())
    expect(end < start, f"20 steps took the loss from {start:.4f} to {end:.4f}")


@clause
def equal_starts_give_equal_steps(case: RuleCase) -> None:
    first, second = (_trained(case.factory(), Problem(), 3) for _ in range(2))
    expect(_equal(first, second), "two runs from the same weights and seed ended in different weights")


@clause
def no_gradient_is_left_behind(case: RuleCase) -> None:
    """A gradient that somebody left, or the step before, does not add to the next step's."""
    expected = _trained(case.factory(), Problem(), 3, between=_clear)
    for between, what in ((_nothing, "the step before"), (_spoil, "somebody else")):
        found = _trained(case.factory(), Problem(), 3, between=between)
        expect(_apart(found, expected) <= 1e-12, f"gradients of {what} were added to the next step's")


@clause
def other_parameters_are_left_alone(case: RuleCase) -> None:
    """Those it is not given, and those without a part in the loss."""
    problem = Problem()
    first, second = problem.weights
    kept = second.detach().clone()
    case.factory().step(problem.closure(WHOLE), [first, problem.unused], problem.optimiser())
    expect(second.equal(kept) and second.grad is None, "it trained a parameter that it was not given")
    expect(problem.unused.tolist() == [1, 1, 1], "it moved a parameter without a part in the loss")


@clause
def it_composes(case: RuleCase) -> None:
    """Inside a rule that shifts the weights, it makes its step there; as the outer rule, it calls the inner one."""
    shift = 0.1
    problem, fresh = Problem(), Problem()
    with torch.no_grad():
        for parameter in fresh.weights:
            parameter.add_(shift)
    expected = _gradient(case.factory(), fresh)
    rule = case.factory()
    _gradient(rule, problem)  # used before, elsewhere: no state of that may come along
    found = _inside_a_shift(rule, problem, shift)
    expect(_apart(found, expected) <= CLOSE, f"at shifted weights the gradient is off by {_apart(found, expected):.1e}")
    if case.argument("inner"):
        _calls_its_inner_rule(case)


@clause
def micro_batches_add_up(case: RuleCase) -> None:
    """3 and 5 rows make the step of 8. A rule that cannot do that refuses by name."""
    expected = _gradient(case.factory(), Problem(), slice(0, 8))
    try:
        found = _gradient(case.factory(), Problem(), slice(0, 3), slice(3, 8))
    except VerisightError:
        return
    expect(_apart(found, expected) <= CLOSE, f"3 + 5 rows are off from 8 by {_apart(found, expected):.1e}")


@clause
def mixed_precision_gives_float32_gradients(case: RuleCase) -> None:
    """Forward in bfloat16 under autocast; what reaches the optimiser is float32, finite, and near the full one."""
    expected = _gradient(case.factory(), Problem(torch.float32))
    found = _gradient(case.factory(), Problem(torch.float32), context=torch.autocast("cpu", dtype=torch.bfloat16))
    expect(all(g.dtype == torch.float32 for g in found), f"types {[str(g.dtype) for g in found]}")
    expect(all(g.isfinite().all() for g in found), "gradients that are not finite")
    expect(_apart(found, expected) <= 0.05, f"off from float32 by {_apart(found, expected):.1%} of the largest")


@clause
def ranks_weigh_by_their_rows(case: RuleCase) -> None:
    """5 rows on one rank and 11 on the other make the step of 16 in one process. May be refused by name."""
    expected = _gradient(case.factory(), Problem())
    first, second = on_two_ranks(_OnRank(case.factory))
    if first["refused"].item():
        return
    for rank, told in enumerate((first, second)):
        off = _apart([told["0"], told["1"]], expected)
        expect(off <= CLOSE, f"rank {rank} is off from one process by {off:.1e}")


RULE_CLAUSES = (
    zero_radius_equals_plain,
    weights_are_restored,
    the_optimiser_steps_once_at_the_old_weights,
    the_losses_are_those_at_the_old_weights,
    it_descends,
    equal_starts_give_equal_steps,
    no_gradient_is_left_behind,
    other_parameters_are_left_alone,
    it_composes,
    micro_batches_add_up,
    mixed_precision_gives_float32_gradients,
    ranks_weigh_by_their_rows,
)


@dataclass(frozen=True)
class _OnRank:
    """One rank's share of the step."""

    factory: Callable[..., UpdateRule]

    def __call__(self, rank: int) -> dict[str, Tensor]:
        rows = (slice(0, 5), slice(5, 16))[rank]
        try:
            found = _gradient(self.factory(), Problem(), rows)
        except VerisightError:
            return {"refused": torch.tensor(True)}
        return {"refused": torch.tensor(False), "0": found[0], "1": found[1]}


def _gradient(rule: UpdateRule, problem: Problem, *pieces: slice, context: Any = None) -> list[Tensor]:
    """What the rule handed to an optimiser that stands still, for the used weights; the pieces are micro-batches."""
    with context or nullcontext():
        rule.step(problem.closure(*pieces or (WHOLE,)), problem.parameters, Still())
    missing = [i for i, p in enumerate(problem.weights) if p.grad is None]
    expect(not missing, f"weight {missing} got no gradient")
    return [p.grad.detach().clone() for p in problem.weights if p.grad is not None]


def _trained(
    rule: UpdateRule, problem: Problem, steps: int, *, between: Callable[[Problem], None] | None = None
) -> list[Tensor]:
    torch.manual_seed(0)
    optimiser = problem.optimiser()
    for _ in range(steps):
        rule.step(problem.closure(WHOLE), problem.parameters, optimiser)
        (between or _nothing)(problem)
    return _copies(problem.weights)


def _nothing(_: Problem) -> None:
    pass


def _clear(problem: Problem) -> None:
    for parameter in problem.parameters:
        parameter.grad = None


def _spoil(problem: Problem) -> None:
    for parameter in problem.weights:
        parameter.grad = torch.full_like(parameter, 1e3)


def _inside_a_shift(rule: UpdateRule, problem: Problem, shift: float) -> list[Tensor]:
    """The gradient that `rule` hands over when an outer rule calls it at weights moved by `shift`."""
    before = _copies(problem.weights)
    with torch.no_grad():
        for parameter in problem.weights:
            parameter.add_(shift)
    found = _gradient(rule, problem)
    with torch.no_grad():
        for parameter, old in zip(problem.weights, before, strict=True):
            parameter.copy_(old)
    return found


def _calls_its_inner_rule(case: RuleCase) -> None:
    problem, seen = Problem(), list[list[Tensor]]()
    before = _copies(problem.weights)

    class Spy:
        def step(self, closure: Closure, parameters: Sequence[Parameter], optimizer: Steps) -> Losses:
            seen.append(_copies(problem.weights))
            return case.factory().step(closure, parameters, optimizer)

    case.factory(inner=Spy()).step(problem.closure(WHOLE), problem.parameters, Still())
    expect(len(seen) == 1, f"the inner rule was called {len(seen)} times")
    expect(not _equal(seen[0], before), "the inner rule was called at the old weights, not at shifted ones")
    expect(_equal(problem.weights, before), "the weights are not those from before the inner rule")


def _copies(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def _equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(f.detach().equal(e) for f, e in zip(found, expected, strict=True))


def _apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference, over the largest expected value."""
    largest = max(float(e.abs().max()) for e in expected)
    return max(float((f - e).abs().max()) for f, e in zip(found, expected, strict=True)) / largest
