"""ADD: the total of its parts, the teacher that stands still, its bad input, and the contract."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from verisight.core.checkpoint import Card, load_card, load_tensors, save_checkpoint
from verisight.core.errors import DataError, RecipeError
from verisight.data.batch import Batch
from verisight.data.loaders import Draw
from verisight.engine.train import rounded
from verisight.nn.distillers import DISTILLERS
from verisight.nn.taps import STAGES, listening, tapped
from verisight.ops.distill import frequency_attention, kd
from verisight.optim.plain import Plain
from verisight.tasks.deepfake import add
from verisight.tasks.deepfake.add import ADD
from verisight.tasks.deepfake.erm import ERM
from verisight.testing import check_method
from verisight.testing.method import MethodCase
from verisight.testing.planted import planted_forgeries

SMALL: dict[str, Any] = {"backbone": "test_resnet", "init": "random", "dropout": 0.0}
LAYERS = {"fr": {"layers": (0, 1, 2, 0.25)}, "mv": {"layers": (0, 0.5, 2.5, 2), "views": 3}}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small detector, untrained."""
    return saved(tmp_path_factory.mktemp("teacher"), seed=5)


def saved(folder: Path, seed: int, **settings: Any) -> str:
    case = MethodCase(ERM, {**SMALL, **settings})
    recipe = case.recipe.model_dump(mode="json")
    recipe["method"]["id"] = "deepfake/erm"
    card = Card(name="teacher", method="deepfake/erm", task="deepfake", positive="fake", recipe=recipe,
                preprocess=case.recipe.preprocess, aggregate=case.recipe.evaluate.aggregate)  # fmt: skip
    path = folder / "teacher.safetensors"
    save_checkpoint(path, rounded(case.build(seed)), card)
    return str(path)


def made(teacher: str, seed: int = 0, **settings: Any) -> ADD:
    torch.manual_seed(seed)
    return ADD(ADD.Config(**{**SMALL, "teacher": teacher, "settings": {}, **settings}))


def pairs(rows: int = 6, one_class: bool = False) -> Batch:
    inputs = torch.randn(rows, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(rows, dtype=torch.int64) if one_class else torch.arange(rows) % 2
    return Batch(inputs, label, None, torch.arange(rows))


# --- the objective ---


def test_the_total_is_the_weighted_sum_of_its_parts(teacher: str) -> None:
    method = made(teacher, distil={"fr": 3.0, "kd": 0.5}, settings={"kd": {"tau": 2.0}}).eval()
    batch = pairs()
    losses = method.losses(batch)
    student, maps = tapped(method.features, STAGES, batch.inputs[:, 1])
    logits = method.classes(student)
    assert method.teacher is not None
    with listening(method.teacher.features, STAGES) as theirs:  # type: ignore[arg-type]
        z_t, _ = method.teacher.scored(batch.inputs[:, 0])
    expected = {
        "cross_entropy": cross_entropy(logits, batch.label),
        "fr": 3 * sum(
            w * frequency_attention(maps[s], theirs[s]).loss for w, s in zip((0, 1, 2, 0.25), STAGES, strict=True)
        ),
        "kd": 0.5 * kd(logits, z_t, 2.0),
    }  # fmt: skip
    assert set(losses.parts) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses.parts[name], value)
    assert losses.rows == 6


def test_without_distillation_it_is_the_cross_entropy_of_the_compressed_view(teacher: str) -> None:
    method = made(teacher, distil={}).eval()
    batch = pairs()
    losses = method.losses(batch)
    assert list(losses.parts) == ["cross_entropy"]
    logits = method.classes(method.features(batch.inputs[:, 1]))
    torch.testing.assert_close(losses.total, cross_entropy(logits, batch.label))


@pytest.mark.parametrize("name", sorted(DISTILLERS))
def test_every_rival_is_a_line_of_a_recipe(teacher: str, name: str) -> None:
    method = made(teacher, distil={name: 1.0}).train()
    for each in method.distillers.values():
        each.make_room(6)
    parameters = [p for p in method.parameters() if p.requires_grad]
    losses = method.losses(pairs())
    assert set(losses.parts) == {"cross_entropy", name}
    found = torch.autograd.grad(losses.total, parameters, allow_unused=True)
    assert all(g is not None and g.isfinite().all() for g in found)


def test_diagnostics_stand_aside(teacher: str) -> None:
    aside = made(teacher, settings=LAYERS).train().losses(pairs()).aside
    assert {"fr_heaviest", "fr_clamped", "mv_transport", "mv_contrastive", "mv_active", "mv_skipped"} <= set(aside)
    assert not any(value.requires_grad for value in aside.values())
    assert float(aside["fr_heaviest"]) >= 1
    assert float(made(teacher, settings=LAYERS).train().losses(pairs(one_class=True)).aside["mv_skipped"]) == 1


