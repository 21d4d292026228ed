"""Every distiller behind the one interface: gradients, state, determinism, bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from verisight.core.errors import RecipeError
from verisight.nn.distillers import CRD, DISTILLERS, USUAL_WEIGHT, Seen, distiller
from verisight.ops import distill

ITEMS, ROWS = 20, 6
LABEL, INDEX = torch.arange(ROWS) % 2, torch.arange(ROWS) * 3
SHAPES = ((8, 8, 8), (8, 4, 4), (12, 4, 4), (16, 2, 2))
SMALL: dict[str, dict[str, Any]] = {"crd": {"negatives": 7, "width": 5}, "mv": {"views": 3}}
ZERO_AT_THE_TEACHER = set(DISTILLERS) - {"mv", "crd", "vid", "fitnet"}


def seen(seed: int, rows: int = ROWS) -> Seen:
    made = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(rows, *shape, generator=made).requires_grad_() for shape in SHAPES)
    pooled = torch.randn(rows, 10, generator=made).requires_grad_()
    return Seen(maps, pooled, torch.randn(rows, 2, generator=made).requires_grad_())


def of(name: str, seed: int = 0, **settings: Any) -> Any:
    torch.manual_seed(seed)
    return distiller(name, seen(0), seen(1), ITEMS, seed, {**SMALL.get(name, {}), **settings})


def tensors(view: Seen) -> list[Tensor]:
    return [*view.maps, view.pooled, view.logits]


@pytest.mark.parametrize("name", DISTILLERS)
def test_it_pulls_the_student_and_its_own_parts_and_leaves_the_teacher(name: str) -> None:
    module, s, t = of(name), seen(0), seen(1)
    loss = module(s, t, LABEL, INDEX)
    assert loss.ndim == 0
    assert loss.isfinite()
    found = torch.autograd.grad(loss, tensors(s), retain_graph=True, allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in found)
    assert all(g is None for g in torch.autograd.grad(loss, tensors(t), retain_graph=True, allow_unused=True))
    own = list(module.parameters())
    if own:
        assert all(g is not None for g in torch.autograd.grad(loss, own, allow_unused=True))


@pytest.mark.parametrize("name", sorted(ZERO_AT_THE_TEACHER))
def test_a_student_that_is_its_teacher_costs_nothing(name: str) -> None:
    assert float(of(name)(seen(0), seen(0), LABEL, INDEX).detach()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", DISTILLERS)
def test_equal_seeds_give_equal_losses_and_the_global_generator_is_left_alone(name: str) -> None:
    def run() -> list[float]:
        module = of(name, seed=3)
        before = torch.get_rng_state()
        found = [float(module(seen(0), seen(1), LABEL, INDEX).detach()) for _ in range(3)]
        assert torch.get_rng_state().equal(before)
        return found

    assert run() == run()


@pytest.mark.parametrize("name", DISTILLERS)
def test_in_eval_mode_nothing_is_remembered(name: str) -> None:
    module = of(name).eval()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    first = float(module(seen(0), seen(1), LABEL, INDEX).detach())
    assert all(value.equal(state[key]) for key, value in module.state_dict().items())
    assert float(module(seen(0), seen(1), LABEL, INDEX).detach()) == first


@pytest.mark.parametrize("name", DISTILLERS)
@pytest.mark.parametrize("rows", [1, 3])
def test_one_class_or_one_row_is_finite(name: str, rows: int) -> None:
    module = of(name).eval()  # batch normalisation of one row
    loss = module(seen(0, rows), seen(1, rows), torch.ones(rows, dtype=torch.int64), INDEX[:rows])
    assert loss.isfinite()


def test_the_usual_weights_are_of_all_of_them() -> None:
    assert set(USUAL_WEIGHT) == set(DISTILLERS)


def test_names_and_settings_that_are_not_known() -> None:
    with pytest.raises(RecipeError, match=r"distil 'fitnets': .*fitnet"):
        distiller("fitnets", seen(0), seen(1), ITEMS)
    with pytest.raises(RecipeError, match=r"distil 'kd'.*temperature"):
        distiller("kd", seen(0), seen(1), ITEMS, settings={"temperature": 3})
    with pytest.raises(RecipeError, match=r"distil 'mv': no setting 'margn'; did you mean 'margin'"):
        of("mv", margn=1)
    with pytest.raises(RecipeError, match=r"distil 'fr': no setting 'partners'"):
        of("fr", partners=1)
    with pytest.raises(RecipeError, match="2 weights for 4 taps"):
        of("fr", layers=(1, 1))
    with pytest.raises(RecipeError, match="every weight is 0"):
        of("mv", layers=(0, 0, 0, 0))


def test_layers_are_weighed() -> None:
    s, t = seen(0), seen(1)
    each = [float(distill.frequency_attention(S, T).loss.detach()) for S, T in zip(s.maps, t.maps, strict=True)]
    assert float(of("fr")(s, t, LABEL, INDEX).detach()) == pytest.approx(each[1] + 2 * each[2] + each[3] / 4)


def test_variational_information_starts_where_it_was_told() -> None:
    module = of("vid")
    for mean in module.means:
        for layer in mean:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.zeros_(layer.weight)
    nothing = Seen(tuple(torch.zeros(2, *shape) for shape in SHAPES), torch.zeros(2, 10), torch.zeros(2, 2))
    assert float(module(nothing, nothing, LABEL[:2], INDEX[:2]).detach()) == pytest.approx(
        4 * math.log(5) / 2, rel=1e-4
    )


def test_the_first_block_of_nonlocal_is_the_squared_error() -> None:
    s, t = seen(0), seen(1)
    expected = (s.maps[-1] - t.maps[-1]).square().sum() / ROWS
    assert float(of("nonlocal")(s, t, LABEL, INDEX).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_memory_moves_half_way_to_what_it_sees_and_scales_are_fixed_at_the_first_batch() -> None:
    module: CRD = of("crd")
    before = module.memory.clone()  # type: ignore[operator]
    module(seen(0), seen(1), LABEL, INDEX)
    scales = module.Z.clone()  # type: ignore[operator]
    assert (scales > 0).all()
    e = torch.nn.functional.normalize(module.heads[0](seen(0).pooled), dim=1)
    expected = torch.nn.functional.normalize((before[0][INDEX] + e) / 2, dim=1)
    torch.testing.assert_close(module.memory[0][INDEX], expected.detach())  # type: ignore[index]
    others = [i for i in range(ITEMS) if i not in INDEX.tolist()]
    assert module.memory[0][others].equal(before[0][others])  # type: ignore[index]
    module(seen(2), seen(3), LABEL, INDEX)
    assert module.Z.equal(scales)  # type: ignore[operator]


def test_at_chance_level_the_contrastive_loss_has_its_closed_form() -> None:
    """All scores alike: u = 1 / n after the scale, so log of u / (u + K / n) is log of 1 / (1 + K)."""
    module = of("crd")
    for head in module.heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    loss = float(module(seen(0), seen(1), LABEL, INDEX).detach())
    K = 7
    assert loss == pytest.approx(2 * (math.log(1 + K) + K * math.log((1 + K) / K)), rel=1e-5)


def test_views_are_drawn_anew_or_kept() -> None:
    def losses(**how: Any) -> list[float]:
        module = of("mv", eta=0.0, **how)
        return [round(float(module(seen(0), seen(1), LABEL, INDEX).detach()), 6) for _ in range(3)]

    assert len(set(losses())) == 3
    assert len(set(losses(redraw=False))) == 1
