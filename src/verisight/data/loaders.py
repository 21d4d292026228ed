"""Batches for training and for the select split.

A sample is a batch of a few rows: one augmented crop, a pseudo-fake with its real, one face at several qualities. What
stands behind a sample is a function of its `Draw`, and the draws of an epoch a function of (seed, epoch): so workers,
ranks and restarts change nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import AugmentSpec, Recipe
from verisight.data.artefacts import upsampled
from verisight.data.augment import augment
from verisight.data.batch import Batch, concatenate
from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.data.quality import Picture
from verisight.data.selfblend import SelfBlend, change

_TRIES = 32  # draws, to find an item of another number
Balance = Literal["none", "label", "group", "domain"]


class Draw(NamedTuple):
    """The `nth` draw of an epoch, and the item that it fell on. Randomness goes by the first two: an item that is drawn
    twice is augmented in two ways."""

    epoch: int
    nth: int
    item: int


class Samples(Dataset[Batch], ABC):
    """What training draws from.

    weights : (M,) at least 0, how likely each item is drawn; items of weight 0 never are.
    apart : (M,) numbers; no two items of one number stand in a batch, as far as there are others. None: they may.
    """

    weights: NDArray[np.float64]
    apart: NDArray[np.int64] | None = None

    @abstractmethod
    def __getitem__(self, draw: Draw) -> Batch:
        """A batch of a few rows; equal for equal draws."""


class PseudoFakes:
    """What stands in for some of the drawn crops, as `augment.self_blend` and `augment.upsample` say."""

    def __init__(self, crops: CropSet, label: NDArray[np.int64], spec: AugmentSpec) -> None:
        self.crops, self.label, self.spec = crops, label, spec
        self.reals = np.flatnonzero(label == 0)
        self.blendable = np.flatnonzero((label == 0) & np.isfinite(crops.landmarks).all(axis=(1, 2)))

    def __call__(self, i: int, picture: Picture, rng: np.random.Generator) -> Picture:
        """The picture, or what stands in for it.

        A share of the fakes becomes a self-blended real, and another one a real with up-sampling traces. Half of the
        self-blends have their *background* changed, so as many reals are changed as a whole: else a tint alone would
        mean fake.
        """
        spec, chance = self.spec, rng.random()
        if chance < spec.self_blend and len(self.blendable):
            if self.label[i] == 1:
                real = int(rng.choice(self.blendable))
                return SelfBlend().pair(np.asarray(self.crops.images[real]), self.crops.landmarks[real], rng)[0]
            return change(picture, rng) if rng.random() < 0.5 else picture
        if self.label[i] == 1 and spec.self_blend <= chance < spec.self_blend + spec.upsample:
            return upsampled(np.asarray(self.crops.images[int(rng.choice(self.reals))]), rng)
        return picture


class Crops(Samples):
    """Crops as batches of one row.

    augmented : false gives every crop as it is, in every epoch.
    """

    def __init__(self, crops: CropSet, manifest: Manifest, recipe: Recipe, *, augmented: bool) -> None:
        self.crops, self.recipe, self.augmented = crops, recipe, augmented
        self.label = manifest.column("label")[crops.row]
        self.pseudo = PseudoFakes(crops, self.label, recipe.augment)
        self.domain = numbered(manifest.domain())[crops.row]
        self.weights = row_weights(self.label, recipe.data.balance, manifest, crops.row)

    def __getitem__(self, draw: Draw) -> Batch:
        i = draw.item
        picture = np.asarray(self.crops.images[i])
        if self.augmented:
            rng = np.random.default_rng((self.recipe.seed, draw.epoch, draw.nth))
            picture = augment(self.pseudo(i, picture, rng), self.recipe.augment, rng)
        return Batch(
            inputs=torch.from_numpy(normalise(picture[None], self.recipe.preprocess)),
            label=torch.tensor([self.label[i]]),
            domain=torch.tensor([self.domain[i]]),
            index=torch.tensor([self.crops.row[i]]),
        )


def numbered(names: NDArray[Any]) -> NDArray[np.int64]:
    """Names as numbers 0 .. K - 1, in the order of the names."""
    return np.asarray(np.unique(names.astype(str), return_inverse=True)[1])


def row_weights(
    label: NDArray[np.int64], balance: Balance, manifest: Manifest, row: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`balanced_weights` of items by the group or domain of the rows (N,) of the manifest that they come from."""
    within = manifest.domain() if balance == "domain" else manifest.column("group")
    return balanced_weights(label, balance, numbered(within)[row])


