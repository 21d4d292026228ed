"""Self-blended images: trained on no fake at all, a function of its draws, and learnt by a small network."""

from __future__ import annotations

import doctest
import itertools
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ellipse import face, landmarks81
from PIL import Image
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from verisight.core.checkpoint import load_card
from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import Recipe
from verisight.data import selfblend
from verisight.data.batch import Batch
from verisight.data.crops import CropSet, face_crops
from verisight.data.loaders import Draw, select_loader, training_loader
from verisight.data.manifest import Manifest
from verisight.data.selfblend import SelfBlend
from verisight.data.synthetic import synthetic_face, synthetic_folder
from verisight.engine.train import train
from verisight.evaluate.metrics import auc
from verisight.tasks.deepfake import sbi
from verisight.tasks.deepfake.sbi import SBI, Pairs, central_box

SIZE = 64
SMALL = {"backbone": "test_resnet", "init": "random"}
PLAIN = {"crop": 0, "flip": False, "colour": 0, "quality": ""}


def made(seed: int = 0, **changes: Any) -> SBI:
    torch.manual_seed(seed)
    method = SBI(SBI.Config(**{**SMALL, **changes}))
    torch.nn.init.normal_(method.classes.weight)  # scores of several units
    return method


def recipe(**changes: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "sbi",
        "method": {"id": "deepfake/sbi", **SMALL},
        "data": {"path": "."},
        "preprocess": {"size": SIZE},
        "augment": PLAIN,
        "loader": {"batch_size": 2, "workers": 0},
    }
    return Recipe.model_validate({**tree, **changes})


def samples(labels: list[int], points: int = 68) -> tuple[CropSet, Manifest]:
    """Synthetic faces, one a row, in groups of two."""
    faces = [synthetic_face(seed, SIZE) for seed in range(len(labels))]
    columns = {
        "path": [f"{i}.png" for i in range(len(labels))],
        "label": labels,
        "group": [f"g{i // 2}" for i in range(len(labels))],
    }
    crops = CropSet(
        images=np.stack([f.picture for f in faces]),
        row=np.arange(len(labels)),
        time_s=np.zeros(len(labels)),
        landmarks=np.stack([f.landmarks68 if points == 68 else f.landmarks5 for f in faces]),
        skipped=(),
    )
    return crops, Manifest.from_columns(columns, Path("."))


def equal(a: Batch, b: Batch) -> bool:
    return bool(a.inputs.equal(b.inputs) and a.label.equal(b.label) and a.index.equal(b.index))


def epoch(data: Pairs, run: Recipe, number: int = 0) -> list[Batch]:
    loader = training_loader(data, run)
    loader.batch_sampler.set_epoch(number)  # type: ignore[union-attr]
    return list(loader)


def test_the_example_of_the_docstring_runs() -> None:
    results = doctest.testmod(sbi)
    assert (results.attempted, results.failed) == (2, 0)


# --- the network ---


def test_the_network_of_the_paper_has_its_number_of_weights() -> None:
    with torch.device("meta"):
        method = SBI(SBI.Config(init="random"))
    assert sum(p.numel() for p in method.parameters()) == 17_552_202


