"""QAD: the objective by the numbers of the specification, its switches, its bad input, and the contract."""

from __future__ import annotations

import doctest
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from verisight.core.errors import DataError, RecipeError
from verisight.data.batch import Batch
from verisight.data.loaders import Draw
from verisight.evaluate.metrics import auc
from verisight.ops.dependence import gaussian_kernel, nocco
from verisight.tasks.deepfake import qad
from verisight.tasks.deepfake.qad import QAD
from verisight.testing import check_method
from verisight.testing.method import MethodCase
from verisight.testing.planted import planted_forgeries

RAW = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 1]], dtype=torch.float64)
C23 = torch.tensor([[0, 1], [1, 1], [1, 3], [4, 0]], dtype=torch.float64)
C40 = torch.tensor([[1, 0], [0, 0], [0, 1], [2, 2]], dtype=torch.float64)
LABEL = torch.tensor([0, 1, 0, 1])
SMALL: dict[str, Any] = {"backbone": "test_resnet", "init": "random"}


class Pixels(torch.nn.Module):
    """Features are the first two channels of a picture of one pixel."""

    num_features = 2

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, :2, 0, 0]


def reading(**settings: Any) -> QAD:
    """A method whose taps and logits are what is put in."""
    method = QAD(QAD.Config(**{**SMALL, "taps": {"pooled": 0.5}, "alpha": 0.002, **settings}))
    method.features, method.classes = Pixels(), torch.nn.Linear(2, 2)
    torch.nn.init.eye_(method.classes.weight)
    torch.nn.init.zeros_(method.classes.bias)
    return method.double()


def paired(*views: Tensor, label: Tensor = LABEL) -> Batch:
    flat = torch.stack(views, dim=1)  # (n, Q, 2)
    inputs = torch.cat([flat, torch.zeros_like(flat[..., :1])], dim=2)[..., None, None]
    return Batch(inputs, label, None, torch.arange(len(label)))


def total(batch: Batch, **settings: Any) -> float:
    return float(reading(**settings).losses(batch).total.detach())


# --- the objective ---


def test_the_objective_of_the_specification() -> None:
    losses = reading().losses(paired(RAW, C23, C40))
    each = [float(cross_entropy(view, LABEL)) for view in (RAW, C23, C40)]
    assert each == pytest.approx([1.565066, 2.037872, 0.753204], abs=1e-6)
    assert float(losses.parts["cross_entropy"].detach()) == pytest.approx(np.mean(each))
    assert float(losses.parts["agreement"]) == pytest.approx(-0.002 * 0.5 * 2.815222, abs=1e-9)
    assert float(losses.total) == pytest.approx(1.449232, abs=1e-6)
    assert losses.rows == 4


@pytest.mark.parametrize(
    ("settings", "mean"),
    [
        ({"pairs": "star"}, 2.814801),
        ({"pair_reduce": "sum"}, 3 * 2.815222),
        ({"agreement": "biased"}, 8.869450e-4),
        ({"agreement": "cka"}, 0.820644),
        ({"agreement": "trace"}, 9 * 8.869450e-4),
    ],
)
def test_the_switches_of_the_dependence_term(settings: dict[str, Any], mean: float) -> None:
    part = reading(**settings).losses(paired(RAW, C23, C40)).parts["agreement"]
    assert float(part) == pytest.approx(-0.001 * mean, rel=1e-5)


def test_one_quality_or_no_weight_is_the_cross_entropy_bit_for_bit() -> None:
    batch = paired(RAW, C23, C40)
    plain = total(batch, agreement="none")
    assert total(batch, alpha=0.0) == plain == total(batch, taps={"pooled": 0.0, "stage1": 0.0}, alpha=0.0)
    assert total(paired(RAW), qualities=("raw",)) == float(cross_entropy(RAW, LABEL))


def test_identical_qualities_and_the_order_of_qualities() -> None:
    same = reading().losses(paired(RAW, RAW, RAW))
    K = gaussian_kernel(RAW)
    assert float(same.parts["cross_entropy"]) == pytest.approx(float(cross_entropy(RAW, LABEL)))
    assert float(same.parts["agreement"]) == pytest.approx(-0.001 * float(nocco(K, K)))
    assert total(paired(C40, RAW, C23)) == pytest.approx(total(paired(RAW, C23, C40)), rel=1e-12)


def test_mixing_up_the_pairs_lowers_the_dependence() -> None:
    aligned = reading(agreement="unbiased", qualities=("raw", "c40"))
    right = float(aligned.losses(paired(RAW, C23)).parts["agreement"])
    wrong = float(aligned.losses(paired(RAW, C23[[1, 0, 2, 3]])).parts["agreement"])
    assert right < wrong


def test_the_reference_can_be_held_still() -> None:
    def slope(**settings: Any) -> Tensor:
        raw = RAW.clone().requires_grad_()
        part = reading(qualities=("raw", "c40"), **settings).losses(paired(raw, C40)).parts["agreement"]
        return torch.autograd.grad(part, raw, allow_unused=True, materialize_grads=True)[0]

    assert slope().abs().sum() > 0
    assert slope(stop_grad="reference").abs().sum() == 0


