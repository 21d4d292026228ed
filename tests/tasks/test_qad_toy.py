"""What QAD's parts do on a problem small enough to be run many times: the toy of the specification, check 20.

Pictures are 8 x 8 blocks of DCT coefficients; a forgery is a fine pattern and a faint coarser one; a quality is a
quantisation, which wipes the fine pattern out first. What is asserted is what was measured: mixed qualities help where
they should, the dependence term raises dependence, AWP flattens the minimum. No gain of AUC is asserted of the term.
"""

from __future__ import annotations

from functools import cache
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.fft import idctn
from torch import Tensor
from torch.nn.functional import cross_entropy

from verisight.data.batch import Batch
from verisight.evaluate.metrics import auc
from verisight.ops.dependence import cka_u, gaussian_kernel
from verisight.optim.gradient import gradient
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses, UpdateRule
from verisight.optim.weights import AWP
from verisight.tasks.deepfake.qad import QAD

SEEDS = (0, 1, 2)
SUM = np.add.outer(np.arange(8), np.arange(8))  # u + v
FINE, FAINT = np.random.default_rng(7).choice([-1.0, 1.0], (2, 8, 8))
STEPS = {"raw": 0.0, "c23": 0.25, "c40": 0.55, "unseen": 0.7}


class Made(NamedTuple):
    """Pictures by quality (N, 1, 8, 8) float32, and labels (N,)."""

    by_quality: dict[str, Tensor]
    label: Tensor


@cache
def made(seed: int, number: int) -> Made:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, number)
    c = 1.5 * rng.normal(size=(number, 8, 8)) / (1 + SUM) + 0.1 * rng.normal(size=(number, 8, 8))
    pattern = 0.30 * FINE * (SUM >= 9) + 0.07 * FAINT * ((SUM >= 4) & (SUM <= 6))
    c = c + label[:, None, None] * pattern
    out = {}
    for name, q in STEPS.items():
        step = q * (0.4 + 0.12 * SUM)
        seen = np.rint(c / step) * step if q else c
        pixels = 2 * idctn(seen, axes=(1, 2), norm="ortho")
        out[name] = torch.from_numpy(pixels.astype(np.float32))[:, None]
    return Made(out, torch.from_numpy(label))


class Trained(NamedTuple):
    c40: float  # AUC
    unseen: float
    alignment: float  # cka_u of raw and c40 at the second hidden layer
    ce: float  # cross-entropy
    uphill: float  # at weights moved up by 3 % of their length, the mean over qualities


def trained(seed: int, rule: UpdateRule | None = None, **settings: Any) -> Trained:
    torch.manual_seed(seed)
    taps = {"2": 0.25, "4": 0.5}
    config = QAD.Config.model_validate({"backbone": "test_resnet", "init": "random", "taps": taps, **settings})
    method = QAD(config)
    hidden = [torch.nn.Linear(64, 64), torch.nn.Linear(64, 32)]
    method.classes = torch.nn.Linear(32, 2)
    for layer in (*hidden, method.classes):
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        torch.nn.init.zeros_(layer.bias)
    relu = torch.nn.ReLU()
    method.features = torch.nn.Sequential(torch.nn.Flatten(), hidden[0], relu, hidden[1], torch.nn.ReLU())
    data, rng = made(100 + seed, 1500), np.random.default_rng(seed)
    views = torch.stack([data.by_quality[name] for name in config.qualities], dim=1)
    parameters = list(method.parameters())
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    rule = rule or Plain()
    for step in range(400):
        rows = torch.from_numpy(rng.choice(1500, 32, replace=False))
        batch = Batch(views[rows], data.label[rows], None, rows)
        if isinstance(rule, AWP):
            rule.begin_epoch(step // 40)
        rule.step(lambda batch=batch: [method.losses(batch)], parameters, optimizer)
    return measured(method.eval(), made(200 + seed, 3000))


def measured(method: QAD, test: Made) -> Trained:
    with torch.no_grad():
        scores = {name: method.scores(pictures).numpy() for name, pictures in test.by_quality.items()}
        tap = [gaussian_kernel(method.features(test.by_quality[name][:500]), 6.0) for name in ("raw", "c40")]
    label = test.label.numpy()
    each = [up_and_down(method, test.by_quality[name], test.label) for name in ("raw", "c23", "c40")]
    return Trained(
        c40=auc(label, scores["c40"]),
        unseen=auc(label, scores["unseen"]),
        alignment=float(cka_u(*tap)),
        ce=mean(here for here, _ in each),
        uphill=mean(uphill for _, uphill in each),
    )


class Looking:
    """An inner rule that notes the loss where it is called, and an optimiser that stands still."""

    def __init__(self) -> None:
        self.loss = 0.0

    def step(self, closure: Any = None, parameters: Any = (), optimizer: Any = None) -> Any:
        if closure is not None:
            losses, _ = gradient(closure, parameters)
            self.loss = float(losses.total)
            return losses
        return None


def up_and_down(method: QAD, pictures: Tensor, label: Tensor) -> tuple[float, float]:
    """Cross-entropy of one quality, and the same at weights moved up its own slope."""

    def closure() -> list[Losses]:
        return [Losses({"ce": cross_entropy(method.classes(method.features(pictures)), label)}, rows=len(label))]

    inner = Looking()
    here = AWP(0.03, inner=inner).step(closure, list(method.parameters()), inner)
    return float(here.total), inner.loss


@cache
def mixture() -> tuple[Trained, ...]:
    return tuple(trained(seed, agreement="none") for seed in SEEDS)


def test_mixed_qualities_beat_raw_alone_where_pictures_are_compressed() -> None:
    for seed, both in zip(SEEDS, mixture(), strict=True):
        raw = trained(seed, qualities=("raw",))
        assert both.c40 > raw.c40
        assert both.unseen > raw.unseen


def test_the_dependence_term_raises_dependence() -> None:
    for seed, before in zip(SEEDS, mixture(), strict=True):
        after = trained(seed, agreement="cka_u", alpha=0.3)
        assert after.alignment > before.alignment + 0.15


def test_the_unnormalised_measure_at_the_papers_weight_moves_nothing() -> None:
    for seed, before in zip(SEEDS, mixture(), strict=True):
        after = trained(seed, agreement="biased", alpha=0.002)
        assert abs(after.c40 - before.c40) < 0.001
        assert abs(after.unseen - before.unseen) < 0.001


def test_awp_flattens_the_minimum_and_costs_no_auc() -> None:
    flat = [trained(seed, AWP(0.03, start_epoch=1), agreement="none") for seed in SEEDS]
    for before, after in zip(mixture(), flat, strict=True):
        assert after.uphill < before.uphill / 2
    assert mean(t.unseen for t in flat) >= mean(t.unseen for t in mixture())
