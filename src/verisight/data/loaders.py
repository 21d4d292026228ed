"""Batches for training: balanced draws of augmented crops."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from verisight.core.recipe import Recipe
from verisight.data.augment import augment
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.data.quality import Picture
from verisight.data.selfblend import change, self_blend


class Draw(NamedTuple):
    """The `nth` draw of an epoch, and the crop that it fell on. Randomness goes by the first two: a crop that is drawn
    twice is augmented in two ways."""

    epoch: int
    nth: int
    crop: int


class Draws(Sampler[Draw], Sized):
    """An epoch of draws with replacement, with given weights; a function of (seed, epoch) alone.

    Lightning calls `set_epoch`. The epoch travels with every draw, so a worker needs no state of its own.
    """

    def __init__(self, weights: NDArray[np.float64], seed: int) -> None:
        self.weights, self.seed, self.epoch = weights / weights.sum(), seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self.seed, self.epoch))
        for nth, crop in enumerate(rng.choice(len(self), size=len(self), p=self.weights)):
            yield Draw(self.epoch, nth, int(crop))


class Crops(Dataset[Batch]):
    """Crops as batches of one; a draw is always the same picture.

    augmented : false gives every crop as it is, in every epoch.
    """

    def __init__(self, crops: CropSet, manifest: Manifest, recipe: Recipe, *, augmented: bool) -> None:
        self.crops, self.recipe, self.augmented = crops, recipe, augmented
        self.label = manifest.column("label")[crops.row]
        self.blendable = np.flatnonzero((self.label == 0) & np.isfinite(crops.landmarks).all(axis=(1, 2)))
        self.domain = np.unique(manifest.domain().astype(str), return_inverse=True)[1][crops.row]

    def __getitem__(self, draw: Draw) -> Batch:
        i = draw.crop
        picture = np.asarray(self.crops.images[i])
        if self.augmented:
            rng = np.random.default_rng((self.recipe.seed, draw.epoch, draw.nth))
            picture = augment(self._pseudo(i, picture, rng), self.recipe.augment, rng)
        return Batch(
            inputs=torch.from_numpy(normalise(picture[None], self.recipe.preprocess)[0]),
            label=torch.tensor(self.label[i]),
            domain=torch.tensor(self.domain[i]),
            index=torch.tensor(self.crops.row[i]),
        )

    def _pseudo(self, i: int, picture: Picture, rng: np.random.Generator) -> Picture:
        """The picture, or what stands in for it.

        A share of the fakes becomes a self-blended real. Half of those have their *background* changed, so as many
        reals are changed as a whole: else a tint alone would mean fake.
        """
        if len(self.blendable) == 0 or rng.random() >= self.recipe.augment.self_blend:
            return picture
        if self.label[i] == 1:
            real = int(rng.choice(self.blendable))
            return self_blend(np.asarray(self.crops.images[real]), self.crops.landmarks[real], rng)
        return change(picture, rng) if rng.random() < 0.5 else picture


def training_loader(crops: CropSet, manifest: Manifest, recipe: Recipe) -> DataLoader[Batch]:
    """Batches of `recipe.loader.batch_size`; a last short batch is dropped when there are others."""
    data = Crops(crops, manifest, recipe, augmented=True)
    group = np.unique(manifest.column("group").astype(str), return_inverse=True)[1][crops.row]
    weights = balanced_weights(data.label, group, recipe.data.balance)
    return DataLoader(
        data,
        batch_size=recipe.loader.batch_size,
        sampler=Draws(weights, recipe.seed),
        num_workers=recipe.loader.workers,
        collate_fn=collate,
        drop_last=len(data.label) >= recipe.loader.batch_size,
    )


def balanced_weights(
    label: NDArray[np.int64], group: NDArray[np.int64], balance: Literal["none", "label", "group"]
) -> NDArray[np.float64]:
    """Per-row weights: all equal; each label the same mass; or also, within a label, each group the same.

    label : (N,) 0 or 1. group : (N,) numbers from 0.
    """
    if balance == "none":
        return np.ones(len(label))
    cell = label * (group.max() + 1) + group
    weights = 1.0 / np.bincount(cell)[cell] if balance == "group" else np.ones(len(label))
    return np.asarray(weights / np.bincount(label, weights)[label])


def collate(samples: list[Batch]) -> Batch:
    """Stack single samples into a batch."""
    return Batch(
        inputs=torch.stack([s.inputs for s in samples]),
        label=torch.stack([s.label for s in samples]),
        domain=torch.stack([s.domain for s in samples if s.domain is not None]),
        index=torch.stack([s.index for s in samples]),
    )


def select_loader(crops: CropSet, manifest: Manifest, recipe: Recipe) -> DataLoader[Batch]:
    """The crops of the select split in order, as they are."""
    data = Crops(crops, manifest, recipe, augmented=False)
    draws = [Draw(0, i, i) for i in range(len(crops.row))]
    return DataLoader(data, batch_size=64, sampler=draws, collate_fn=collate)
