"""What a recipe says of the optimiser and its learning rate is what every step uses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.recipe import OptimiserSpec
from verisight.engine.method import Method
from verisight.engine.train import train


def course(total: int, **settings: Any) -> list[float]:
    return [OptimiserSpec(**settings).factor(step, total) for step in range(total)]


def test_the_rate_rises_in_equal_steps_to_the_peak_and_falls_as_a_half_cosine() -> None:
    rate = course(100, warmup=0.1)
    assert rate[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert rate[10:] == pytest.approx([(1 + math.cos(math.pi * k / 90)) / 2 for k in range(90)])


def test_it_stays_at_the_peak_and_falls_in_equal_steps() -> None:
    rate = course(100, warmup=0.1, hold=0.75, fall="linear")
    assert rate[9:76] == [1.0] * 67
    assert rate[75:] == pytest.approx([1 - k / 25 for k in range(25)])


def test_half_of_the_steps_at_the_peak_and_half_falling() -> None:
    """The course of self-blended images: no fall before the middle, and then a straight line."""
    rate = course(200, warmup=0.0, hold=0.5, fall="linear")
    assert rate[:101] == [1.0] * 101
    assert rate[101:] == pytest.approx([1 - k / 100 for k in range(1, 100)])


def test_a_hold_that_ends_before_the_rise_does_not_cut_it_short() -> None:
    assert course(50, warmup=0.4, hold=0.2) == course(50, warmup=0.4)


@given(
    st.integers(1, 300),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["cosine", "linear"]),
)
def test_every_course_rises_then_falls_within_zero_and_one(total: int, warmup: float, hold: float, fall: str) -> None:
    rate = course(total, warmup=warmup, hold=hold, fall=fall)
    top = rate.index(max(rate))
    assert max(rate) <= 1
    assert min(rate) > 0
    assert rate[: top + 1] == sorted(rate[: top + 1])
    assert rate[top:] == sorted(rate[top:], reverse=True)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step of a training."""
    seen: list[float] = []
    step = torch.optim.SGD.step

    def spied(self: torch.optim.SGD, *arguments: Any, **named: Any) -> Any:
        seen.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    return seen


def test_a_training_follows_the_course_to_its_last_step(recipe: Any, rates: list[float], tmp_path: Path) -> None:
    settings = {"name": "sgd", "lr": 0.02, "warmup": 0.2, "hold": 0.5, "fall": "linear"}
    train(recipe(optimiser=settings, rule={"id": "sam"}), tmp_path)
    assert rates == pytest.approx([0.02 * factor for factor in course(12, **settings)])


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        ({"name": "sgd", "momentum": 0.8}, torch.optim.SGD, {"momentum": 0.8}),
        ({"name": "adamw"}, torch.optim.AdamW, {"betas": (0.9, 0.999)}),
    ],
)
def test_the_settings_reach_the_optimiser(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any, kind: type, expected: dict[str, Any]
) -> None:
    made: list[torch.optim.Optimizer] = []
    configure = Method.configure_optimizers

    def spied(self: Method) -> Any:
        found = configure(self)
        made.append(found["optimizer"])
        return found

    monkeypatch.setattr(Method, "configure_optimizers", spied)
    train(recipe(optimiser={**settings, "weight_decay": 0.3}, trainer={"max_epochs": 1}), tmp_path)
    (optimiser,) = made
    assert type(optimiser) is kind
    filters, rest = optimiser.param_groups
    assert {key: filters[key] for key in expected} == expected
    assert (filters["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    assert all(p.ndim > 1 for p in filters["params"])
    assert all(p.ndim <= 1 for p in rest["params"])


def test_one_cycle_is_that_of_the_papers() -> None:
    """3,200 steps at a peak of 2e-4: from lr / 25 up within 5 %, down to lr / 250,000; the momentum the other way."""
    from types import SimpleNamespace

    from verisight.tasks.deepfake.erm import ERM

    method = ERM(ERM.Config(backbone="test_resnet", init="random"))
    method.optimise_with(method.rule, OptimiserSpec(name="adam", lr=2e-4, warmup=0.05, fall="one-cycle"))
    method._trainer = SimpleNamespace(estimated_stepping_batches=3200)  # type: ignore[assignment]
    made = method.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert type(optimizer) is torch.optim.Adam
    rate, beta = [], []
    for _ in range(3200):
        rate.append(optimizer.param_groups[0]["lr"])
        beta.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        schedule.step() if len(rate) < 3200 else None
    assert (rate[0], max(rate), rate[-1]) == pytest.approx((8e-6, 2e-4, 8e-10))
    assert rate.index(max(rate)) == 159
    assert (beta[0], beta[159], beta[-1]) == pytest.approx((0.95, 0.85, 0.95))
