"""Batches are balanced as asked, and are a function of seed and epoch whatever the number of workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.recipe import Recipe
from verisight.data.crops import CropSet
from verisight.data.loaders import Crops, Draw, Draws, balanced_weights, select_loader, training_loader
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise

SIZE = 32
FACE = np.array([[11, 12], [21, 12], [16, 17], [12, 22], [20, 22]], np.float32)


def recipe(**changes: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "loaders",
        "method": {},
        "data": {"path": "."},
        "preprocess": {"size": SIZE},
        "loader": {"batch_size": 4, "workers": 0},
    }
    return Recipe.model_validate({**tree, **changes})


PLAIN = {"crop": 0, "flip": False, "colour": 0, "resize": 0, "blur": 0, "jpeg": 0}


def samples(labels: list[int], landmarks: np.ndarray | None = FACE) -> tuple[CropSet, Manifest]:
    """One crop a row, its pixels telling the row and the label apart."""
    rows = len(labels)
    columns = {
        "path": [f"{i}.png" for i in range(rows)],
        "label": labels,
        "generator": [f"g{i % 2}" for i in range(rows)],
    }
    images = np.random.default_rng(0).integers(0, 200, (rows, SIZE, SIZE, 3)).astype(np.uint8)
    points = np.full((rows, 5, 2), np.nan, np.float32) if landmarks is None else np.stack([landmarks] * rows)
    return (
        CropSet(images=images, row=np.arange(rows), time_s=np.zeros(rows), landmarks=points, skipped=()),
        Manifest.from_columns(columns, Path(".")),
    )


# --- weights ---

LABEL, GROUP = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ("none", [1, 1, 1, 1]),
        ("label", [1 / 3, 1 / 3, 1 / 3, 1]),
        ("group", [1 / 4, 1 / 4, 1 / 2, 1]),  # within label 0 two rows of group 0 weigh what one of group 1 does
    ],
)
def test_balanced_weights_are_the_closed_form(balance: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(balanced_weights(LABEL, GROUP, balance), expected)


rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=40)


@given(rows, st.sampled_from(["label", "group"]))
def test_every_label_has_mass_one_and_every_group_in_it_the_same(rows: list[tuple[int, int]], balance: Any) -> None:
    label, group = (np.array(column) for column in zip(*rows, strict=True))
    weights = balanced_weights(label, group, balance)
    assert (weights > 0).all()
    for value in set(label):
        mine = label == value
        assert weights[mine].sum() == pytest.approx(1)
        masses = [weights[mine & (group == g)].sum() for g in set(group[mine])]
        if balance == "group":
            np.testing.assert_allclose(masses, 1 / len(masses))


# --- draws ---


def drawn(seed: int, epoch: int, weights: np.ndarray | None = None) -> list[Draw]:
    draws = Draws(np.ones(30) if weights is None else weights, seed)
    draws.set_epoch(epoch)
    return list(draws)


def test_draws_hang_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    first = drawn(5, 2)
    torch.manual_seed(1)
    np.random.seed(1)
    assert drawn(5, 2) == first
    assert [draw.crop for draw in drawn(5, 3)] != [draw.crop for draw in first]
    assert [draw.crop for draw in drawn(6, 2)] != [draw.crop for draw in first]
    assert {draw.epoch for draw in first} == {2}
    assert [draw.nth for draw in first] == list(range(30))


def test_an_epoch_is_as_long_as_the_set_and_iterating_again_repeats_it() -> None:
    draws = Draws(np.ones(30), 0)
    assert len(list(draws)) == len(draws) == 30
    assert list(draws) == list(draws)


def test_draws_follow_the_weights() -> None:
    weights = np.repeat([3.0, 1.0, 0.0], 1000)
    count = Counter(draw.crop // 1000 for draw in drawn(0, 0, weights))
    assert count[2] == 0
    assert count[0] / 3000 == pytest.approx(0.75, abs=0.04)  # 5 standard deviations


# --- batches ---


def batches(workers: int, epoch: int, **changes: Any) -> list[Any]:
    crops, manifest = samples([0, 1, 0, 1, 0, 1, 0, 0, 1, 1])
    loader = training_loader(crops, manifest, recipe(loader={"batch_size": 4, "workers": workers}, **changes))
    loader.sampler.set_epoch(epoch)
    return list(loader)


def equal(a: Any, b: Any) -> bool:
    return all(getattr(a, name).equal(getattr(b, name)) for name in ("inputs", "label", "domain", "index"))


def test_two_workers_give_the_batches_that_none_gives() -> None:
    for epoch in (0, 3):
        here, there = batches(0, epoch, augment={"self_blend": 0.5}), batches(2, epoch, augment={"self_blend": 0.5})
        assert len(here) == len(there) == 2
        assert all(equal(a, b) for a, b in zip(here, there, strict=True))


def test_another_epoch_or_seed_augments_anew() -> None:
    first = batches(0, 0)
    assert not any(equal(a, b) for a, b in zip(first, batches(0, 1), strict=True))
    assert not any(equal(a, b) for a, b in zip(first, batches(0, 0, seed=1), strict=True))


def test_a_draw_is_always_the_same_picture_and_the_next_draw_of_the_crop_another() -> None:
    data = Crops(*samples([0, 1]), recipe(), augmented=True)
    first = data[Draw(0, 0, 1)].inputs
    assert data[Draw(0, 0, 1)].inputs.equal(first)
    assert not data[Draw(0, 1, 1)].inputs.equal(first)
    assert not data[Draw(1, 0, 1)].inputs.equal(first)


@pytest.mark.parametrize(("rows", "sizes"), [(3, [3]), (4, [4]), (7, [4]), (8, [4, 4]), (10, [4, 4])])
def test_a_short_batch_is_dropped_when_there_are_others(rows: int, sizes: list[int]) -> None:
    crops, manifest = samples([i % 2 for i in range(rows)])
    loader = training_loader(crops, manifest, recipe())
    assert [len(batch) for batch in loader] == sizes
    assert len(loader) == len(sizes)


def test_a_batch_holds_what_the_manifest_says_of_its_rows() -> None:
    crops, manifest = samples([0, 1, 0, 1, 0, 1, 0, 0, 1, 1])
    for batch in training_loader(crops, manifest, recipe(augment=PLAIN)):
        row = batch.index.numpy()
        assert batch.inputs.shape == (4, 3, SIZE, SIZE)
        assert batch.inputs.dtype == torch.float32
        assert (batch.label.dtype, batch.domain.dtype, batch.index.dtype) == (torch.int64,) * 3
        np.testing.assert_array_equal(batch.label, manifest.column("label")[row])
        names = sorted(set(manifest.domain()))
        assert [names[d] for d in batch.domain] == manifest.domain()[row].tolist()
        np.testing.assert_array_equal(batch.inputs, normalise(crops.images[row], recipe().preprocess))


def test_labels_are_drawn_evenly_from_uneven_data() -> None:
    crops, manifest = samples([0] * 180 + [1] * 20)
    label = torch.cat([b.label for b in training_loader(crops, manifest, recipe(augment=PLAIN))]).float()
    assert float(label.mean()) == pytest.approx(0.5, abs=0.18)  # 5 standard deviations; 0.1 unbalanced


def test_many_frames_of_one_video_weigh_what_one_photo_does() -> None:
    """Rows 0..36 are one video; balanced by group it is drawn as often as each of the three photos."""
    labels = [0] * 40 + [1] * 40
    crops, _ = samples(labels)
    columns = {"path": [f"{i}.png" for i in range(80)], "label": labels}
    columns["group"] = ["video"] * 37 + [f"photo{i}" for i in range(43)]
    manifest = Manifest.from_columns(columns, Path("."))
    made = training_loader(crops, manifest, recipe(augment=PLAIN, data={"path": ".", "balance": "group"}))
    index = np.concatenate([[*b.index] for _ in [made.sampler.set_epoch(e) for e in range(10)] for b in made])
    real = index[index < 40]
    assert np.mean(real < 37) == pytest.approx(0.25, abs=0.11)  # 5 standard deviations; 37/40 unbalanced


def test_selection_sees_every_crop_once_in_order_as_it_is() -> None:
    crops, manifest = samples([0, 1] * 50)
    made = list(select_loader(crops, manifest, recipe(augment={"self_blend": 1})))
    np.testing.assert_array_equal(torch.cat([b.index for b in made]), np.arange(100))
    np.testing.assert_array_equal(torch.cat([b.inputs for b in made]), normalise(crops.images, recipe().preprocess))


# --- self-blends ---


def changed(crops: CropSet, manifest: Manifest, share: float) -> dict[int, list[bool]]:
    """For each label, whether the drawn pictures differ from the stored ones."""
    found: dict[int, list[bool]] = {0: [], 1: []}
    for batch in training_loader(crops, manifest, recipe(augment={**PLAIN, "self_blend": share})):
        stored = torch.from_numpy(normalise(crops.images[batch.index.numpy()], recipe().preprocess))
        for row in range(len(batch)):
            found[int(batch.label[row])].append(not batch.inputs[row].equal(stored[row]))
    return found


def test_self_blends_stand_in_for_fakes_and_half_of_the_reals_are_changed_as_a_whole() -> None:
    found = changed(*samples([0, 1] * 100), share=1.0)
    assert all(found[1])
    assert np.mean(found[0]) == pytest.approx(0.5, abs=0.25)


def test_a_share_of_the_fakes_is_replaced() -> None:
    found = changed(*samples([0, 1] * 200), share=0.25)
    assert np.mean(found[1]) == pytest.approx(0.25, abs=0.16)


def test_without_a_face_to_blend_nothing_is_replaced() -> None:
    found = changed(*samples([0, 1] * 20, landmarks=None), share=1.0)
    assert not any(found[0] + found[1])