@pytest.mark.parametrize("rows", [1, 3])
def test_a_score_is_the_log_odds_of_fake(rows: int) -> None:
    method = made().eval()
    inputs = torch.rand(rows, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores, shares = method.scores(inputs), method.classes(method.features(inputs)).softmax(dim=1)
    assert scores.shape == (rows,)
    torch.testing.assert_close(scores.sigmoid(), shares[:, 1])


def test_the_loss_is_the_mean_of_log_1_plus_exp_of_minus_the_margin() -> None:
    method = made().eval()
    inputs = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([1, 0, 1, 0])
    with torch.no_grad():
        losses = method.losses(Batch(inputs, label, None, torch.arange(4)))
        s = method.scores(inputs).double().numpy()
    assert list(losses.parts) == ["cross_entropy"]
    assert float(losses.total) == pytest.approx(np.mean(np.log1p(np.exp(-s * [1, -1, 1, -1]))), abs=1e-5)


def test_the_config_round_trips_with_its_blend() -> None:
    config = SBI.Config(**SMALL, blend=SelfBlend(hull="components", parity=True))
    assert SBI.Config.model_validate_json(config.model_dump_json()) == config
    block = {"id": "deepfake/sbi", **SMALL, "blend": {"hull": "components", "parity": True}}
    assert SBI.from_block(block, "r").config == config


@pytest.mark.parametrize(
    ("changes", "answer"),
    [({"blend": {"hull": "nose"}}, "blend.hull"), ({"blend": {"hul": "face"}}, "did you mean 'hull'")],
)
def test_a_wrong_blend_is_named(changes: dict[str, Any], answer: str) -> None:
    with pytest.raises(RecipeError, match=answer):
        SBI.from_block({"id": "deepfake/sbi", **SMALL, **changes}, "r")


# --- the pairs ---


@pytest.mark.parametrize("points", [5, 68])
def test_reals_alone_are_enough_and_every_real_has_its_fake_before_it(points: int) -> None:
    crops, manifest = samples([0] * 6, points)
    run = recipe()
    batches = epoch(Pairs(crops, manifest, run, SelfBlend(), augmented=True), run)
    assert len(batches) == 3
    for batch in batches:
        assert batch.inputs.shape == (4, 3, SIZE, SIZE)
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.isfinite().all()
        assert batch.label.tolist() == [1, 0, 1, 0]
        assert batch.index[::2].equal(batch.index[1::2])
        assert all(not fake.equal(real) for fake, real in zip(batch.inputs[::2], batch.inputs[1::2], strict=True))


def test_fakes_of_the_data_are_never_drawn() -> None:
    crops, manifest = samples([0, 1, 1, 0, 1, 0])
    run = recipe()
    data = Pairs(crops, manifest, run, SelfBlend(), augmented=True)
    assert np.flatnonzero(data.weights).tolist() == [0, 3, 5]
    assert {int(i) for number in range(8) for batch in epoch(data, run, number) for i in batch.index} == {0, 3, 5}


def test_equal_draws_give_equal_pairs_and_others_do_not() -> None:
    crops, manifest = samples([0, 0])
    data, again = (Pairs(crops, manifest, recipe(), SelfBlend(), augmented=True) for _ in range(2))
    other = Pairs(crops, manifest, recipe(seed=1), SelfBlend(), augmented=True)
    first = data[Draw(2, 5, 1)]
    assert equal(first, again[Draw(2, 5, 1)])
    for different in (data[Draw(3, 5, 1)], data[Draw(2, 6, 1)], data[Draw(2, 5, 0)], other[Draw(2, 5, 1)]):
        assert not equal(first, different)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(workers: int) -> None:
    crops, manifest = samples([0] * 6)
    alone, shared = recipe(), recipe(loader={"batch_size": 2, "workers": workers})
    data = Pairs(crops, manifest, alone, SelfBlend(), augmented=True)
    for one, other in zip(epoch(data, alone, 3), epoch(data, shared, 3), strict=True):
        assert equal(one, other)


def test_the_select_pairs_are_the_same_in_every_epoch() -> None:
    crops, manifest = samples([0, 1, 0])
    data = made().select_data(crops, manifest, recipe())
    (first,), (again,) = list(select_loader(data)), list(select_loader(data))
    assert equal(first, again)
    assert first.label.tolist() == [1, 0, 1, 0]
    assert first.index.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("augmented", [False, True])
def test_both_rows_get_the_same_changes_whatever_the_recipe_adds(
    augmented: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where source and target are one picture, nothing may tell the rows apart."""
    monkeypatch.setattr(selfblend, "change", lambda picture, rng, parity: picture)
    monkeypatch.setattr(selfblend, "misalign", lambda source, mask, rng: (source, mask))
    crops, manifest = samples([0, 0])
    run = recipe(
        augment={"crop": 0.2, "flip": True, "colour": 0.3, "quality": "resize:0.5..1?0.5 blur:1?0.5 jpeg:40..95?0.5"}
    )
    data = Pairs(crops, manifest, run, SelfBlend(), augmented=augmented)
    pairs = [data[Draw(0, nth, nth % 2)].inputs for nth in range(12)]
    assert all(fake.equal(real) for fake, real in pairs)
    assert len({float(real.mean()) for _, real in pairs}) == (12 if augmented else 2)


def test_groups_are_balanced_when_asked() -> None:
    crops, manifest = samples([0, 1, 0, 0])  # group g0 has one real, g1 two
    data = Pairs(crops, manifest, recipe(data={"path": ".", "balance": "group"}), SelfBlend(), augmented=True)
    np.testing.assert_allclose(data.weights / data.weights.sum(), [0.5, 0, 0.25, 0.25])


def test_without_a_real_face_there_is_nothing_to_blend() -> None:
    crops, manifest = samples([1, 1])
    with pytest.raises(DataError, match="no real face with landmarks"):
        Pairs(crops, manifest, recipe(), SelfBlend(), augmented=True)


def test_faces_without_landmarks_or_with_those_of_another_face_are_left_out() -> None:
    crops, manifest = samples([0, 0, 0])
    points = crops.landmarks.copy()
    points[0] = np.nan
    points[2] = points[2] / 10  # a small face in the corner
    data = Pairs(replace(crops, landmarks=points), manifest, recipe(), SelfBlend(), augmented=True)
    assert np.flatnonzero(data.weights).tolist() == [1]


def test_self_blends_among_the_fakes_are_refused_for_there_are_no_others() -> None:
    crops, manifest = samples([0, 0])
    with pytest.raises(RecipeError, match="self_blend"):
        Pairs(crops, manifest, recipe(augment={**PLAIN, "self_blend": 0.5}), SelfBlend(), augmented=True)


def test_a_hull_that_five_points_do_not_have_is_refused() -> None:
    crops, manifest = samples([0, 0], points=5)
    with pytest.raises(RecipeError, match=r"five points have one hull of their own, not dfl_full; set data\.landmarks"):
        Pairs(crops, manifest, recipe(), SelfBlend(hull="dfl_full"), augmented=True)


def test_the_box_of_the_finder_is_the_middle_of_a_crop() -> None:
    run = recipe(preprocess={"size": 160, "margin": 1.25})
    assert central_box(run.preprocess) == (16, 16, 128, 128)


# --- the whole way ---


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trained on a synthetic folder for one epoch, five points a face."""
    root = synthetic_folder(tmp_path_factory.mktemp("people"), 10, 1, size=96)
    run = recipe(
        method={"id": "deepfake/sbi", **SMALL, "blend": {"parity": True}},
        data={"path": str(root)},
        trainer={"max_epochs": 1, "enable_progress_bar": False},
    )
    return load_card(train(run, tmp_path_factory.mktemp("run")))


def test_the_card_states_where_the_points_came_from_and_how_was_blended(card: Any) -> None:
    assert card.recipe["data"]["landmarks"] == "five"  # not in the recipe: it is said all the same
    assert card.recipe["method"]["blend"]["parity"]
    assert card.threshold is not None


# --- that it can be learnt ---


class Residual(torch.nn.Module):
    """A small network that also sees the second differences of its picture; (N, 3, S, S) in [0, 1] -> (N,)."""

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
        self.register_buffer("difference", 8 * kernel.expand(3, 1, 3, 3))
        layers = list[torch.nn.Module]()
        for taken, given in itertools.pairwise((6, 16, 32, 64, 128)):
            convolution = torch.nn.Conv2d(taken, given, 3, stride=2, padding=1, bias=False)
            layers += [convolution, torch.nn.BatchNorm2d(given), torch.nn.ReLU()]
        self.body = torch.nn.Sequential(*layers)
        self.logit = torch.nn.Linear(256, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        fine = torch.nn.functional.conv2d(inputs, self.difference, padding=1, groups=3)
        features = self.body(torch.cat([inputs - 0.5, fine], dim=1))
        scores: Tensor = self.logit(torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1))
        return scores.squeeze(1)


POINTS = landmarks81(128).astype(np.float32)


@cache
def person(seed: int) -> np.ndarray:
    return face(seed, 128)


def pairs(people: Iterable[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Fakes and reals in turn, (2 P, 3, 128, 128) in [0, 1], and their labels."""
    rows = [row for seed in people for row in SelfBlend().pair(person(seed), POINTS, rng)[:2]]
    inputs = torch.from_numpy(np.stack(rows).transpose(0, 3, 1, 2).astype(np.float32) / 255)
    return inputs, torch.tensor([1.0, 0.0]).repeat(len(rows) // 2)


def judged(network: Residual, inputs: Tensor, label: Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        return auc(label.numpy().astype(int), torch.cat([network(part) for part in inputs.split(20)]).numpy())


@pytest.mark.slow
def test_a_network_of_a_tenth_of_a_million_weights_learns_it() -> None:
    """200 synthetic faces in training; judged on the self-blends of 50 others."""
    torch.manual_seed(0)
    rng, network = np.random.default_rng(0), Residual()
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(1e5, rel=0.1)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(250):
        inputs, label = pairs(rng.choice(200, 12, replace=False).tolist(), rng)
        optimiser.zero_grad()
        binary_cross_entropy_with_logits(network(inputs), label).backward()
        optimiser.step()
    assert judged(network, *pairs(range(1000, 1050), rng)) > 0.9


def test_without_a_change_there_is_nothing_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """S = T and rounding: the two rows are the same to the bit, so any network has an AUC of one half."""
    monkeypatch.setattr(selfblend, "change", lambda picture, rng, parity: picture)
    monkeypatch.setattr(selfblend, "misalign", lambda source, mask, rng: (source, mask))
    inputs, label = pairs(range(6), np.random.default_rng(0))
    assert inputs[::2].equal(inputs[1::2])
    assert judged(Residual(), inputs, label) == 0.5


def test_crops_for_pairs_are_wider_at_the_same_scale_and_know_where_the_face_is(tmp_path: Path) -> None:
    run = recipe(preprocess={"size": 64, "margin": 1.25, "jpeg_quality": 90}, data={"path": ".", "faces": "find"})
    wide = SBI(SBI.Config(backbone="test_resnet", init="random", context=2.5)).training_preprocess(run)
    assert (wide.size, wide.margin, wide.jpeg_quality) == (128, 2.5, None)
    person = synthetic_face(3, 512)
    Image.fromarray(person.picture).save(tmp_path / "face.png")
    manifest = Manifest.from_columns({"path": ["face.png"], "label": [0]}, tmp_path)
    crops = face_crops(manifest, wide)
    assert crops.box is not None
    x, y, w, h = crops.box[0]
    inside = (crops.landmarks[0] >= (x, y)) & (crops.landmarks[0] <= (x + w, y + h))
    assert inside.all()  # the five points lie in the box, wherever the border moved the crop
    data = Pairs(crops, manifest, run, SelfBlend(), augmented=True)
    assert data[Draw(0, 0, 0)].inputs.shape == (2, 3, 64, 64)


def test_pictures_that_are_crops_already_stay_as_they_are() -> None:
    run = recipe(data={"path": ".", "faces": "whole"})
    assert SBI(SBI.Config(backbone="test_resnet", init="random")).training_preprocess(run) == run.preprocess
