"""What a student is pulled by: losses between its tensors and a teacher's.

Symbols: S, T (B, C, H, W), maps; s, t (B, D), pooled features; z (B, 2), logits, or (B,), one logit that stands for
(0, z). Every function detaches the teacher and gives a scalar, unweighted; the weights in use stand in
`verisight.nn.distillers`. All are 0 where student and teacher are one, except `vid` and `crd_side`.

Frequency attention is of ADD (Le, Woo, AAAI 2022). The others are its rivals, in the forms of their authors or of
Tian, Krishnan, Isola, ICLR 2020 (RepDistiller), whose normalisations of sums and means are kept.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, mse_loss, normalize, smooth_l1_loss, softmax

from verisight.ops.spectra import Norm, dct2, fft2, radius

HIGHEST_EXPONENT = 20.0
LOG_TEN = math.log(10.0)

Attention = Literal["exp", "relative", "softmax", "focal"]


class Frequency(NamedTuple):
    """loss : scalar. heaviest : largest weight of a frequency. clamped : share of exponents that were cut off at 20."""

    loss: Tensor
    heaviest: Tensor
    clamped: Tensor


def frequency_attention(
    S: Tensor,
    T: Tensor,
    *,
    gamma: float | Literal["auto"] = 1.0,
    norm: Norm = "forward",
    attention: Attention = "exp",
    band: tuple[float, float] | None = None,
    transform: Literal["fft", "dct"] = "fft",
) -> Frequency:
    """(1/B) sum_b sum_cuv w_buv d_bcuv, d = |F(S - T)|^2, w_buv = exp(gamma mean_c d_bcuv), detached.

    With gamma = 0, the whole band and `forward` it is C times the mean squared error: Parseval.

    gamma : "auto" makes the largest weight of a sample 10.
    norm : of the transform; `ortho` makes d and the exponents H W times larger.
    attention : `exp`, the paper's; `relative`, w = d / max d; `softmax`, times the number of frequencies; `focal`,
        w = sqrt(d / max d), as of the focal frequency loss (Jiang et al. 2021), per channel.
    band : lowest and highest frequency that counts, in cycles a pixel; from the first on, below the second.
    """
    with torch.autocast(S.device.type, enabled=False):
        gap = _exact(S) - _exact(T.detach())
        H, W = gap.shape[-2:]
        d = fft2(gap, norm).abs().square() if transform == "fft" else _scaled(dct2(gap), norm).square()
        if band is not None:
            r = radius(H, W, transform).to(d)
            d = d * ((r >= band[0]) & (r < band[1]))
        w, clamped = _weights(d.detach(), gamma, attention)
        loss = (w * d).sum() / len(d)
    return Frequency(loss, w.max(), clamped)


def _weights(d: Tensor, gamma: float | Literal["auto"], attention: Attention) -> tuple[Tensor, Tensor]:
    """w (B, 1, H, W), or (B, C, H, W) of `focal`, and the share of exponents above the highest."""
    none = torch.zeros((), dtype=d.dtype, device=d.device)
    if attention == "focal":
        top = d.amax(dim=(2, 3), keepdim=True).clamp(min=1e-30)
        return (d / top).sqrt(), none
    mean = d.mean(dim=1, keepdim=True)
    top = mean.amax(dim=(2, 3), keepdim=True).clamp(min=1e-30)
    if attention == "relative":
        return mean / top, none
    if attention == "softmax":
        places = mean.shape[-2] * mean.shape[-1]
        return softmax((mean if gamma == "auto" else gamma * mean).flatten(2), dim=2).view_as(mean) * places, none
    exponent = mean * (LOG_TEN / top) if gamma == "auto" else mean * gamma
    return exponent.clamp(max=HIGHEST_EXPONENT).exp(), (exponent > HIGHEST_EXPONENT).to(d.dtype).mean()


def _scaled(spectrum: Tensor, norm: Norm) -> Tensor:
    return spectrum if norm == "ortho" else spectrum / math.sqrt(spectrum.shape[-2] * spectrum.shape[-1])


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


# --- predictions


def kd(z_s: Tensor, z_t: Tensor, tau: float = 4.0) -> Tensor:
    """tau^2 (1/B) sum KL(softmax(z_t / tau) || softmax(z_s / tau)) (Hinton, Vinyals, Dean 2015)."""
    z_s, z_t = _two(z_s), _two(z_t.detach())
    return tau**2 * kl_div(log_softmax(z_s / tau, dim=1), softmax(z_t / tau, dim=1), reduction="batchmean")


def _two(z: Tensor) -> Tensor:
    """One logit as two classes."""
    return torch.stack([torch.zeros_like(z), z], dim=1) if z.ndim == 1 else z


# --- maps


def fitnet(S: Tensor, T: Tensor) -> Tensor:
    """Mean squared error (Romero et al. 2015); S already of T's shape."""
    return mse_loss(S, T.detach())