def test_larger_features_gain_dependence_unless_they_are_standardised() -> None:
    small, large = paired(RAW, C40), paired(3 * RAW, 3 * C40)
    two: dict[str, Any] = {"qualities": ("raw", "c40")}
    gain = [
        float(reading(**two, **how).losses(batch).parts["agreement"])
        for how in ({"agreement": "biased"}, {"agreement": "biased", "standardise": True})
        for batch in (small, large)
    ]
    assert gain[1] < 10 * gain[0] < 0
    assert gain[3] == pytest.approx(gain[2])
    free = [float(reading(**two, agreement="cka_u").losses(b).parts["agreement"]) for b in (small, large)]
    assert free[0] == pytest.approx(free[1])  # on by default there


def test_within_classes_only() -> None:
    label = torch.tensor([0, 0, 0, 1, 1, 1])
    made = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, 2, generator=made, dtype=torch.float64) for _ in range(2))
    part = reading(qualities=("raw", "c40"), within_class=True).losses(paired(a, b, label=label)).parts["agreement"]
    each = [nocco(gaussian_kernel(a)[r][:, r], gaussian_kernel(b)[r][:, r]) for r in (slice(0, 3), slice(3, 6))]
    assert float(part) == pytest.approx(-0.001 * float(sum(each)) / 2)


def test_dependence_on_labels() -> None:
    part = reading(label_weight=0.1, agreement="biased", sigma=1.0).losses(paired(RAW, C23, C40)).parts["labels"]
    L = torch.nn.functional.one_hot(LABEL, 2).double()
    H = torch.eye(4, dtype=torch.float64) - 0.25
    each = [torch.trace(gaussian_kernel(v, 1.0) @ H @ (L @ L.T) @ H) / 9 for v in (RAW, C23, C40)]
    assert float(part) == pytest.approx(-0.1 * 0.5 * float(sum(each)) / 3)
    with pytest.raises(RecipeError, match="label_weight needs a measure of dependence"):
        QAD.from_block({"id": "deepfake/qad", **SMALL, "label_weight": 0.1, "agreement": "l2"}, "r")


# --- rivals ---


@pytest.mark.parametrize(
    ("agreement", "value"),
    [
        ("l2", (1 + 0 + 1 + 0 + 1 + 1 + 1 + 1) / 8),
        ("cosine", 1 - np.mean([0, 2**-0.5, 6 / (2 * 10**0.5), 12 / (10**0.5 * 4)])),
    ],
)
def test_distances_have_a_plus_sign_and_their_closed_form(agreement: str, value: float) -> None:
    part = reading(agreement=agreement, qualities=("raw", "c23")).losses(paired(RAW, C23)).parts["agreement"]
    assert float(part) == pytest.approx(0.001 * value)


def test_predictions_are_compared_by_the_symmetric_divergence() -> None:
    part = reading(agreement="logits", qualities=("raw", "c23")).losses(paired(RAW, C23)).parts["agreement"]
    p, q = RAW.softmax(1), C23.softmax(1)
    assert float(part) == pytest.approx(0.002 * float(((p - q) * (p / q).log()).sum(1).mean() / 2))


def test_mmd_does_not_look_at_pairs() -> None:
    method = reading(agreement="mmd", qualities=("raw", "c23"), sigma=1.0)
    right, mixed = (float(method.losses(paired(RAW, z)).parts["agreement"]) for z in (C23, C23[[3, 0, 1, 2]]))
    assert right == pytest.approx(mixed)
    assert right > 0
    assert float(method.losses(paired(RAW, RAW)).parts["agreement"]) == pytest.approx(0, abs=1e-12)


def test_a_reflected_tap_has_full_dependence_and_other_logits() -> None:
    """Why the cross-entropy of every quality must stay."""
    method = reading(qualities=("raw", "c40"))
    same, turned = (method.losses(paired(RAW, z)) for z in (RAW, -RAW))
    assert float(same.parts["agreement"]) == pytest.approx(float(turned.parts["agreement"]))
    assert float(same.parts["cross_entropy"]) != pytest.approx(float(turned.parts["cross_entropy"]))


# --- beside the objective ---


def test_the_distillation_that_awp_may_climb() -> None:
    first = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    other = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    label = torch.tensor([0])
    losses = reading(qualities=("raw", "c40"), agreement="none").losses(paired(first, other, label=label))
    assert float(losses.aside["kd"] - losses.parts["cross_entropy"].detach()) == pytest.approx(0.271109, abs=1e-6)


def test_the_alignment_is_logged_whatever_is_optimised() -> None:
    aside = reading(agreement="l2").losses(paired(RAW, C23, RAW)).aside
    assert float(aside["cka_u"]) == pytest.approx(1, abs=1e-6)
    assert not aside["cka_u"].requires_grad