def balanced_weights(label: NDArray[np.int64], balance: Balance, within: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per-row weights: all equal; each label the same mass; or also, within a label, each group or domain the same.

    label : (N,) 0 or 1. within : (N,) numbers from 0 of the group or domain.
    """
    if balance == "none":
        return np.ones(len(label))
    cell = label * (within.max() + 1) + within
    weights = np.ones(len(label)) if balance == "label" else 1.0 / np.bincount(cell)[cell]
    return np.asarray(weights / np.bincount(label, weights)[label])


class Draws(Sampler[list[Draw]], Sized):
    """The batches of an epoch, as lists of draws with replacement; a function of (seed, epoch), with a position.

    An epoch has as many draws as there are items of positive weight; a last short batch is left out when there are
    others. Of every batch, rank r of R takes the draws r, r + R, ...: together they see what one process would.

    apart : as that of `Samples`.
    position : the batch that the next iteration begins with; 0 but after a restart in mid-epoch.

    Raises
    ------
    DataError : nothing to draw. RecipeError : a rank would get no row.
    """

    def __init__(
        self,
        weights: NDArray[np.float64],
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        ranks: int = 1,
        apart: NDArray[np.int64] | None = None,
    ) -> None:
        self.draws = int(np.count_nonzero(weights))
        if not self.draws:
            raise DataError("training data", "no item has a weight above 0")
        smallest = min(batch_size, self.draws)
        if ranks > smallest:
            reason = f"a batch of {smallest} cannot be shared by {ranks} processes"
            raise RecipeError("loader.batch_size", reason, f"set trainer.devices={smallest} or less")
        self.shares, self.batch_size, self.seed = weights / weights.sum(), batch_size, seed
        self.rank, self.ranks, self.apart = rank, ranks, apart
        self.epoch, self.position = 0, 0

    @property
    def sampler(self) -> Draws:
        """Where Lightning looks for `set_epoch`, which it calls before every epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return max(1, self.draws // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        items = rng.choice(len(self.shares), size=self.draws, p=self.shares)
        if self.apart is not None:
            items = self._kept_apart(items, self.apart, rng)
        start, self.position = self.position, 0
        for batch in range(start, len(self)):
            nth = range(batch * self.batch_size, min((batch + 1) * self.batch_size, self.draws))
            yield [Draw(self.epoch, k, int(items[k])) for k in nth][self.rank :: self.ranks]

    def _kept_apart(
        self, items: NDArray[np.int64], apart: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """The same draws, those drawn anew whose number stands in their batch already."""
        items = items.copy()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            seen: set[int] = set()
            for k in range(start, min(start + self.batch_size, self.draws)):
                for other in (
                    rng.choice(len(self.shares), size=_TRIES, p=self.shares) if apart[items[k]] in seen else ()
                ):
                    items[k] = other
                    if apart[other] not in seen:
                        break
                seen.add(int(apart[items[k]]))
        return items


class _Late(DataLoader[Batch]):
    """Begins when the first batch is asked for: Lightning makes the iterator before it knows epoch and position, and
    workers would run ahead with the wrong ones."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        yield from super().__iter__()


def training_loader(data: Samples, recipe: Recipe, *, rank: int = 0, ranks: int = 1) -> DataLoader[Batch]:
    """Batches of `recipe.loader.batch_size` draws, over all ranks together.

    Raises
    ------
    DataError, RecipeError : as `Draws`.
    """
    return _Late(
        data,
        batch_sampler=Draws(
            data.weights, recipe.loader.batch_size, recipe.seed, rank=rank, ranks=ranks, apart=data.apart
        ),
        num_workers=recipe.loader.workers,
        collate_fn=concatenate,
        generator=torch.Generator(),  # else each epoch would take a number from the one that dropout uses
    )


def select_loader(data: Samples) -> DataLoader[Batch]:
    """Every item once, in order, as in epoch 0."""
    draws = [Draw(0, i, i) for i in np.flatnonzero(data.weights).tolist()]
    return DataLoader(data, batch_size=64, sampler=draws, collate_fn=concatenate, generator=torch.Generator())
