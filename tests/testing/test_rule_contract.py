"""Every rule of the catalogue keeps the contract, and each way of breaking it is called by the name of its clause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch.nn import Parameter

from verisight.core import catalogue
from verisight.core.errors import RecipeError
from verisight.optim.gradient import gradient, hand_over, norm, shifted
from verisight.optim.plain import Plain
from verisight.optim.rule import Closure, Losses, Steps, UpdateRule
from verisight.optim.sharpness import SAM
from verisight.testing import ContractError, check_rule, name_of
from verisight.testing.rule import RULE_CLAUSES, RuleCase

Parameters = Sequence[Parameter]


@pytest.mark.parametrize("entry", catalogue.entries("rule"), ids=lambda e: e.id)
def test_rules_of_the_catalogue_keep_the_contract(entry: catalogue.Entry) -> None:
    check_rule(entry.load())


def test_a_partial_of_a_rule_keeps_it_too() -> None:
    check_rule(partial(SAM, rho=0.2))


class Wrapping:
    """A correct rule around another: a step of the inner one at weights moved along the gradient's sign."""

    def __init__(self, inner: UpdateRule | None = None, gamma: float = 0.01) -> None:
        self.inner, self.gamma = inner or Plain(), gamma

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        held = Held(optimizer)
        with shifted(parameters, [None if each is None else each.sign() * self.gamma for each in g]):
            self.inner.step(closure, parameters, held)
        held.release()
        return losses


class Held:
    """An optimiser whose step waits until the weights are back."""

    def __init__(self, optimizer: Steps) -> None:
        self.optimizer = optimizer

    def step(self) -> None:
        pass

    def release(self) -> None:
        self.optimizer.step()


def test_a_rule_that_wraps_another_keeps_it() -> None:
    check_rule(Wrapping)
    check_rule(partial(Wrapping, inner=SAM()))


class Whole(Plain):
    """Wants all rows of the step at once."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        if len(list(closure())) > 1:
            raise RecipeError("rule whole", "cannot add up micro-batches", "set loader.micro_batch=null")
        if dist.is_initialized():
            raise RecipeError("rule whole", "runs in one process only", "set trainer.devices=1")
        return super().step(closure, parameters, optimizer)


def test_a_rule_that_refuses_micro_batches_and_ranks_by_name_keeps_it() -> None:
    check_rule(Whole)


# --- planted faults ---


class AtZero(SAM):
    """Moves by a least radius, whatever it is asked for."""

    def __init__(self, rho: float = 0.05) -> None:
        super().__init__(max(rho, 1e-3))


class Unrestored(SAM):
    """Subtracts the shift again instead of putting the weights back."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        moved = [None if each is None else each * (0.05 / norm(g)) for each in g]
        with torch.no_grad():
            _move(parameters, moved, 1)
        _, g = gradient(closure, parameters)
        with torch.no_grad():
            _move(parameters, moved, -1)
        hand_over(parameters, g)
        optimizer.step()
        return losses


def _move(parameters: Parameters, by: Sequence[torch.Tensor | None], sign: int) -> None:
    for parameter, step in zip(parameters, by, strict=True):
        if step is not None:
            parameter.add_(step, alpha=sign)


class StepsThere(SAM):
    """Steps from the shifted weights, then puts the old ones back."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        hand_over(parameters, g)
        with shifted(parameters, [None if each is None else each * 0.01 for each in g]):
            optimizer.step()
        return losses


class StepsTwice(Plain):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        super().step(closure, parameters, optimizer)
        return super().step(closure, parameters, optimizer)


class TellsAfter(Plain):
    """Returns the losses at the new weights."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        super().step(closure, parameters, optimizer)
        return gradient(closure, parameters)[0]


class Renames(Plain):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        return Losses({"loss": super().step(closure, parameters, optimizer).total})


class KeepsGraph(Plain):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses = next(iter(closure()))
        super().step(closure, parameters, optimizer)
        return losses


class Climbs(Plain):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        hand_over(parameters, [None if each is None else -each for each in g])
        optimizer.step()
        return losses


class Wanders(Plain):
    """Adds noise from a seed of its own making."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        fresh = torch.Generator()
        fresh.seed()
        losses, g = gradient(closure, parameters)
        hand_over(parameters, [None if e is None else e + 1e-9 * torch.rand((), generator=fresh) for e in g])
        optimizer.step()
        return losses


class PilesUp(Plain):
    """Takes `backward`, which adds to what is there."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses = gradient(closure, parameters)[0]
        for piece in closure():
            (piece.total * piece.rows / losses.rows).backward()
        optimizer.step()
        return losses


class TrainsAll(Plain):
    """As `PilesUp` without the piling: `backward` gives every leaf a gradient, asked for or not."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses = gradient(closure, parameters)[0]
        for parameter in parameters:
            parameter.grad = None
        for piece in closure():
            (piece.total * piece.rows / losses.rows).backward()
        optimizer.step()
        return losses


class MovesUnused(Plain):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        hand_over(parameters, [torch.ones_like(p) if e is None else e for p, e in zip(parameters, g, strict=True)])
        optimizer.step()
        return losses


class Remembers(SAM):
    """Takes the direction of its first step for every later one."""

    first: list[torch.Tensor | None] | None = None

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        self.first = self.first or [None if e is None else 0.5 * e for e in g]
        with shifted(parameters, self.first):
            _, g = gradient(closure, parameters)
        hand_over(parameters, g)
        optimizer.step()
        return losses


class PassesInnerBy(Wrapping):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        return Plain().step(closure, parameters, optimizer)


class InnerAtOldWeights(Wrapping):
    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        return self.inner.step(closure, parameters, optimizer)


class LastPiece(Plain):
    """Looks at the last micro-batch only."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        return super().step(lambda: list(closure())[-1:], parameters, optimizer)


