"""Multi-view attention: the numbers and properties of ADD's specification (checks 8 and 9, 11 to 15)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from verisight.core.errors import RecipeError
from verisight.ops.views import (
    Partners,
    attention,
    between,
    bins,
    contrastive,
    cuts,
    grid,
    masses,
    multi_view,
    partners_of,
)

F64 = torch.float64
AXES = torch.eye(3, dtype=F64)
OBLIQUE = torch.tensor([[0.6, 0.64, 0.48]], dtype=F64)
VIEWS = torch.cat([AXES, OBLIQUE])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def golden(k: float) -> Tensor:
    return torch.cos(k * torch.arange(128, dtype=F64)).reshape(2, 4, 4, 4)


S, T = golden(0.7), golden(0.9)


def transport(view: Tensor, s: Tensor = S, t: Tensor = T, **how: Any) -> float:
    return float(multi_view(s, t, view[None] if view.ndim == 1 else view, **how).transport)


# --- values ---


def test_a_map_of_four_numbers() -> None:
    s, t = torch.tensor([1.0, 2, 3, 4], dtype=F64).reshape(1, 2, 1, 2), torch.ones(1, 2, 1, 2, dtype=F64)
    assert masses(s).flatten().tolist() == pytest.approx([1 / 30, 4 / 30, 9 / 30, 16 / 30])
    assert transport(AXES[0], s, t, intervals=2) == pytest.approx(2 / 9)
    assert transport(AXES[0], s, t, form="ot") == pytest.approx(1 / 3)
    assert transport(AXES[2], s, t, intervals=2) == pytest.approx(1 / 18)
    assert transport(AXES[2], s, t, form="ot") == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        (4, [1.789653e-4, 1.608868e-4, 7.792403e-3, 1.653448e-3]),
        (2, [1.156522e-7, 2.610556e-4, 6.483899e-3, 2.429096e-6]),
    ],
)
def test_attention_along_four_views(intervals: int, expected: list[float]) -> None:
    found = [transport(view, intervals=intervals) for view in VIEWS]
    assert found == pytest.approx(expected, rel=1e-6)
    assert transport(VIEWS, intervals=intervals) == pytest.approx(sum(expected) / 4, rel=1e-6)


def test_true_transport_along_four_views() -> None:
    expected = [0.002990664, 0.007397306, 0.042875694, 0.017559728]
    assert [transport(view, form="ot") for view in VIEWS] == pytest.approx(expected, rel=1e-6)
    assert transport(VIEWS, form="ot") == pytest.approx(0.017705848, rel=1e-6)


def test_true_transport_of_a_cube_against_an_independent_library() -> None:
    ot: Any = pytest.importorskip("ot")
    m = (torch.arange(1, 9, dtype=F64) ** 2 / 204)[None]
    s = m.sqrt().reshape(1, 2, 2, 2)
    t = torch.ones_like(s)
    each = [transport(view, s, t, form="ot") for view in AXES]
    assert each == pytest.approx([0.352941, 0.176471, 0.088235], abs=1e-6)
    at = grid(2, 2, 2)
    theirs = ot.sliced_wasserstein_distance(at, at, m[0], torch.full((8,), 1 / 8, dtype=F64), projections=AXES.T, p=1)
    assert transport(AXES, s, t, form="ot") == pytest.approx(float(theirs), rel=1e-12)


def test_only_true_transport_knows_how_far() -> None:
    def at(k: int) -> Tensor:
        x = torch.zeros(1, 8, 1, 1, dtype=F64)
        x[0, k] = 1
        return x

    for k in (1, 3, 7):
        assert transport(AXES[0], at(0), at(k), form="ot") == pytest.approx(k / 7)
        assert transport(AXES[0], at(0), at(k), intervals=8) == pytest.approx(2)


# --- what the released code does ---


@pytest.mark.parametrize(("intervals", "expected"), [(4, 3.131334e-4), (2, 9.118410e-6)])
def test_in_the_released_code_every_axis_is_the_same_view(intervals: int, expected: float) -> None:
    found = [transport(view, form="repo", unit=False, intervals=intervals) for view in AXES]
    assert found == pytest.approx([expected] * 3, rel=1e-6)
    if intervals == 2:
        assert transport(OBLIQUE, form="repo", unit=False, intervals=2) == pytest.approx(expected, rel=1e-6)


def test_in_the_released_code_a_view_from_behind_sees_the_front() -> None:
    m, at = torch.tensor([[0.5, 0.5, 0, 0]], dtype=F64), grid(4, 1, 1, unit=False)
    reached = m.cumsum(dim=1)
    assert between(reached, cuts(at @ AXES[0], 4)).tolist() == [[1, 0, 0]]
    for view in (AXES[0], -AXES[0]):
        assert between(reached, cuts(at @ view, 2)).tolist() == [[1]]
    assert attention(m, bins(at @ AXES[0], 4), 4).tolist() == [[0.5, 0.5, 0, 0]]
    assert attention(m, bins(at @ AXES[0], 2), 2).tolist() == [[1, 0]]
    assert attention(m, bins(-at @ AXES[0], 2), 2).tolist() == [[0, 1]]


# --- properties ---


@pytest.mark.parametrize("form", ["views", "repo", "ot"])
def test_what_changes_nothing_and_what_does(form: Any) -> None:
    s, t = normal(3, 4, 5, 6), normal(3, 4, 5, 6, seed=1)
    value = transport(VIEWS, s, t, form=form)
    assert transport(VIEWS, 3 * s, -2 * t, form=form) == pytest.approx(value)
    assert transport(VIEWS, s.abs(), t, form=form) == pytest.approx(value)
    assert transport(VIEWS, s[[2, 0, 1]], t[[2, 0, 1]], form=form) == pytest.approx(value)
    assert transport(VIEWS, s, s, form=form) == 0
    halves = (transport(VIEWS, s[:2], t[:2], form=form) * 2 + transport(VIEWS, s[2:], t[2:], form=form)) / 3
    assert halves == pytest.approx(value)
    if form != "repo":
        assert transport(-OBLIQUE, s, t, form=form) == pytest.approx(transport(OBLIQUE, s, t, form=form))
        turned = [x.flip(1, 2, 3) for x in (s, t)]
        assert transport(OBLIQUE, *turned, form=form) == pytest.approx(transport(OBLIQUE, s, t, form=form))
        order = [2, 0, 3, 1]
        assert transport(AXES[0], s[:, order], t[:, order], form=form) != pytest.approx(
            transport(AXES[0], s, t, form=form), rel=1e-3
        )


def test_a_gradient_is_orthogonal_to_its_map_and_none_reaches_the_teacher() -> None:
    s, t = normal(3, 4, 5, 6).requires_grad_(), normal(3, 4, 5, 6, seed=1).requires_grad_()
    for form in ("views", "repo", "ot"):
        loss = multi_view(s, t, VIEWS, partners_of(torch.tensor([0, 1, 1])), form=form).loss  # type: ignore[arg-type]
        (g,) = torch.autograd.grad(loss, s, retain_graph=True)
        torch.testing.assert_close((g * s).flatten(1).sum(1), torch.zeros(3, dtype=F64), rtol=0, atol=1e-10)
        assert torch.autograd.grad(loss, t, allow_unused=True) == (None,)


@pytest.mark.parametrize("form", ["views", "repo", "ot"])
def test_gradients_agree_with_differences(form: Any) -> None:
    t, pairs = normal(3, 2, 2, 3, seed=1), Partners(torch.tensor([1, 0, 2]), torch.tensor([2, 2, 0]))
    s = normal(3, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: multi_view(s, t, VIEWS, pairs, form=form, margin=0.5).loss, s)


def test_channels_of_a_group_may_change_places() -> None:
    s, t = normal(2, 4, 5, 5), normal(2, 4, 5, 5, seed=1)
    value, order = transport(VIEWS[1:], s, t, groups=2), [1, 0, 3, 2]
    assert transport(VIEWS[1:], s[:, order], t[:, order], groups=2) == pytest.approx(value)
    other = [2, 1, 0, 3]
    assert transport(VIEWS[1:], s[:, other], t[:, other], groups=2) != pytest.approx(value, rel=1e-3)


def test_maps_of_unlike_shape_are_nearly_one_where_both_are_constant() -> None:
    small, large = (torch.ones(1, n, n, n, dtype=F64) for n in (4, 8))
    a_s, a_l = (attention(masses(x), bins(grid(*x.shape[1:]) @ OBLIQUE[0], 2), 2) for x in (small, large))
    assert a_s[0].tolist() == pytest.approx([0.5, 0.5])
    assert a_l[0].tolist() == pytest.approx([0.5, 0.5], abs=3e-3)
    assert transport(VIEWS, small, large, intervals=2) < 1e-3


def test_maps_of_unlike_shape_are_for_views_alone() -> None:
    s, t = normal(3, 4, 4, 4).requires_grad_(), normal(3, 6, 2, 2, seed=1)
    found = multi_view(s, t, VIEWS, partners_of(torch.tensor([0, 1, 1])))
    (g,) = torch.autograd.grad(found.loss, s)
    assert float(found.loss.detach()) > 0
    assert float(g.norm()) > 0
    for form in ("repo", "ot"):
        with pytest.raises(RecipeError, match=r"\(4, 4, 4\) and \(6, 2, 2\)"):
            multi_view(s, t, VIEWS, form=form)
    with pytest.raises(RecipeError, match="'views'"):
        multi_view(s, s, VIEWS, form="view")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["views", "repo", "ot"])
def test_memory_does_not_grow_with_the_views(form: Any) -> None:
    """Of a batch: what all rows share, the intervals of a view, is kept once a view."""
    s, t, pairs = normal(6, 8, 4, 4).requires_grad_(), normal(6, 8, 4, 4), partners_of(torch.arange(6) % 2)

    def large(K: int) -> int:
        kept: set[int] = set()

        def keep(x: Tensor) -> Tensor:
            if x.numel() > s.numel() // 2:
                kept.add(x.untyped_storage().data_ptr())
            held.append(x)  # else a later tensor may take its place
            return x

        held: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            multi_view(s, t, normal(K, 3), pairs, form=form)
        return len(kept)

    assert large(12) == large(1) <= 4


# --- contrastive part ---

U = torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], dtype=F64)
V = torch.tensor([[0.5, 0.5], [0.7, 0.3], [0.1, 0.9], [0.3, 0.7]], dtype=F64)
PAIRS = Partners(torch.tensor([1, 0, 3, 2]), torch.tensor([2, 3, 0, 1]))


def test_the_contrastive_part_of_four_rows() -> None:
    both = [contrastive(u, v, PAIRS) for u, v in ((U, V), (V, U))]
    assert [float(value) for value, _ in both] == pytest.approx([0.05, 0.05])
    assert [float(active) for _, active in both] == [0, 0]
    moved = float((U - V).square().sum(1).mean())
    assert moved == pytest.approx(0.01)
    assert 100 * moved + 50 * float(both[0][0] + both[1][0]) == pytest.approx(6.0)


def test_the_whole_of_it_from_maps() -> None:
    """Maps of two channels whose masses along the channel axis are those of U and V."""
    s, t = (x.sqrt().reshape(4, 2, 1, 1) for x in (U, V))
    found = multi_view(s, t, AXES[:1], PAIRS, intervals=2)
    assert float(found.loss) == pytest.approx(6.0)
    assert float(multi_view(s, t, AXES[:1], PAIRS, intervals=2, eta=0).loss) == pytest.approx(1.0)
    other = Partners(torch.tensor([1, 0, 3, 2]), PAIRS.other)
    assert float(multi_view(t, t, AXES[:1], other, intervals=2).loss) == pytest.approx(8.0)  # not 0 where they are one
    assert not found.skipped


def test_the_margin_decides_which_hinges_are_active() -> None:
    value, active = contrastive(U, V, PAIRS, margin=10)
    assert float(active) == 1
    apart = (U - V[PAIRS.other]).square().sum(1)
    assert float(value) == pytest.approx(0.05 + float((10 - apart).mean()))


def test_partners_are_of_the_right_class_and_not_oneself() -> None:
    label = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    seen: set[int] = set()
    for seed in range(50):
        found = partners_of(label, torch.Generator().manual_seed(seed))
        assert found is not None
        assert label[found.same].equal(label)
        assert label[found.other].equal(1 - label)
        assert not (found.same == torch.arange(7)).any()
        seen.add(int(found.same[1]))
    assert seen == {2, 4}
    alone = partners_of(torch.tensor([0, 1, 1]))
    assert alone is not None
    assert alone.same[0] == 0


def test_a_batch_of_one_class_leaves_the_part_out_and_says_so() -> None:
    assert partners_of(torch.ones(4, dtype=torch.int64)) is None
    found = multi_view(normal(4, 4, 2, 2), normal(4, 4, 2, 2, seed=1), VIEWS, None)
    assert found.skipped
    assert float(found.contrastive) == 0


@pytest.mark.parametrize("form", ["views", "repo", "ot"])
def test_a_dead_map_has_no_mass_and_no_wild_gradient(form: Any) -> None:
    dead = torch.zeros(2, 4, 3, 3, requires_grad=True)
    loss = multi_view(dead, torch.randn(2, 4, 3, 3), VIEWS, form=form).loss
    (g,) = torch.autograd.grad(loss, dead)
    assert loss.isfinite()
    assert float(g.abs().max()) == 0


def test_half_precision_is_left() -> None:
    s, t = normal(2, 4, 8, 8).bfloat16(), normal(2, 4, 8, 8, seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = multi_view(s, t, VIEWS)
    assert found.loss.dtype == torch.float32


def test_masses_of_a_large_map_keep_their_digits_in_single_precision() -> None:
    """Else rows of slightly unlike weight would pass for transport where student and teacher are close."""
    m = masses(normal(4, 512, 16, 16).float())
    assert float((m.double().sum(dim=1) - 1).abs().max()) < 5e-7
