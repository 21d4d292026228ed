"""One face at several qualities: the same frame, the same square, the same mirroring in every view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from verisight.core.errors import DataError, RecipeError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import AugmentSpec, DataSpec, Recipe
from verisight.data.batch import concatenate
from verisight.data.crops import CropSet
from verisight.data.loaders import Draw
from verisight.data.manifest import Manifest
from verisight.data.paired import PairedCrops, ViewsAsRows, paired_rows
from verisight.data.quality import draw

SIZE = 32
GEOMETRY = AugmentSpec(crop=0.4, flip=True, colour=0.2, quality="")
QUALITIES = ("raw", "c23", "c40")


def recipe(augment: AugmentSpec = GEOMETRY) -> Recipe:
    data = DataSpec(path="nowhere", balance="label")
    return Recipe(name="x", method={"id": "any"}, data=data, preprocess=Preprocess(size=SIZE), augment=augment, seed=3)


def rows_of(video: str, label: int, qualities: tuple[str, ...] = QUALITIES, frames: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "path": f"crops/{quality}/{video}-{label}/{nth:04d}.png",
            "label": label,
            "video": video,
            "group": video,
            "quality": quality,
            "generator": "swap" if label else "real",
        }
        for quality in qualities
        for nth in range(frames)
    ]


def crops_of(rows: list[dict[str, Any]], seed: int = 0) -> tuple[CropSet, Manifest]:
    """Crops in shuffled row order whose pixels say which frame of which video they show; quality dims them."""
    order = np.random.default_rng(seed).permutation(len(rows))
    rows = [rows[i] for i in order]
    manifest = Manifest.from_columns({name: [row[name] for row in rows] for name in rows[0]}, None)
    images = []
    for row in rows:
        frame = f"{row['video']} {row['label']} {row['path'][-8:]}"
        shown = np.random.default_rng(list(frame.encode())).integers(120, 250, (SIZE, SIZE, 3))
        images.append(shown - 20 * (QUALITIES.index(row["quality"]) if row["quality"] in QUALITIES else 0))
    count = len(rows)
    nowhere = np.full((count, 5, 2), np.nan, np.float32)
    return CropSet(np.array(images, np.uint8), np.arange(count), np.zeros(count), nowhere, ()), manifest


@pytest.fixture
def stored() -> tuple[CropSet, Manifest]:
    return crops_of(rows_of("a", 0) + rows_of("b", 0, frames=2) + rows_of("a", 1, frames=4))


def grey(inputs: torch.Tensor) -> np.ndarray:
    return (inputs.numpy() * 127.5 + 127.5).round()


def test_views_are_one_frame_whatever_the_order_of_the_rows(stored: tuple[CropSet, Manifest]) -> None:
    crops, manifest = stored
    table = paired_rows(crops, manifest, QUALITIES)
    assert table.shape == (9, 3)
    assert len(np.unique(table)) == 27
    quality, path = manifest.column("quality"), manifest.column("path")
    for row in table:
        assert quality[row].tolist() == list(QUALITIES)
        assert len({p.split("/", 2)[2] for p in path[row]}) == 1


def test_a_sample_is_one_row_of_q_views(stored: tuple[CropSet, Manifest]) -> None:
    crops, manifest = stored
    data = PairedCrops(crops, manifest, recipe(), QUALITIES, augmented=False)
    batch = concatenate([data[Draw(0, i, i)] for i in range(4)])
    assert batch.inputs.shape == (4, 3, 3, SIZE, SIZE)
    assert batch.inputs.dtype == torch.float32
    assert batch.label.tolist() == manifest.column("label")[batch.index].tolist()
    assert (manifest.column("quality")[batch.index] == "raw").all()
    views = grey(batch.inputs)
    np.testing.assert_array_equal(views[:, 0], crops.images[batch.index].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(views[:, 0] - 20, views[:, 1])
    np.testing.assert_array_equal(views[:, 0] - 40, views[:, 2])


def test_square_and_mirroring_are_the_same_in_every_view_and_differ_between_draws(
    stored: tuple[CropSet, Manifest],
) -> None:
    """Views that differ by a constant still do after cutting, mirroring and enlarging; up to rounding."""
    crops, manifest = stored
    shapes = AugmentSpec(crop=0.4, flip=True, colour=0, quality="")
    data = PairedCrops(crops, manifest, recipe(shapes), QUALITIES, augmented=True)
    shown = []
    for nth in range(12):
        views = grey(data[Draw(1, nth, 0)].inputs)[0]
        inside = (views > 0) & (views < 255)  # bicubic enlarging may overshoot
        both = inside.all(axis=0)
        assert np.abs((views[0] - views[1] - 20)[both]).max() <= 1
        assert np.abs((views[0] - views[2] - 40)[both]).max() <= 1
        shown.append(views[0])
    assert len({view.tobytes() for view in shown}) == 12


def test_equal_draws_are_equal_and_colours_are_shared(stored: tuple[CropSet, Manifest]) -> None:
    crops, manifest = stored
    same = CropSet(np.broadcast_to(crops.images[:1], crops.images.shape), *list(vars(crops).values())[1:])
    data = PairedCrops(same, manifest, recipe(), QUALITIES, augmented=True)
    first, again, other = (data[Draw(0, nth, 2)].inputs for nth in (5, 5, 6))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    assert torch.equal(first[0, 0], first[0, 1])  # equal pictures stay equal: all random numbers are shared


def test_views_are_made_on_the_fly_where_they_are_not_stored() -> None:
    crops, manifest = crops_of(rows_of("a", 0, ("raw",)) + rows_of("b", 1, ("raw",)))
    data = PairedCrops(crops, manifest, recipe(), ("raw", "jpeg:20", "blur:1..3"), augmented=False)
    assert len(data.weights) == 6
    batch = data[Draw(2, 9, 4)]
    picture = crops.images[batch.index[0]]
    views = grey(batch.inputs)[0].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(views[0], picture)
    np.testing.assert_array_equal(views[1], draw("jpeg:20", np.random.default_rng(0)).apply(picture))
    assert views[2].std() < views[0].std()
    assert torch.equal(batch.inputs, data[Draw(2, 9, 4)].inputs)
    assert not torch.equal(batch.inputs[:, 2], data[Draw(2, 10, 4)].inputs[:, 2])  # another blur is drawn


def test_items_are_weighted_as_frames_not_as_crops(stored: tuple[CropSet, Manifest]) -> None:
    crops, manifest = stored
    data = PairedCrops(crops, manifest, recipe(), QUALITIES, augmented=True)
    assert data.weights[data.label == 0].sum() == pytest.approx(data.weights[data.label == 1].sum())
    assert len(data.weights) == 9


def test_unequal_pairs_are_refused_by_name() -> None:
    fewer = rows_of("a", 0) + rows_of("b", 1, ("raw", "c23")) + rows_of("b", 1, ("c40",), frames=2)
    with pytest.raises(DataError, match=r"b \(swap\): 3 frames at 'raw' and 2 at 'c40'; cut every quality at once"):
        paired_rows(*crops_of(fewer), QUALITIES)
    renamed = rows_of("a", 0)
    renamed[-1]["path"] = "crops/c40/a-0/0007.png"
    with pytest.raises(DataError, match=r"a \(real\): the frame 0002\.png at 'raw' has another name or time at 'c40'"):
        paired_rows(*crops_of(renamed), QUALITIES)
    crops, manifest = crops_of(rows_of("a", 0))
    late = CropSet(crops.images, crops.row, np.where(crops.row == 4, 0.5, 0.0), crops.landmarks, ())
    with pytest.raises(DataError, match="another name or time"):
        paired_rows(late, manifest, QUALITIES)


@pytest.mark.parametrize(
    ("qualities", "message"),
    [
        (("rw", "c23"), "quality 'rw': neither stored nor an operation; did you mean 'raw'"),
        ((), "qualities: not one is named"),
        (("raw", "c42"), "quality 'c42': neither stored nor an operation; did you mean 'c40'"),
        (("raw", "jpeg:400"), "jpeg:400: the value of jpeg is out of range"),
    ],
)
def test_unknown_qualities_are_refused(
    stored: tuple[CropSet, Manifest], qualities: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        PairedCrops(*stored, recipe(), qualities, augmented=False)


def test_data_that_state_no_quality_are_of_the_first() -> None:
    crops, manifest = crops_of(rows_of("a", 0, ("",)) + rows_of("b", 1, ("",)))
    data = PairedCrops(crops, manifest, recipe(), QUALITIES, augmented=False)
    batch = concatenate([data[Draw(0, i, i)] for i in range(len(data.weights))])
    assert batch.inputs.shape == (6, 3, 3, SIZE, SIZE)
    views = grey(batch.inputs)
    np.testing.assert_array_equal(views[:, 0], crops.images[data.table[:, 0]].transpose(0, 3, 1, 2))
    expected = draw("c40", np.random.default_rng(0)).apply(crops.images[data.table[0, 0]])
    np.testing.assert_array_equal(views[0, 2], expected.transpose(2, 0, 1))


def test_one_quality_that_is_not_stored_is_made_from_raw() -> None:
    for stored in ("", "raw"):
        crops, manifest = crops_of(rows_of("a", 0, (stored,)))
        data = PairedCrops(crops, manifest, recipe(), ("c40",), augmented=False)
        expected = draw("c40", np.random.default_rng(0)).apply(crops.images[data.table[1, 0]])
        np.testing.assert_array_equal(grey(data[Draw(0, 1, 1)].inputs)[0, 0], expected.transpose(2, 0, 1))
    crops, manifest = crops_of(rows_of("a", 0, ("c23",)))
    with pytest.raises(DataError, match="quality 'c40': neither it nor raw is stored; known: c23"):
        PairedCrops(crops, manifest, recipe(), ("c40",), augmented=False)


def test_two_views_are_the_first_and_another_one_from_draw_to_draw(stored: tuple[CropSet, Manifest]) -> None:
    data = PairedCrops(*stored, recipe(AugmentSpec(crop=0, flip=False, colour=0, quality="")), QUALITIES,
                       augmented=True, two=True)  # fmt: skip
    three = PairedCrops(*stored, recipe(), QUALITIES, augmented=False)
    others = set()
    for nth in range(12):
        first, other = grey(data[Draw(0, nth, 1)].inputs)[0]
        raw, c23, c40 = grey(three[Draw(0, 1, 1)].inputs)[0]
        np.testing.assert_array_equal(first, raw)
        others.add("c23" if np.array_equal(other, c23) else "c40" if np.array_equal(other, c40) else "neither")
    assert others == {"c23", "c40"}


def test_views_can_come_as_rows(stored: tuple[CropSet, Manifest]) -> None:
    paired = PairedCrops(*stored, recipe(), QUALITIES, augmented=False)
    rows = ViewsAsRows(paired)[Draw(0, 4, 4)]
    assert rows.inputs.equal(paired[Draw(0, 4, 4)].inputs[0])
    assert rows.label.tolist() == [int(paired.label[4])] * 3
    assert rows.index.tolist() == [int(paired.row[4])] * 3


def test_frames_of_one_group_are_kept_apart(stored: tuple[CropSet, Manifest]) -> None:
    paired = PairedCrops(*stored, recipe(), QUALITIES, augmented=False)
    group = stored[1].column("group")[paired.row]
    assert len(set(zip(group, paired.apart.tolist(), strict=True))) == 2


def test_a_pseudo_fake_is_the_same_one_at_every_quality() -> None:
    """All fakes are replaced by reals with traces of up-sampling: the second view is the first one, compressed."""
    crops, manifest = crops_of(rows_of("a", 0, ("",)) + rows_of("b", 1, ("",)))
    only = AugmentSpec(crop=0, flip=False, colour=0, quality="", upsample=1.0)
    data = PairedCrops(crops, manifest, recipe(only), ("raw", "c40"), augmented=True)
    fake = int(np.flatnonzero(data.label == 1)[0])
    first, second = grey(data[Draw(0, 5, fake)].inputs)[0].transpose(0, 2, 3, 1).astype(np.uint8)
    assert not any(np.array_equal(first, image) for image in crops.images)
    np.testing.assert_array_equal(second, draw("c40", np.random.default_rng(0)).apply(first))
    real = int(np.flatnonzero(data.label == 0)[0])
    assert any(np.array_equal(grey(data[Draw(0, 5, real)].inputs)[0, 0].transpose(1, 2, 0), i) for i in crops.images)


def test_pseudo_fakes_and_stored_qualities_do_not_go_together(stored: tuple[CropSet, Manifest]) -> None:
    with pytest.raises(RecipeError, match="several qualities are stored"):
        PairedCrops(*stored, recipe(AugmentSpec(upsample=1.0)), QUALITIES, augmented=True)
