"""One face at several qualities, side by side in a batch: what quality-agnostic training draws from.

QAD (Le, Woo, ICCV 2023) compares the representations of one frame at raw, c23 and c40. Row i of every quality must be
the same frame of the same video under the same geometry: a mix-up destroys the dependence that it measures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from verisight.core.errors import DataError, RecipeError, nearest
from verisight.core.recipe import Recipe
from verisight.data.augment import augment
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.loaders import Draw, PseudoFakes, Samples, numbered, row_weights
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.data.quality import Picture
from verisight.data.quality import draw as draw_chain
from verisight.data.registration import require_registered

_Key = tuple[int, str, str, str]  # label, generator, video, pair


class PairedCrops(Samples):
    """One frame at Q qualities as a batch of one row: inputs (1, Q, 3, S, S).

    qualities : of each view, in order. A value of the manifest's column `quality` takes the stored crop; anything else
        is made on the fly by `quality.draw`: "jpeg:40", "c40", "jpeg:30..90 blur:1"; from the stored crop of the first
        quality, or of `raw` where the first is not stored either. What is drawn is the same whenever the draw is. Data
        that state no quality are raw.
    augmented : with one set of random numbers for all views, so that their square, mirroring and colours are equal;
        false gives every crop as it is, in every epoch.
        `augment.self_blend` and `upsample` put pseudo-fakes in place of fakes, at every quality the same one.
    two : only the first view and one other, another one from draw to draw.

    `index` and `domain` are those of the first quality. An item is one frame, not one crop; no two frames of one group
    stand in a batch, because near copies would be all that a comparison of rows sees.

    Raises
    ------
    DataError : a quality that is neither stored nor an operation; a video that has other frames at one quality; crops
        of two qualities that do not show the same, pixel by pixel.
    """

    def __init__(
        self,
        crops: CropSet,
        manifest: Manifest,
        recipe: Recipe,
        qualities: Sequence[str],
        *,
        augmented: bool,
        two: bool = False,
    ) -> None:
        self.crops, self.recipe, self.augmented, self.two = crops, recipe, augmented, two
        found = sorted(set(manifest.column("quality")[crops.row]))
        stored = {"raw": "", "": ""} if found == [""] else {name: name for name in found}  # as asked for -> as stated
        if not qualities:
            raise DataError("qualities", "not one is named", "for instance: [raw, c23, c40]")
        first = qualities[0]
        source = first if first in stored else "raw"
        if source not in stored:
            raise DataError(f"quality '{first}'", "neither it nor raw is stored", nearest(first, list(stored)))
        self.specs = ["" if name in stored else _checked(name, list(stored)) for name in qualities]
        self.table = paired_rows(crops, manifest, [stored.get(name, stored[source]) for name in qualities])
        self._require_registered(qualities)
        self.pseudo = PseudoFakes(crops, manifest.column("label")[crops.row], recipe.augment)
        if recipe.augment.self_blend + recipe.augment.upsample > 0 and not all(self.specs[1:]):
            reason = "pseudo-fakes are made of one crop, and several qualities are stored"
            raise RecipeError("augment.self_blend", reason, "name qualities that are made on the fly, such as h264:40")
        self.row = crops.row[self.table[:, 0]]
        self.apart = numbered(manifest.column("group"))[self.row]
        self.label = manifest.column("label")[self.row]
        self.domain = numbered(manifest.domain())[self.row]
        self.weights = row_weights(self.label, recipe.data.balance, manifest, self.row)

    def _require_registered(self, qualities: Sequence[str]) -> None:
        """Stored crops of every quality against those of the first, on runs of neighbouring frames here and there."""
        starts = np.unique(np.linspace(0, max(0, len(self.table) - 4), 16).astype(int))
        rows = np.unique(np.concatenate([np.arange(s, min(s + 4, len(self.table))) for s in starts]))
        for nth in range(1, self.table.shape[1]):
            if (self.table[:, nth] == self.table[:, 0]).all():
                continue  # made on the fly from the same crop
            first, second = ([np.asarray(self.crops.images[i]) for i in self.table[rows, k]] for k in (0, nth))
            require_registered(first, second, f"qualities '{qualities[0]}' and '{qualities[nth]}'")

    def __getitem__(self, draw: Draw) -> Batch:
        seed = (self.recipe.seed, draw.epoch, draw.nth)
        views: list[Picture] = []
        chosen: Sequence[int] = range(len(self.specs))
        if self.two and len(self.specs) > 2:
            chosen = [0, int(np.random.default_rng((*seed, len(self.specs))).integers(1, len(self.specs)))]
        base = int(self.table[draw.item, 0])
        first = np.asarray(self.crops.images[base])
        if self.augmented:
            first = self.pseudo(base, first, np.random.default_rng((*seed, len(self.specs) + 1)))
        for nth in chosen:
            crop, spec = int(self.table[draw.item, nth]), self.specs[nth]
            view = first if crop == base else np.asarray(self.crops.images[crop])
            if spec:
                view = draw_chain(spec, np.random.default_rng((*seed, nth))).apply(view)
            if self.augmented:  # the same numbers for every view
                view = augment(view, self.recipe.augment, np.random.default_rng(seed))
            views.append(view)
        return Batch(
            inputs=torch.from_numpy(normalise(views, self.recipe.preprocess))[None],
            label=torch.tensor([self.label[draw.item]]),
            domain=torch.tensor([self.domain[draw.item]]),
            index=torch.tensor([self.row[draw.item]]),
        )


class ViewsAsRows(Samples):
    """The views of paired crops one by one: batches of Q rows (Q, 3, S, S), as a detector meets them."""

    def __init__(self, paired: PairedCrops) -> None:
        self.paired, self.weights = paired, paired.weights

    def __getitem__(self, draw: Draw) -> Batch:
        views = self.paired[draw]
        inputs = views.inputs[0]
        label, index = (column.repeat(len(inputs)) for column in (views.label, views.index))
        return Batch(inputs, label, None if views.domain is None else views.domain.repeat(len(inputs)), index)


def _checked(name: str, stored: Sequence[str]) -> str:
    """A spec of operations, tried once; of a plain name that is none, the nearest stored quality."""
    try:
        draw_chain(name, np.random.default_rng(0))
    except DataError as error:
        if ":" in name:
            raise
        raise DataError(f"quality '{name}'", "neither stored nor an operation", nearest(name, stored)) from error
    return name


def paired_rows(crops: CropSet, manifest: Manifest, qualities: Sequence[str]) -> NDArray[np.int64]:
    """(N, Q) numbers of the crops that show one frame at each quality; frames by the path of the first, in order.

    Crops belong together that share label, generator, video and pair, have the same time, and the same file name.

    Raises
    ------
    DataError : a video whose frames differ between two qualities; no video at all.
    """
    columns = [manifest.column(name) for name in ("label", "generator", "video", "pair", "quality", "path")]
    of_video: dict[_Key, dict[str, list[tuple[str, float, int]]]] = defaultdict(lambda: defaultdict(list))
    for crop, (row, time_s) in enumerate(zip(crops.row, crops.time_s, strict=True)):
        label, generator, video, pair, quality, path = (column[row] for column in columns)
        of_video[int(label), generator, video, pair][quality].append((path, float(time_s), crop))
    made = []
    for (_, generator, video, _), by_quality in of_video.items():
        frames = {name: sorted(by_quality[name]) for name in dict.fromkeys(qualities)}
        names = {name: [(PurePosixPath(path).name, t) for path, t, _ in rows] for name, rows in frames.items()}
        for name in qualities[1:]:
            if names[name] != names[qualities[0]]:
                raise DataError(
                    f"{video} ({generator})",
                    f"{_against(names[qualities[0]], qualities[0], names[name], name)}",
                    "cut every quality at once: verisight prepare --quality A --quality B",
                )
        made += [[frames[name][nth][2] for name in qualities] for nth in range(len(frames[qualities[0]]))]
    return np.asarray(made, np.int64).reshape(-1, len(qualities))


def _against(first: list[tuple[str, float]], a: str, second: list[tuple[str, float]], b: str) -> str:
    if len(first) != len(second):
        return f"{len(first)} frames at '{a}' and {len(second)} at '{b}'"
    differ = next(x for x, y in zip(first, second, strict=True) if x != y)
    return f"the frame {differ[0]} at '{a}' has another name or time at '{b}'"
