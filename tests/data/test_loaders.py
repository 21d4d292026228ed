"""Batches are balanced as asked, and are a function of seed and epoch whatever the workers, processes and restarts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import Recipe
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.loaders import (
    Crops,
    Draw,
    Draws,
    Samples,
    balanced_weights,
    numbered,
    select_loader,
    training_loader,
)
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


PLAIN = {"crop": 0, "flip": False, "colour": 0, "quality": ""}


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

LABEL, WITHIN = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ("none", [1, 1, 1, 1]),
        ("label", [1 / 3, 1 / 3, 1 / 3, 1]),
        ("group", [1 / 4, 1 / 4, 1 / 2, 1]),  # within label 0 two rows of group 0 weigh what one of group 1 does
        ("domain", [1 / 4, 1 / 4, 1 / 2, 1]),
    ],
)
def test_balanced_weights_are_the_closed_form(balance: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(balanced_weights(LABEL, balance, WITHIN), expected)


rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=40)


@given(rows, st.sampled_from(["label", "group", "domain"]))
def test_every_label_has_mass_one_and_every_group_in_it_the_same(rows: list[tuple[int, int]], balance: Any) -> None:
    label, within = (np.array(column) for column in zip(*rows, strict=True))
    weights = balanced_weights(label, balance, within)
    assert (weights > 0).all()
    for value in set(label):
        mine = label == value
        assert weights[mine].sum() == pytest.approx(1)
        masses = [weights[mine & (within == g)].sum() for g in set(within[mine])]
        if balance != "label":
            np.testing.assert_allclose(masses, 1 / len(masses))


def test_names_are_numbered_in_their_order() -> None:
    assert numbered(np.array(["b", "a", "c", "a"])).tolist() == [1, 0, 2, 0]


# --- draws ---


def drawn(seed: int, epoch: int, weights: np.ndarray | None = None, **shares: int) -> list[list[Draw]]:
    draws = Draws(np.ones(30) if weights is None else weights, 4, seed, **shares)
    draws.set_epoch(epoch)
    return list(draws)


def flat(batches: list[list[Draw]]) -> list[Draw]:
    return [draw for batch in batches for draw in batch]


def test_draws_hang_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    first = flat(drawn(5, 2))
    torch.manual_seed(1)
    np.random.seed(1)
    assert flat(drawn(5, 2)) == first
    assert [draw.item for draw in flat(drawn(5, 3))] != [draw.item for draw in first]
    assert [draw.item for draw in flat(drawn(6, 2))] != [draw.item for draw in first]
    assert {draw.epoch for draw in first} == {2}
    assert [draw.nth for draw in first] == list(range(28))  # the last two of thirty make no batch of four


def test_an_epoch_is_as_long_as_the_items_that_can_be_drawn_and_iterating_again_repeats_it() -> None:
    draws = Draws(np.repeat([2.0, 0.0], 12), 4, 0)
    assert len(list(draws)) == len(draws) == 3
    assert list(draws) == list(draws)


def test_draws_follow_the_weights() -> None:
    weights = np.repeat([3.0, 1.0, 0.0], 1000)
    count = Counter(draw.item // 1000 for draw in flat(drawn(0, 0, weights)))
    assert count[2] == 0
    assert count[0] / 2000 == pytest.approx(0.75, abs=0.05)  # 5 standard deviations


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 40), st.integers(0, 3))
def test_the_shares_of_all_processes_make_up_the_batches_of_one(size: int, ranks: int, more: int, epoch: int) -> None:
    items = ranks + more
    assume(ranks <= size)
    whole = Draws(np.ones(items), size, 0)
    shares = [Draws(np.ones(items), size, 0, rank=r, ranks=ranks) for r in range(ranks)]
    for draws in (whole, *shares):
        draws.set_epoch(epoch)
    assert [len(s) for s in shares] == [len(whole)] * ranks
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(flat(parts)) == batch
        assert min(map(len, parts)) >= max(1, max(map(len, parts)) - 1)


def test_it_goes_on_from_a_position_once() -> None:
    draws = Draws(np.ones(30), 4, 0)
    whole = list(draws)
    draws.position = 5
    assert list(draws) == whole[5:]
    assert list(draws) == whole


def test_more_processes_than_rows_are_refused_in_a_line() -> None:
    with pytest.raises(RecipeError, match=r"^loader\.batch_size: a batch of 4 cannot be shared by 5 processes"):
        Draws(np.ones(30), 4, 0, ranks=5)
    with pytest.raises(RecipeError, match="a batch of 2 cannot"):  # the only batch there is
        Draws(np.array([1.0, 0.0, 1.0]), 4, 0, ranks=3)


def test_nothing_to_draw_is_refused_in_a_line() -> None:
    with pytest.raises(DataError, match=r"^training data: no item has a weight above 0$"):
        Draws(np.zeros(3), 4, 0)


# --- batches ---


def loader_of(crops: CropSet, manifest: Manifest, run: Recipe, **shares: int) -> Any:
    return training_loader(Crops(crops, manifest, run, augmented=True), run, **shares)


def batches(workers: int, epoch: int, position: int = 0, shares: dict[str, int] | None = None, **changes: Any) -> Any:
    run = recipe(loader={"batch_size": 3, "workers": workers}, **changes)
    loader = loader_of(*samples([0, 1, 0, 1, 0, 1, 0, 0, 1, 1]), run, **(shares or {}))
    loader.batch_sampler.set_epoch(epoch)
    loader.batch_sampler.position = position
    return list(loader)


def equal(a: Batch, b: Batch) -> bool:
    return all(getattr(a, name).equal(getattr(b, name)) for name in ("inputs", "label", "domain", "index"))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_batches_that_none_gives(workers: int) -> None:
    here, there = batches(0, 3, augment={"self_blend": 0.5}), batches(workers, 3, augment={"self_blend": 0.5})
    assert len(here) == len(there) == 3
    assert all(equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_two_processes_see_the_rows_that_one_sees(workers: int) -> None:
    whole = batches(0, 1)
    first, second = (batches(workers, 1, shares={"rank": rank, "ranks": 2}) for rank in (0, 1))
    for batch, ours, theirs in zip(whole, first, second, strict=True):
        assert (len(ours), len(theirs)) == (2, 1)
        assert batch.inputs[[0, 2]].equal(ours.inputs)
        assert batch.inputs[[1]].equal(theirs.inputs)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_restart_in_mid_epoch_gives_the_batches_that_are_left(workers: int) -> None:
    whole, left = batches(0, 2), batches(workers, 2, position=1)
    assert len(left) == 2
    assert all(equal(a, b) for a, b in zip(whole[1:], left, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_epoch_and_position_may_be_set_after_the_iterator_is_made(workers: int) -> None:
    """As Lightning does: it makes the iterator first, and the first batch is what counts."""
    run = recipe(loader={"batch_size": 3, "workers": workers})
    loader = loader_of(*samples([0, 1, 0, 1, 0, 1, 0, 0, 1, 1]), run)
    made = iter(loader)
    loader.batch_sampler.sampler.set_epoch(2)  # the place where Lightning looks for it
    loader.batch_sampler.position = 1
    assert equal(next(made), batches(0, 2)[1])


def test_loading_takes_no_number_from_the_generator_that_the_network_draws_from() -> None:
    before = torch.get_rng_state()
    batches(1, 0)
    list(select_loader(Crops(*samples([0, 1]), recipe(), augmented=False)))
    assert torch.get_rng_state().equal(before)


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
    loader = loader_of(*samples([i % 2 for i in range(rows)]), recipe())
    assert [len(batch) for batch in loader] == sizes
    assert len(loader) == len(sizes)


def test_a_batch_holds_what_the_manifest_says_of_its_rows() -> None:
    crops, manifest = samples([0, 1, 0, 1, 0, 1, 0, 0, 1, 1])
    for batch in loader_of(crops, manifest, recipe(augment=PLAIN)):
        row = batch.index.numpy()
        assert batch.inputs.shape == (4, 3, SIZE, SIZE)
        assert batch.inputs.dtype == torch.float32
        assert (batch.label.dtype, batch.domain.dtype, batch.index.dtype) == (torch.int64,) * 3
        np.testing.assert_array_equal(batch.label, manifest.column("label")[row])
        names = sorted(set(manifest.domain()))
        assert [names[d] for d in batch.domain] == manifest.domain()[row].tolist()
        np.testing.assert_array_equal(batch.inputs, normalise(crops.images[row], recipe().preprocess))


def test_labels_are_drawn_evenly_from_uneven_data() -> None:
    loader = loader_of(*samples([0] * 180 + [1] * 20), recipe(augment=PLAIN))
    label = torch.cat([b.label for b in loader]).float()
    assert float(label.mean()) == pytest.approx(0.5, abs=0.18)  # 5 standard deviations; 0.1 unbalanced


@pytest.mark.parametrize("balance", ["group", "domain"])
def test_many_frames_of_one_video_or_camera_weigh_what_one_photo_does(balance: str) -> None:
    """Rows 0..36 are one video by one camera; balanced, it is drawn as often as each of the three photos."""
    labels = [0] * 40 + [1] * 40
    crops, _ = samples(labels)
    names = ["a"] * 37 + [f"b{i}" for i in range(43)]
    paths = [f"{i}.png" for i in range(80)]
    manifest = Manifest.from_columns({"path": paths, "label": labels, "group": paths, balance: names}, Path("."))
    run = recipe(augment=PLAIN, data={"path": ".", "balance": balance})
    made = Draws(Crops(crops, manifest, run, augmented=True).weights, 4, 0)
    index = np.array([draw.item for _ in [made.set_epoch(e) for e in range(10)] for draw in flat(list(made))])
    assert np.mean(index[index < 40] < 37) == pytest.approx(0.25, abs=0.11)  # 5 standard deviations; 37/40 unbalanced


def test_selection_sees_every_crop_once_in_order_as_it_is() -> None:
    crops, manifest = samples([0, 1] * 50)
    run = recipe(augment={"self_blend": 1})
    made = list(select_loader(Crops(crops, manifest, run, augmented=False)))
    np.testing.assert_array_equal(torch.cat([b.index for b in made]), np.arange(100))
    np.testing.assert_array_equal(torch.cat([b.inputs for b in made]), normalise(crops.images, run.preprocess))


class Twos(Samples):
    """Items 0, 2, 4, ... of ten, two rows each."""

    weights = np.array([1.0, 0.0] * 5)

    def __getitem__(self, draw: Draw) -> Batch:
        row = torch.full((2,), draw.item)
        return Batch(inputs=row[:, None].float(), label=torch.tensor([1, 0]), domain=None, index=row)


def test_samples_of_several_rows_stay_together_and_items_without_weight_are_never_seen() -> None:
    seen = torch.cat([batch.index for batch in select_loader(Twos())])
    assert seen.tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]
    (batch,) = training_loader(Twos(), recipe())
    assert len(batch) == 8
    assert batch.label.tolist() == [1, 0] * 4
    assert batch.domain is None
    assert batch.index[::2].equal(batch.index[1::2])


# --- self-blends ---


def changed(crops: CropSet, manifest: Manifest, share: float) -> dict[int, list[bool]]:
    """For each label, whether the drawn pictures differ from the stored ones."""
    found: dict[int, list[bool]] = {0: [], 1: []}
    for batch in loader_of(crops, manifest, recipe(augment={**PLAIN, "self_blend": share})):
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


def test_no_two_of_one_number_stand_in_a_batch_and_shares_stay() -> None:
    """Ten videos of six frames, batches of eight."""
    video = np.repeat(np.arange(10), 6)
    draws = Draws(np.ones(60), 8, 0, apart=video)
    for batch in draws:
        of = video[[draw.item for draw in batch]]
        assert len(set(of.tolist())) == len(batch) == 8
    counts = np.zeros(60)
    for epoch in range(100):
        draws.set_epoch(epoch)
        for batch in draws:
            counts[[draw.item for draw in batch]] += 1
    assert counts.std() < 3 * (counts.mean()) ** 0.5
    assert counts.sum() == 100 * 7 * 8


def test_with_fewer_numbers_than_rows_the_batch_is_full_all_the_same() -> None:
    draws = Draws(np.ones(12), 6, 0, apart=np.repeat(np.arange(2), 6))
    assert [len(batch) for batch in draws] == [6, 6]


def test_what_is_kept_apart_repeats_itself_and_goes_on_in_mid_epoch() -> None:
    draws = Draws(np.ones(60), 8, 3, apart=np.repeat(np.arange(10), 6))
    whole = list(draws)
    assert list(draws) == whole
    draws.position = 3
    assert list(draws) == whole[3:]
    ranks = [list(Draws(np.ones(60), 8, 3, apart=draws.apart, rank=r, ranks=2)) for r in range(2)]
    assert [sorted(a + b) for a, b in zip(*ranks, strict=True)] == [sorted(batch) for batch in whole]