def fitnet_cos(s: Tensor, t: Tensor) -> Tensor:
    """2 - 2 cos of pooled features, the mean over rows: the `hint` of ADD's released code."""
    return (2 - 2 * torch.nn.functional.cosine_similarity(s, t.detach(), dim=1)).mean()


def attention_transfer(S: Tensor, T: Tensor) -> Tensor:
    """Mean over B x HW of the squared difference of unit maps mean_c x^2 (Zagoruyko, Komodakis 2017)."""
    q_s, q_t = (normalize(x.square().mean(dim=1).flatten(1), dim=1) for x in (S, T.detach()))
    return (q_s - q_t).square().mean()


def similarity_preserving(S: Tensor, T: Tensor) -> Tensor:
    """|G_s - G_t|_F^2 / B^2, G the row-normalised Gram matrix of flattened maps (Tung, Mori 2019)."""
    G_s, G_t = (normalize(f @ f.T, dim=1) for f in (S.flatten(1), T.detach().flatten(1)))
    return (G_s - G_t).square().sum() / len(S) ** 2


def nst(S: Tensor, T: Tensor) -> Tensor:
    """Squared MMD of unit channels under k(a, b) = (a . b)^2 (Huang, Wang 2017): mean k(t, t) + k(s, s) - 2 k(s, t)."""
    f_s, f_t = (normalize(x.flatten(2), dim=2) for x in (S, T.detach()))

    def k(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.transpose(1, 2)).square().mean()

    return k(f_t, f_t) + k(f_s, f_s) - 2 * k(f_s, f_t)


def vid(mean: Tensor, T: Tensor, variance: Tensor) -> Tensor:
    """Mean of ((mu - T)^2 / v_c + log v_c) / 2 (Ahn et al. 2019). mean : (B, C, H, W). variance : (C,), above 0."""
    v = variance[None, :, None, None]
    return 0.5 * ((mean - T.detach()).square() / v + v.log()).mean()


# --- relations between rows


class Relations(NamedTuple):
    distance: Tensor
    angle: Tensor


def rkd(s: Tensor, t: Tensor) -> Relations:
    """Smooth L1 of distances over their mean, and of the cosines of all triples (Park et al. 2019)."""
    t = t.detach()
    return Relations(smooth_l1_loss(_distances(s), _distances(t)), smooth_l1_loss(_angles(s), _angles(t)))


def _distances(x: Tensor) -> Tensor:
    """(B, D) -> (B, B) over the mean of those above 0."""
    squared = (x[:, None] - x[None]).square().sum(dim=2)
    known = squared > 0
    d = torch.where(known, torch.where(known, squared, torch.ones_like(squared)).sqrt(), torch.zeros_like(squared))
    return d / (d.sum() / known.sum().clamp(min=1)).clamp(min=1e-12)


def _angles(x: Tensor) -> Tensor:
    """(B, D) -> (B, B, B) cosine at i between j and k."""
    e = normalize(x[None] - x[:, None], dim=2)
    return e @ e.transpose(1, 2)


def pkt(s: Tensor, t: Tensor, eps: float = 1e-7) -> Tensor:
    """Mean over B^2 of P_t log(P_t / P_s), P the row-normalised (cos + 1) / 2, diagonal included (Passalis 2018)."""
    P_s, P_t = (_chances(x, eps) for x in (s, t.detach()))
    return (P_t * ((P_t + eps) / (P_s + eps)).log()).mean()


def _chances(x: Tensor, eps: float) -> Tensor:
    unit = normalize(x, dim=1, eps=eps)
    similar = (unit @ unit.T + 1) / 2
    return similar / similar.sum(dim=1, keepdim=True)


def cc(s: Tensor, t: Tensor) -> Tensor:
    """Mean of the products of neighbouring rows' |s - t| (Peng et al. 2019, as released)."""
    apart = (s - t.detach()).abs()
    return (apart[:-1] * apart[1:]).sum(dim=1).mean() if len(apart) > 1 else apart.sum() * 0


def crd_side(positive: Tensor, negative: Tensor, c: float) -> Tensor:
    """-(1/B) sum [log u+ / (u+ + c) + sum_k log c / (u-_k + c)] (Tian, Krishnan, Isola 2020, eq. 17).

    positive : (B,), negative : (B, K), both exp(e_s . e_t / 0.07) / Z. c : K over the number of training samples.
    """
    found = (positive / (positive + c)).log() + (c / (negative + c)).log().sum(dim=1)
    return -found.mean()
