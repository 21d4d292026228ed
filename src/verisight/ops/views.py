"""Multi-view attention: feature maps as heaps of mass, seen from random directions (ADD, Le, Woo, AAAI 2022).

Symbols: x (B, C, H, W), a map; m (B, N), N = C H W, its mass x^2 / sum x^2; theta (K, 3), views, unit vectors over
(channel, row, column); p_k (N,), how far each position lies along view k; a_k (B, G), the mass in each of G intervals
of p_k: the attention vector of the view. With D(u, v) = sum_g |u_g - v_g|^p, student S and teacher T:

    L_tr  = mean_b D(a_k(S)_b, a_k(T)_b)
    con(U, V) = mean_i D(U_i, V_i+) + mean_i max(0, margin - D(U_i, V_i-)),     i+ of the same class, i- of the other
    L_MV  = (1/K) sum_k [gamma L_tr + eta (con(a(S), a(T)) + con(a(T), a(S)))]

Three forms. `views` is the above. `repo` is what the released code does: it sums along memory, so that a view moves the
cuts and not the masses, and drops the last interval. `ot` is what the words promise: the mean over views of W_1, which
alone knows how far mass has to go; it has no contrastive part.

Positions, views and intervals are constants; a gradient reaches the maps through their masses, so it is orthogonal to
each map and blind to the sign of activations.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from verisight.core.errors import RecipeError, nearest
from verisight.ops.transport import shifted_mass

Form = Literal["views", "repo", "ot"]


class MultiView(NamedTuple):
    """loss : scalar, `gamma` and `eta` inside. transport : mean of L_tr, or of W_1. contrastive : mean of both con.
    active : share of hinges above 0. skipped : whether the contrastive part found no partners."""

    loss: Tensor
    transport: Tensor
    contrastive: Tensor
    active: Tensor
    skipped: bool


class Partners(NamedTuple):
    """(B,) a row of the same class and one of the other for every row."""

    same: Tensor
    other: Tensor


def multi_view(
    student: Tensor,
    teacher: Tensor,
    theta: Tensor,
    partners: Partners | None = None,
    *,
    form: Form = "views",
    intervals: int | None = None,
    p: float = 2.0,
    gamma: float = 100.0,
    eta: float = 50.0,
    margin: float = 0.012,
    unit: bool = True,
    groups: int = 1,
) -> MultiView:
    """The loss of two maps (B, C, H, W) under views `theta` (K, 3). The teacher is detached.

    partners : None leaves the contrastive part out, as a batch of one class does.
    intervals : G; half of the greatest common divisor of the numbers of channels, at least 2, where none is given.
    unit : positions scaled to the unit cube; else raw indices, along which the channel is nearly all that is seen.
    groups : above 1, channels are cut into so many groups with vectors of their own, and views see rows and columns
        alone: channels of a group may then change places.

    Maps of unlike shape can be compared by `views` only.

    Raises
    ------
    RecipeError : no such form, or one that maps of these shapes do not have.
    """
    _check(form, student, teacher)
    G = intervals or max(2, math.gcd(student.shape[1], teacher.shape[1]) // 2)
    with torch.autocast(student.device.type, enabled=False):
        m_s, m_t = masses(student), masses(teacher.detach())
        if groups > 1:
            theta = normalize(theta * theta.new_tensor([0.0, 1.0, 1.0]), dim=1)
        p_s = _along(theta, student, unit)
        p_t = p_s if teacher.shape[1:] == student.shape[1:] else _along(theta, teacher, unit)
        zero = m_s.sum() * 0
        if form == "ot":
            moved = shifted_mass(m_s, m_t, p_s).mean()
            return MultiView(gamma * moved, moved, zero, zero.detach(), False)
        if form == "repo":
            ends = [cuts(at, G) for at in p_s]
            a_s, a_t = ([between(reached, at) for at in ends] for reached in (m_s.cumsum(dim=1), m_t.cumsum(dim=1)))
        else:
            of_s = [_grouped(bins(at, G), G, student.shape[1], groups) for at in p_s]
            of_t = of_s if p_t is p_s else [_grouped(bins(at, G), G, teacher.shape[1], groups) for at in p_t]
            a_s, a_t = ([attention(m, of, G * groups) for of in each] for m, each in ((m_s, of_s), (m_t, of_t)))
        moved = torch.stack([_apart(u, v, p).mean() for u, v in zip(a_s, a_t, strict=True)]).mean()
        if partners is None or eta == 0:
            return MultiView(gamma * moved, moved, zero, zero.detach(), eta != 0)
        both_ways = zip(a_s + a_t, a_t + a_s, strict=True)
        each = [contrastive(u, v, partners, p=p, margin=margin) for u, v in both_ways]
        con = 2 * torch.stack([value for value, _ in each]).mean()
        share = torch.stack([active for _, active in each]).mean()
    return MultiView(gamma * moved + eta * con, moved, con, share, False)


def _check(form: Form, student: Tensor, teacher: Tensor) -> None:
    if form not in get_args(Form):
        raise RecipeError(f"form '{form}'", "no form of this name", nearest(form, get_args(Form)))
    of_s, of_t = tuple(student.shape[1:]), tuple(teacher.shape[1:])
    if form != "views" and of_s != of_t:
        raise RecipeError(f"form '{form}'", f"student and teacher maps are {of_s} and {of_t}", "use 'views'")


def _along(theta: Tensor, x: Tensor, unit: bool) -> Tensor:
    """(K, N) float64: how far each position of a map lies along each view."""
    at = grid(*x.shape[1:], unit=unit).to(x.device)
    return torch.stack([at @ view for view in theta.to(at)])  # one by one: a view is what it is whatever K


def masses(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, N), at least float32; sums to 1 a row, to 0 where all is 0."""
    energy = x.flatten(1).to(torch.promote_types(x.dtype, torch.float32)).square()
    # a sum keeps more digits than a norm, which adds up one by one: rows come to 1 within 1e-7 and not 2e-6
    return energy / energy.sum(dim=1, keepdim=True).clamp(min=1e-24)