class EqualPieces(Plain):
    """Weighs micro-batches alike, whatever their rows."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        def alike() -> Iterator[Losses]:
            for losses in closure():
                yield Losses(losses.parts, losses.by_domain, rows=1)

        return super().step(alike, parameters, optimizer)


class Halves(Plain):
    """Hands over gradients in half precision."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses, g = gradient(closure, parameters)
        for parameter, each in zip(parameters, g, strict=True):
            if each is not None and torch.is_autocast_enabled("cpu"):
                each = (each * float("inf")).nan_to_num(posinf=float("inf"))
            parameter.grad = each
        optimizer.step()
        return losses


class Alone(Plain):
    """Never asks the other ranks."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        losses = next(iter(closure()))
        hand_over(parameters, torch.autograd.grad(losses.total, list(parameters), allow_unused=True))
        optimizer.step()
        return Losses({name: value.detach() for name, value in losses.parts.items()})


class EqualRanks(Alone):
    """Takes the mean over ranks, as hooks on gradients do, whatever the rows of each."""

    def step(self, closure: Closure, parameters: Parameters, optimizer: Steps) -> Losses:
        kept = Losses({})
        rows = sum(losses.rows for losses in closure())
        total = None
        for losses in closure():
            g = torch.autograd.grad(losses.total * losses.rows / rows, list(parameters), allow_unused=True)
            total = g if total is None else [a if b is None else a + b for a, b in zip(total, g, strict=True)]
            kept = losses
        for each in total:
            if each is not None and dist.is_initialized():
                dist.all_reduce(each)
                each /= dist.get_world_size()
        hand_over(parameters, total)
        optimizer.step()
        return Losses({name: value.detach() for name, value in kept.parts.items()})


PLANTED: list[tuple[str, Callable[..., UpdateRule], str]] = [
    ("zero_radius_equals_plain", AtZero, "with rho=0"),
    ("weights_are_restored", Unrestored, "off by"),
    ("the_optimiser_steps_once_at_the_old_weights", StepsThere, "from shifted weights"),
    ("the_optimiser_steps_once_at_the_old_weights", StepsTwice, "2 optimiser steps"),
    ("the_losses_are_those_at_the_old_weights", TellsAfter, "at the old weights"),
    ("the_losses_are_those_at_the_old_weights", Renames, "parts \\['loss'\\] instead of"),
    ("the_losses_are_those_at_the_old_weights", KeepsGraph, "still holds its graph"),
    ("it_descends", Climbs, "20 steps took the loss from"),
    ("equal_starts_give_equal_steps", Wanders, "different weights"),
    ("no_gradient_is_left_behind", PilesUp, "added to the next"),
    ("other_parameters_are_left_alone", TrainsAll, "not given"),
    ("other_parameters_are_left_alone", MovesUnused, "without a part in the loss"),
    ("it_composes", Remembers, "at shifted weights"),
    ("it_composes", PassesInnerBy, "called 0 times"),
    ("it_composes", InnerAtOldWeights, "called at the old weights"),
    ("micro_batches_add_up", LastPiece, "3 \\+ 5 rows"),
    ("micro_batches_add_up", EqualPieces, "3 \\+ 5 rows"),
    ("mixed_precision_gives_float32_gradients", Halves, "not finite"),
    ("ranks_weigh_by_their_rows", Alone, "rank 0 is off"),
    ("ranks_weigh_by_their_rows", EqualRanks, "rank 0 is off"),
]


@pytest.mark.parametrize(("name", "broken", "told"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_called_by_the_name_of_its_clause(
    name: str, broken: Callable[..., UpdateRule], told: str
) -> None:
    clause = next(c for c in RULE_CLAUSES if name_of(c) == name)
    with pytest.raises(ContractError, match=told) as caught:
        clause(RuleCase(broken))
    assert caught.value.clause == name
    assert str(caught.value).startswith(f"rule {broken.__name__} breaks the clause '{name}': ")


def test_every_clause_has_a_planted_fault() -> None:
    assert {name for name, _, _ in PLANTED} == {name_of(c) for c in RULE_CLAUSES}


def test_plain_is_the_closed_form_on_a_quadratic() -> None:
    """L(w) = mean_i (a_i w - b_i)^2 / 2: the gradient is w mean(a^2) - mean(a b), over unequal micro-batches."""
    a, b = torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.float64), torch.tensor([0.0, 1.0, 3.0, -2.0])
    w = Parameter(torch.tensor([0.7], dtype=torch.float64))
    expected = 0.7 - 0.1 * float(0.7 * a.square().mean() - (a * b).mean())

    def closure() -> Iterator[Losses]:
        for rows in (slice(0, 1), slice(1, 4)):
            yield Losses({"half": (a[rows] * w - b[rows]).square().mean() / 2}, rows=len(a[rows]))

    Plain().step(closure, [w], torch.optim.SGD([w], lr=0.1))
    assert float(w.detach()) == pytest.approx(expected, abs=1e-15)
