"""Empirical risk minimisation: the formula of its docstring, and the contract of every method."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from verisight.core.checkpoint import load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.errors import MissingWeights, RecipeError
from verisight.data.batch import Batch
from verisight.evaluate.metrics import auc
from verisight.optim.plain import Plain
from verisight.tasks.deepfake import erm
from verisight.tasks.deepfake.erm import ERM

SMALL = {"backbone": "test_resnet", "init": "random", "dropout": 0.0}


def made(seed: int = 0, **changes: Any) -> ERM:
    torch.manual_seed(seed)
    return ERM(ERM.Config(**{**SMALL, **changes}))


def batch(label: list[int], inputs: Tensor | None = None) -> Batch:
    rows = len(label)
    if inputs is None:
        inputs = torch.randn(rows, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return Batch(inputs, torch.tensor(label), None, torch.arange(rows))


def test_the_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(erm).attempted == 2
    assert doctest.testmod(erm).failed == 0


# --- settings ---


def test_the_config_round_trips_through_json() -> None:
    config = ERM.Config(backbone="resnet18", init="deepfake", dropout=0.5, smoothing=0.1)
    assert ERM.Config.model_validate_json(config.model_dump_json()) == config
    assert ERM.Config.model_validate(config.model_dump()) == config


def test_a_block_of_a_recipe_is_id_and_config() -> None:
    assert ERM.from_block({"id": "deepfake/erm", **SMALL, "smoothing": 0.2}, "r").config == ERM.Config(
        **SMALL, smoothing=0.2
    )


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"drop": 0.1}, r"unknown key 'drop'; did you mean 'dropout'\?"),
        ({"dropout": 1.0}, "'dropout'"),
        ({"smoothing": 0.5}, "'smoothing'"),
        ({"smoothing": -0.1}, "'smoothing'"),
        ({"backbone": 3}, "'backbone'"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], answer: str) -> None:
    with pytest.raises(RecipeError, match=answer):
        ERM.from_block({"id": "deepfake/erm", **SMALL, **changes}, "r")


# --- the formula ---


@settings(max_examples=25)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=6), st.floats(0, 0.49))
def test_the_loss_is_the_mean_of_log_1_plus_exp_s_minus_y_s(label: list[int], smoothing: float) -> None:
    method = METHOD.eval()
    method.config = ERM.Config(**SMALL, smoothing=smoothing)
    data = batch(label)
    with torch.no_grad():
        s = method.scores(data.inputs).double().numpy()
        losses = method.losses(data)
    y = np.where(np.array(label) == 1, 1 - smoothing, smoothing)
    assert list(losses.parts) == ["cross_entropy"]
    assert losses.by_domain == {}
    assert float(losses.total) == pytest.approx(np.mean(np.log1p(np.exp(s)) - y * s), abs=1e-5)


METHOD = made()
torch.nn.init.normal_(METHOD.logit.weight)  # logits of several units, so that the formula is tested away from zero


def test_only_the_share_of_the_smoothing_is_paid_for_a_certain_and_right_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """s = +-20 and right: the loss tends to eps |s|."""
    method = made(smoothing=0.05)
    monkeypatch.setattr(method, "scores", lambda _: torch.tensor([20.0, -20.0]))
    assert float(method.losses(batch([1, 0])).total) == pytest.approx(0.05 * 20, abs=1e-6)


def test_losses_reach_every_weight() -> None:
    method = made()
    for parameter in method.parameters():  # timm starts the last scale of a residual branch at zero
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    gradients = torch.autograd.grad(method.losses(batch([0, 1, 1, 0])).total, list(method.parameters()))
    assert all(g.isfinite().all() for g in gradients)
    assert all(g.any() for g in gradients)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_score_a_row(rows: int) -> None:
    assert made().eval().scores(torch.zeros(rows, 3, 32, 32)).shape == (rows,)


# --- the contract ---


def test_equal_seeds_give_equal_methods_and_equal_losses() -> None:
    def loss(seed: int) -> float:
        method = made(seed, dropout=0.5)
        return float(method.losses(batch([0, 1, 1, 0])).total.detach())

    assert loss(0) == loss(0)
    assert loss(0) != loss(1)


def test_eval_mode_has_no_side_effect() -> None:
    method = made(dropout=0.5).eval()
    data = batch([0, 1])
    state, random = {n: t.clone() for n, t in method.state_dict().items()}, torch.get_rng_state()
    inputs = data.inputs.clone()
    first = method.scores(data.inputs)
    method.losses(data)
    assert method.scores(data.inputs).equal(first)
    assert all(t.equal(state[n]) for n, t in method.state_dict().items())
    assert torch.get_rng_state().equal(random)
    assert data.inputs.equal(inputs)
    assert not method.training


def test_dropout_acts_in_training_only() -> None:
    method = made(dropout=0.9).eval()
    data = batch([0, 1])
    assert method.scores(data.inputs).equal(method.scores(data.inputs))
    method.dropout.train()
    assert not method.scores(data.inputs).equal(method.scores(data.inputs))


def test_it_learns_a_synthetic_problem_in_seconds() -> None:
    """Synthetic: noise, with fine stripes where the label is 1; measured on pictures that it never saw."""
    generator = torch.Generator().manual_seed(0)

    def draw(rows: int) -> Batch:
        label = torch.arange(rows) % 2
        inputs = torch.randn(rows, 3, 32, 32, generator=generator)
        inputs[label == 1, :, ::2] += 1.0
        return Batch(inputs, label, None, torch.arange(rows))

    method, unseen = made().train(), draw(64)
    parameters = list(method.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=3e-3)
    for _ in range(25):
        data = draw(16)
        Plain().step(lambda data=data: [method.losses(data)], parameters, optimiser)
    method.eval()
    with torch.inference_mode():
        assert auc(unseen.label.numpy(), method.scores(unseen.inputs).numpy()) > 0.95


# --- going on from a detector ---


def test_a_checkpoint_of_the_same_backbone_is_where_training_goes_on(tiny_checkpoint: Path) -> None:
    method = made(init=str(tiny_checkpoint), seed=7).eval()
    inputs = batch([0, 1, 1]).inputs
    with torch.inference_mode():
        scores = method.scores(inputs).numpy()
    expected = Detector.load(tiny_checkpoint, runtime="torch").score(inputs.numpy())
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_checkpoint_of_another_backbone_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(RecipeError, match=r"its backbone is test_resnet, not resnet10t; set method\.backbone"):
        made(init=str(tiny_checkpoint), backbone="resnet10t")


def test_a_detector_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(MissingWeights, match=r"did you mean 'deepfake'\?"):
        made(init="deepfake-emr")


def test_it_saves_and_reloads_to_equal_scores(tmp_path: Path, tiny_checkpoint: Path) -> None:
    method = made(3).eval()
    path = tmp_path / "again.safetensors"
    card = load_card(tiny_checkpoint)
    save_checkpoint(path, {n: t.numpy() for n, t in method.state_dict().items()}, card)
    inputs = batch([0, 1]).inputs
    with torch.inference_mode():
        before, after = method.scores(inputs), ERM.scoring_network(card, load_tensors(path)).eval()(inputs)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