def grid(C: int, H: int, W: int, *, unit: bool = True) -> Tensor:
    """(N, 3) float64: channel, row and column of every position in memory order; each axis from 0 to 1 where `unit`."""
    axes = [torch.arange(n, dtype=torch.float64) / (max(1, n - 1) if unit else 1) for n in (C, H, W)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def bins(positions: Tensor, G: int) -> Tensor:
    """(N,) -> (N,) int64 0 .. G - 1: intervals of equal width between the outermost positions."""
    low, high = positions.aminmax()
    if high == low:
        return torch.zeros_like(positions, dtype=torch.int64)
    return (G * (positions - low) / (high - low)).floor().long().clamp(max=G - 1)


def attention(m: Tensor, of: Tensor, G: int) -> Tensor:
    """(B, N) masses and (N,) intervals -> (B, G) mass in each."""
    return m.new_zeros(len(m), G).index_add(1, of, m)


def cuts(positions: Tensor, G: int) -> Tensor:
    """(N,) -> (G - 1,) int64: where, among the *sorted* positions, each interval but the last ends."""
    low, high = positions.aminmax()
    edges = low + (high - low) * torch.arange(1, G, dtype=positions.dtype, device=positions.device) / G
    return torch.searchsorted(positions.sort().values, edges).clamp(max=len(positions) - 1)


def between(reached: Tensor, cuts: Tensor) -> Tensor:
    """(B, N) masses added up in the order of *memory* -> (B, G - 1): the released code's vector. The element at a cut
    counts before it, and the last interval is lost."""
    return torch.diff(reached[:, cuts], dim=1, prepend=reached.new_zeros(len(reached), 1))


def contrastive(
    u: Tensor, v: Tensor, partners: Partners, *, p: float = 2.0, margin: float = 0.012
) -> tuple[Tensor, Tensor]:
    """con(U, V) of vectors (B, G), and the share of rows whose hinge is above 0."""
    hinge = (margin - _apart(u, v[partners.other], p)).clamp(min=0)
    return _apart(u, v[partners.same], p).mean() + hinge.mean(), (hinge.detach() > 0).to(u.dtype).mean()


def partners_of(label: Tensor, generator: torch.Generator | None = None) -> Partners | None:
    """Random partners of every row (B,); itself only where it is alone in its class. None where a class is absent."""
    if bool((label == label[0]).all()):
        return None
    chance = torch.rand(len(label), len(label), generator=generator).to(label.device)
    alike = label[:, None] == label[None]
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    same = torch.where(alike, torch.where(itself, -0.5, chance), -1.0).argmax(dim=1)
    return Partners(same, torch.where(alike, -1.0, chance).argmax(dim=1))


def _apart(u: Tensor, v: Tensor, p: float) -> Tensor:
    """(B, G) twice -> (B,) D."""
    return (u - v).square().sum(dim=1) if p == 2 else ((u - v).abs() ** p).sum(dim=1)


def _grouped(of: Tensor, G: int, C: int, groups: int) -> Tensor:
    """Intervals of their own for every group of channels."""
    if groups == 1:
        return of
    group = torch.arange(C, device=of.device) * groups // C
    return of + G * group.repeat_interleave(len(of) // C)
