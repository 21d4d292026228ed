"""Distillation losses: closed forms and the numbers of ADD's specification (checks 1 to 7 and 16)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from verisight.ops.distill import (
    attention_transfer,
    cc,
    crd_side,
    fitnet,
    fitnet_cos,
    frequency_attention,
    kd,
    nst,
    pkt,
    rkd,
    similarity_preserving,
    vid,
)

F64 = torch.float64
N = 8
ROW = torch.arange(N, dtype=F64)
CHECKERS = ((-1.0) ** (ROW[:, None] + ROW[None])).to(F64)
WAVE = torch.cos(2 * torch.pi * ROW / N)[None].expand(N, N)
FLAT = torch.ones(N, N, dtype=F64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def fr(*channels: Tensor, **how: Any) -> float:
    """Of a gap with these channels."""
    gap = torch.stack(channels)[None]
    return float(frequency_attention(gap, torch.zeros_like(gap), **how).loss)


# --- frequency attention ---


@pytest.mark.parametrize(
    ("gap", "value"),
    [
        (0.5 * FLAT, 0.25 * math.exp(0.25)),
        (0.5 * CHECKERS, 0.25 * math.exp(0.25)),
        (FLAT, math.e),
        (WAVE, 0.5 * math.exp(0.25)),
        (0.5 * FLAT + CHECKERS, 3.039288),
    ],
)
def test_gaps_of_one_or_two_frequencies(gap: Tensor, value: float) -> None:
    assert fr(gap) == pytest.approx(value, abs=1e-6)


def test_the_weight_is_shared_by_channels() -> None:
    assert fr(0.5 * FLAT, 0 * FLAT) == pytest.approx(0.25 * math.exp(0.125))


def test_relative_weights() -> None:
    assert fr(0.5 * FLAT + CHECKERS, attention="relative") == pytest.approx(0.25 * 0.25 + 1)
    assert fr(0.5 * FLAT + CHECKERS, attention="focal") == pytest.approx(0.25 * 0.5 + 1)


def test_a_map_of_four() -> None:
    S, T = torch.tensor([[[[1.0, 2], [3, 4]]]], dtype=F64), torch.ones(1, 1, 2, 2, dtype=F64)
    found = frequency_attention(S, T)
    assert float(found.loss) == pytest.approx(24.386694, abs=1e-6)
    assert float(found.heaviest) == pytest.approx(9.487736, abs=1e-6)
    assert float(frequency_attention(S, T, gamma=0).loss) == pytest.approx(3.5)
    two = torch.cat([S, T + 0.5], dim=1)
    assert float(frequency_attention(two, torch.ones_like(two)).loss) == pytest.approx(10.657866, abs=1e-6)
    assert float(frequency_attention(two, torch.ones_like(two), gamma=0).loss) == pytest.approx(3.75)
    batch = torch.cat([S, T])
    assert float(frequency_attention(batch, torch.ones_like(batch)).loss) == pytest.approx(12.193347, abs=1e-6)


@pytest.mark.parametrize(("transform", "shape"), [("fft", (3, 5, 6, 7)), ("dct", (2, 3, 4, 5)), ("fft", (1, 1, 8, 8))])
def test_without_attention_it_is_the_mean_squared_error_times_channels(transform: Any, shape: tuple[int, ...]) -> None:
    S, T = normal(*shape), normal(*shape, seed=1)
    found = float(frequency_attention(S, T, gamma=0, transform=transform).loss)
    assert found == pytest.approx(shape[1] * float((S - T).square().mean()), rel=1e-12)


def test_goldens() -> None:
    S, T = (torch.cos(k * torch.arange(128, dtype=F64)).reshape(2, 4, 4, 4) for k in (0.7, 0.9))
    found = [float(frequency_attention(S, T, gamma=g).loss) for g in (0, 1, 10)]
    assert found == pytest.approx([3.928702, 5.471119, 686.244322], rel=1e-6)
    S.requires_grad_()
    (g,) = torch.autograd.grad(frequency_attention(S, T).loss, S)
    assert float(g.norm()) == pytest.approx(1.004910, abs=1e-6)


def test_the_gradient_is_the_error_through_a_filter_without_phase() -> None:
    S, T = normal(3, 5, 6, 7).requires_grad_(), normal(3, 5, 6, 7, seed=1)
    (g,) = torch.autograd.grad(frequency_attention(S, T).loss, S)
    gap = torch.fft.fft2(S.detach() - T)
    w = torch.exp((gap / 42).abs().square().mean(dim=1, keepdim=True))
    torch.testing.assert_close(g, 2 / (3 * 42) * torch.fft.ifft2(w * gap).real, rtol=1e-12, atol=1e-14)
    mirrored = w.flip(2, 3).roll((1, 1), (2, 3))
    torch.testing.assert_close(w, mirrored)
    assert float(w.min()) >= 1


def test_the_weights_are_held_still() -> None:
    """Of one frequency of amplitude a: 2 a e^(g a^2), not 2 a (1 + g a^2) e^(g a^2)."""
    gap = (0.5 * FLAT)[None, None].clone().requires_grad_()
    (g,) = torch.autograd.grad(frequency_attention(gap, torch.zeros_like(gap)).loss, gap)
    assert float(g.sum()) == pytest.approx(2 * 0.5 * math.exp(0.25))


def test_what_changes_nothing_and_what_does() -> None:
    S, T = normal(3, 4, 6, 6), normal(3, 4, 6, 6, seed=1)

    def value(s: Tensor, t: Tensor, gamma: float = 1.0) -> float:
        return float(frequency_attention(s, t, gamma=gamma).loss)

    same = value(S, T)
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda x: x[[2, 0, 1]],
        lambda x: x[:, [3, 1, 0, 2]],
        lambda x: x.roll((2, 3), (2, 3)),
        lambda x: x.flip(3),
        lambda x: x + 4,
    ]
    for change in changes:
        assert value(change(S), change(T)) == pytest.approx(same, rel=1e-9)
        assert value(change(S), T) != pytest.approx(same, rel=1e-3)
    assert value(2 * S, 2 * T, 0) == pytest.approx(4 * value(S, T, 0))
    assert value(2 * S, 2 * T, 0.25) == pytest.approx(4 * same)


def test_a_band_leaves_low_frequencies_out() -> None:
    assert fr(FLAT, gamma=0, band=(0.25, 1)) == pytest.approx(0, abs=1e-15)
    assert fr(CHECKERS, gamma=0, band=(0.25, 1)) == pytest.approx(1)
    assert fr(CHECKERS, gamma=0, band=(0.0, 0.25)) == pytest.approx(0, abs=1e-15)


def coloured_noise() -> Tensor:
    rng = np.random.default_rng(0)
    r = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    shaped = np.fft.ifft2(np.fft.fft2(rng.normal(size=(64, 64))) / np.maximum(r, 1 / 64) ** 1.2).real
    return torch.from_numpy((shaped - shaped.mean()) / shaped.std())


def test_a_shift_of_one_pixel_costs_more_than_a_blur() -> None:
    x = coloured_noise()
    f = torch.fft.fftfreq(64, dtype=F64)
    soft = torch.exp(-2 * torch.pi**2 * (f[:, None].square() + f[None].square()))
    blurred = torch.fft.ifft2(torch.fft.fft2(x) * soft).real
    blur, shift = (fr(x - other, gamma=0) for other in (blurred, x.roll(1, 1)))
    assert shift > 2 * blur > 0
    found = frequency_attention((x - blurred)[None, None], torch.zeros(1, 1, 64, 64, dtype=F64))
    assert 1 < float(found.heaviest) < 1.01  # white gaps are hardly weighted at all


def test_large_exponents_are_cut_off_and_counted() -> None:
    gap = torch.full((1, 1, 16, 16), 0.6)
    found = frequency_attention(gap, torch.zeros_like(gap), norm="ortho")
    assert found.loss.isfinite()
    assert float(found.clamped) == pytest.approx(1 / 256)
    assert float(frequency_attention(gap, torch.zeros_like(gap)).clamped) == 0


def test_auto_weights_reach_ten() -> None:
    S, T = normal(2, 3, 5, 5), normal(2, 3, 5, 5, seed=1)
    assert float(frequency_attention(S, T, gamma="auto").heaviest) == pytest.approx(10)
    assert float(frequency_attention(S, S, gamma="auto").loss) == 0


def test_softmax_weights_have_mean_one() -> None:
    S, T = normal(2, 3, 5, 5), normal(2, 3, 5, 5, seed=1)
    flat = float(frequency_attention(S, T, gamma=0, attention="softmax").loss)
    assert flat == pytest.approx(float(frequency_attention(S, T, gamma=0).loss))


def test_half_precision_is_left() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = frequency_attention(normal(2, 3, 8, 8).bfloat16(), normal(2, 3, 8, 8, seed=1).bfloat16())
    assert found.loss.dtype == torch.float32


# --- the rivals ---

f_s = torch.tensor([[1.0, 0], [0, 1], [1, 1]], dtype=F64)
f_t = torch.tensor([[1.0, 0], [0, 2], [2, 2]], dtype=F64)
f_u = torch.tensor([[1.0, 0], [1, 1], [0, 1]], dtype=F64)
Z_S, Z_T = torch.tensor([[1.0, 0], [0, 1]], dtype=F64), torch.tensor([[2.0, 0], [0, 1]], dtype=F64)


def test_hints() -> None:
    assert float(fitnet(f_s, f_t)) == pytest.approx(0.5)
    assert float(fitnet_cos(f_s, f_t)) == pytest.approx(0, abs=1e-12)


def test_similarity() -> None:
    assert float(similarity_preserving(f_s, f_t)) == pytest.approx(0.015858, abs=1e-6)
    assert float(similarity_preserving(f_s, f_u)) == pytest.approx(0.170655, abs=1e-6)
    turn = torch.linalg.qr(normal(2, 2))[0]
    assert float(similarity_preserving(f_s @ turn, f_t @ turn)) == pytest.approx(0.015858, abs=1e-6)


def test_relations() -> None:
    found = rkd(f_s, f_t)
    assert (float(found.distance), float(found.angle)) == pytest.approx((0.007749, 0.010334), abs=1e-6)
    assert 25 * float(found.distance) + 50 * float(found.angle) == pytest.approx(0.710429, abs=1e-5)
    other = rkd(f_s, f_u)
    assert (float(other.distance), float(other.angle)) == pytest.approx((0.029437, 0.037037), abs=1e-6)
    assert [float(part) for part in rkd(f_s, 3 * f_s + 1)] == pytest.approx([0, 0], abs=1e-12)


def test_chances() -> None:
    assert float(pkt(f_s, f_t)) == pytest.approx(0, abs=1e-9)
    assert float(pkt(f_s, f_u)) == pytest.approx(0.015038, abs=1e-6)


def test_correlation_of_neighbours() -> None:
    assert float(cc(f_s, f_t)) == pytest.approx(0.5)


def test_predictions() -> None:
    assert float(kd(Z_S, Z_T, 4)) == pytest.approx(0.059818, abs=1e-6)
    assert float(kd(Z_S, Z_T, 1)) == pytest.approx(0.033565, abs=1e-6)
    assert float(kd(Z_S, Z_T, 1e4)) == pytest.approx(0.0625, abs=1e-4)
    one = kd(Z_S[:, 1] - Z_S[:, 0], Z_T[:, 1] - Z_T[:, 0], 4)  # one logit is the difference of two
    assert float(one) == pytest.approx(float(kd(Z_S, Z_T, 4)))


def test_attention_maps_and_channel_statistics() -> None:
    s = torch.tensor([[[[1.0, 2], [0, 0]], [[1, 0], [0, 2]]]], dtype=F64)
    t = torch.tensor([[[[2.0, 2], [0, 0]], [[0, 0], [0, 1]]]], dtype=F64)
    assert float(attention_transfer(s, t)) == pytest.approx(0.093819, abs=1e-6)
    assert float(attention_transfer(3 * s, s)) == pytest.approx(0)
    assert float(nst(s, t)) == pytest.approx(0.12)
    assert float(nst(s[:, [1, 0]], t)) == pytest.approx(0.12)


def test_variational_information() -> None:
    T = normal(2, 3, 4, 4)
    assert float(vid(T, T, torch.full((3,), 5.0, dtype=F64))) == pytest.approx(math.log(5) / 2)


def test_contrastive_representation() -> None:
    c = 16 / 1000
    for u, value in {0.001: 3.803207, 0.016: 17 * math.log(2), 1.0: 66.432512}.items():
        found = crd_side(torch.full((2,), u, dtype=F64), torch.full((2, 16), u, dtype=F64), c)
        assert float(found) == pytest.approx(value, abs=1e-6)
    assert all(
        float(crd_side(torch.full((1,), u, dtype=F64), torch.full((1, 1), u, dtype=F64), c))
        >= float(crd_side(torch.full((1,), c, dtype=F64), torch.full((1, 1), c, dtype=F64), c))
        for u in (0.001, 0.015, 0.017, 0.5)
    )  # with one negative, chance level is the minimum over a common score


@pytest.mark.parametrize("loss", [kd, fitnet, fitnet_cos, similarity_preserving, pkt, cc, lambda s, t: sum(rkd(s, t))])
def test_a_student_that_is_its_teacher_costs_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert float(loss(f_s, f_s)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("loss", [attention_transfer, nst, fitnet, lambda s, t: frequency_attention(s, t).loss])
def test_maps_that_are_the_teachers_cost_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    S = normal(3, 4, 5, 5)
    assert float(loss(S, S)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "loss", [kd, fitnet, fitnet_cos, similarity_preserving, pkt, cc, lambda s, t: rkd(s, t).distance + rkd(s, t).angle]
)
def test_gradients_are_right_and_none_reaches_the_teacher(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    s, t = normal(4, 2).requires_grad_(), normal(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, t), s)
    assert torch.autograd.grad(loss(s, t), t, allow_unused=True) == (None,)


# --- slow references ---


def test_relations_against_loops() -> None:
    s, t = normal(5, 3).numpy(), normal(5, 4, seed=1).numpy()

    def smooth(a: np.ndarray, b: np.ndarray) -> float:
        d = np.abs(a - b)
        return float(np.where(d < 1, d**2 / 2, d - 0.5).mean())

    def distances(x: np.ndarray) -> np.ndarray:
        d = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
        return d / d[d > 0].mean()

    def angles(x: np.ndarray) -> np.ndarray:
        out = np.zeros((5, 5, 5))
        for i in range(5):
            for j in range(5):
                for k in range(5):
                    if i not in (j, k):
                        a, b = x[j] - x[i], x[k] - x[i]
                        out[i, j, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        return out

    found = rkd(torch.from_numpy(s), torch.from_numpy(t))
    assert float(found.distance) == pytest.approx(smooth(distances(s), distances(t)))
    assert float(found.angle) == pytest.approx(smooth(angles(s), angles(t)))


def test_channel_statistics_against_loops() -> None:
    S, T = normal(2, 3, 2, 2).numpy(), normal(2, 3, 2, 2, seed=1).numpy()
    unit = [[[c.ravel() / np.linalg.norm(c) for c in row] for row in x] for x in (S, T)]

    def k(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> float:
        return float(np.mean([(p @ q) ** 2 for i in range(2) for p in a[i] for q in b[i]]))

    expected = k(unit[1], unit[1]) + k(unit[0], unit[0]) - 2 * k(unit[0], unit[1])
    assert float(nst(torch.from_numpy(S), torch.from_numpy(T))) == pytest.approx(expected)