def test_heads_train_alone_for_the_first_epochs(teacher: str) -> None:
    losses = made(teacher, head_epochs=1, settings=LAYERS).train().losses(pairs())
    assert {name: float(value.detach()) for name, value in losses.parts.items() if name != "cross_entropy"} == {
        "fr": 0, "mv": 0,
    }  # fmt: skip


# --- the teacher ---


def test_a_step_leaves_the_teacher_as_it_was(teacher: str) -> None:
    method = made(teacher).train()
    assert method.teacher is not None
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    assert not any(module.training for module in method.teacher.modules())
    parameters = [p for p in method.parameters() if p.requires_grad]
    Plain().step(lambda: [method.losses(pairs())], parameters, torch.optim.SGD(parameters, lr=0.1))
    assert all(value.equal(before[name]) for name, value in method.teacher.state_dict().items())
    assert not {id(p) for p in method.teacher.parameters()} & {id(p) for p in parameters}


def test_a_student_can_begin_as_its_teacher(teacher: str, tmp_path: Path) -> None:
    method = made(teacher, init="teacher", distil={"fr": 1.0}).eval()
    same = pairs()
    both = torch.stack([same.inputs[:, 0]] * 2, dim=1)
    losses = method.losses(Batch(both, same.label, None, same.index))
    assert float(losses.parts["fr"].detach()) == pytest.approx(0, abs=1e-9)
    other = saved(tmp_path, 0, backbone="resnet10t")
    with pytest.raises(RecipeError, match="unlike architecture"):
        made(other, init="teacher")
    with pytest.raises(RecipeError, match=r"method.init=teacher: no teacher is named"):
        made("", init="teacher")


def test_a_teacher_of_another_architecture_can_teach_what_needs_no_equal_shapes(tmp_path: Path) -> None:
    other = saved(tmp_path, 0, backbone="resnet10t")
    for name in ("kd", "sp", "rkd", "pkt"):
        assert made(other, distil={name: 1.0}).train().losses(pairs()).total.isfinite()
    with pytest.raises(RecipeError, match="fr: student and teacher maps are"):
        made(other, distil={"fr": 1.0})


def test_the_checkpoint_is_the_student_alone(teacher: str, tmp_path: Path) -> None:
    method = made(teacher, distil={"vid": 1.0, "crd": 1.0}).eval()
    tensors = rounded(method)
    assert not [name for name in tensors if name.startswith(("teacher", "distillers"))]
    card = load_card(Path(teacher))
    block = {"id": "deepfake/add", **method.config.model_dump(mode="json"), "teacher": "gone.safetensors"}
    card = card.model_copy(update={"method": "deepfake/add", "recipe": {**card.recipe, "method": block}})
    save_checkpoint(tmp_path / "student.safetensors", tensors, card)
    network = ADD.scoring_network(card, load_tensors(tmp_path / "student.safetensors")).eval()
    inputs = pairs().inputs[:, 1]
    torch.testing.assert_close(network(inputs), method.scores(inputs), rtol=1e-2, atol=1e-2)  # rounded


# --- bad input ---


def test_what_cannot_be_trained_is_said(teacher: str) -> None:
    with pytest.raises(RecipeError, match=r"method.teacher: must be given for training"):
        ADD(ADD.Config(**SMALL)).losses(pairs())
    with pytest.raises(DataError, match="its rows are not pairs"):
        made(teacher).losses(Batch(torch.randn(4, 3, 32, 32), torch.arange(4) % 2, None, torch.arange(4)))
    with pytest.raises(RecipeError, match="distil 'frequency'"):
        made(teacher, distil={"frequency": 1.0})
    with pytest.raises(RecipeError, match="'kd' is not distilled by"):
        made(teacher, settings={"kd": {"tau": 3}})


def test_training_draws_pairs_and_the_select_split_what_the_student_meets(teacher: str) -> None:
    method, case = made(teacher), MethodCase(ADD, {**SMALL, "teacher": teacher})
    crops, manifest = planted_forgeries(0)
    training = method.training_data(crops, manifest, case.recipe)
    select = method.select_data(crops, manifest, case.recipe)
    assert training[Draw(0, 0, 0)].inputs.shape == (1, 2, 3, 32, 32)
    assert select[Draw(0, 0, 0)].inputs.shape == (1, 3, 32, 32)


# --- contract ---


def test_it_keeps_the_contract_of_a_method(teacher: str) -> None:
    """The student sees CRF 23, at which the planted stripes are still there, and its teacher knows nothing."""
    settings = {**SMALL, "teacher": teacher, "qualities": ("raw", "c23"), "distil": {"kd": 0.1, "at": 1.0}}
    check_method(ADD, settings, least_auc=0.8)


def test_the_example_of_the_docstring_runs() -> None:
    assert tuple(doctest.testmod(add)) == (0, 2)