def test_heads_train_alone_for_the_first_epochs() -> None:
    method = QAD(QAD.Config(**SMALL, head_epochs=1)).train()
    batch = Batch(torch.randn(6, 3, 3, 32, 32), torch.arange(6) % 2, None, torch.arange(6))
    losses = method.losses(batch)
    assert float(losses.parts["agreement"].detach()) == 0
    named = dict(method.named_parameters())
    found = torch.autograd.grad(losses.total, list(named.values()), allow_unused=True)
    assert {name for name, g in zip(named, found, strict=True) if g is not None} == {"classes.weight", "classes.bias"}


# --- scores, taps ---


def test_the_score_is_the_difference_of_logits() -> None:
    """The fake logit alone ranks these two the wrong way round."""
    logits = torch.tensor([[5.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    scores = reading().scores(torch.cat([logits, torch.zeros(2, 1)], 1)[..., None, None])
    assert auc(np.array([0, 1]), scores.detach().numpy()) == 1
    assert auc(np.array([0, 1]), logits[:, 1].numpy()) == 0


def test_a_score_does_not_depend_on_the_qualities_beside_it() -> None:
    method = QAD(QAD.Config(**SMALL)).eval()
    views = torch.randn(4, 3, 3, 32, 32)
    torch.testing.assert_close(method.scores(views.flatten(0, 1)).view(4, 3)[:, 1], method.scores(views[:, 1]))


@pytest.mark.parametrize("reduce", ["flatten", "gap", "grid4"])
@pytest.mark.parametrize("taps", [{"stage1": 0.1, "stage4": 0.5}, {"logits": 0.1, "pooled": 0.25, "stage4": 0.5}])
def test_taps_and_reductions(reduce: str, taps: dict[str, float]) -> None:
    method = QAD(QAD.Config(**SMALL, taps=taps, tap_reduce=reduce)).train()  # type: ignore[arg-type]
    losses = method.losses(Batch(torch.randn(6, 3, 3, 32, 32), torch.arange(6) % 2, None, torch.arange(6)))
    assert losses.total.isfinite()
    assert float(losses.parts["agreement"].detach()) < 0


def test_an_unknown_tap_is_named() -> None:
    method = QAD(QAD.Config(**SMALL, taps={"stage7": 1.0}))
    with pytest.raises(RecipeError, match="tap 'stage7'"):
        method.losses(Batch(torch.randn(4, 3, 3, 32, 32), LABEL, None, torch.arange(4)))


# --- bad input ---


def test_rows_that_are_not_paired_are_refused() -> None:
    with pytest.raises(DataError, match="its rows are not paired"):
        QAD(QAD.Config(**SMALL)).losses(Batch(torch.randn(4, 3, 32, 32), LABEL, None, torch.arange(4)))


def test_a_missing_quality_is_refused() -> None:
    with pytest.raises(DataError, match="2 qualities a row, 3 are configured"):
        reading().losses(paired(RAW, C40))


@pytest.mark.parametrize(("agreement", "rows"), [("cka_u", 3), ("unbiased", 3), ("nocco", 1)])
def test_too_few_rows_leave_the_term_out_and_say_so(agreement: str, rows: int) -> None:
    views = [v[:rows] for v in (RAW, C23, C40)]
    losses = reading(agreement=agreement).losses(paired(*views, label=LABEL[:rows]))
    assert float(losses.parts["agreement"]) == 0
    assert float(losses.aside["skipped"]) == 1
    assert float(reading(agreement=agreement).losses(paired(RAW, C23, C40)).aside["skipped"]) == 0


@pytest.mark.parametrize("within", [False, True])
def test_a_class_may_be_absent_from_a_batch(within: bool) -> None:
    losses = reading(within_class=within).losses(paired(RAW, C23, C40, label=torch.zeros(4, dtype=torch.int64)))
    assert math.isfinite(float(losses.total))


def test_one_pair_of_each_draw() -> None:
    """`pairs: one` gets two views a row."""
    method = QAD(QAD.Config(**SMALL, pairs="one"))
    case = MethodCase(QAD, {**SMALL, "pairs": "one"})
    data = method.training_data(*planted_forgeries(0), case.recipe)
    assert data[Draw(0, 0, 0)].inputs.shape[1] == 2
    assert method.losses(case.rows).total.isfinite()


# --- contract ---


def test_it_keeps_the_contract_of_a_method() -> None:
    """The planted forgeries are fine stripes: at CRF 40 nothing is left of them, and a third of the pictures that it is
    judged on are of that quality."""
    check_method(QAD, least_auc=0.75)


@pytest.mark.parametrize("agreement", ["cka_u", "mmd"])
def test_rows_of_all_processes_are_compared(agreement: str) -> None:
    """The clause of two ranks holds for losses that compare rows with each other."""
    from verisight.testing.method import two_ranks_equal_one_process

    two_ranks_equal_one_process(MethodCase(QAD, {**SMALL, "agreement": agreement, "alpha": 1.0, "standardise": True}))


def test_the_example_of_the_docstring_runs() -> None:
    found: Sequence[int] = doctest.testmod(qad)
    assert tuple(found) == (0, 2)
