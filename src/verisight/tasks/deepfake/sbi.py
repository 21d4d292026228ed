"""Self-blended images: a detector that has never seen a fake (Shiohara, Yamasaki, CVPR 2022).

    (F, R) from one real face (`verisight.data.selfblend`),    L = mean of CE(f(F), fake) and CE(f(R), real)

The paper: EfficientNet-B4 with two classes, pictures of 380 px, sharpness-aware minimisation over SGD; see
recipes/deepfake/sbi-ffpp.yaml. A file's score is the mean over frames of the highest score over faces.
"""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from verisight.core.errors import DataError, RecipeError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import Recipe
from verisight.data.augment import augment
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.faces import finish
from verisight.data.loaders import Draw, Samples, numbered, row_weights
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.data.selfblend import Box, SelfBlend
from verisight.engine.method import Method, MethodConfig
from verisight.nn.backbones import backbone
from verisight.optim.rule import Losses


class SBI(Method):
    """A timm backbone with two classes, trained on real faces and their self-blends.

    Fakes in the training split are left alone. What the select split holds of them sets the threshold, not the weights;
    the AUC during training, and with it early stopping, is that of self-blends of the select split.

    Examples
    --------
    >>> method = SBI(SBI.Config(backbone="resnet10t", init="random"))
    >>> method.eval().scores(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """

    task = "deepfake"
    positive = "fake"

    class Config(MethodConfig):
        """backbone : a timm network.
        init : `imagenet` or `random`.
        dropout : before the classes.
        blend : how pairs are made.
        context : margin of the crops that pairs are made in, so that the paper's random margins and shifts find room;
            pictures that are face crops already stay as they are.
        """

        backbone: str = "tf_efficientnet_b4"
        init: str = "imagenet"
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
        blend: SelfBlend = SelfBlend()
        context: Annotated[float, Field(ge=1)] = 2.4

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.features = backbone(config.backbone, config.init)
        self.dropout = torch.nn.Dropout(config.dropout)
        self.classes = torch.nn.Linear(int(self.features.num_features), 2)  # type: ignore[arg-type]

    def losses(self, batch: Batch) -> Losses:
        logits = self.classes(self.dropout(self.features(batch.inputs)))
        return Losses({"cross_entropy": cross_entropy(logits, batch.label)})

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,) log odds of fake: the difference of the two logits."""
        return self.scored(inputs)[0]

    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.features(inputs)
        logits: Tensor = self.classes(self.dropout(features))
        return logits[:, 1] - logits[:, 0], features

    def training_preprocess(self, recipe: Recipe) -> Preprocess:
        """Wider crops at the same scale, encoded once only, after the blend."""
        preprocess = recipe.preprocess
        if recipe.data.faces == "whole" or preprocess.align or self.config.context <= preprocess.margin:
            return preprocess
        size = round(preprocess.size * self.config.context / preprocess.margin)
        return preprocess.model_copy(update={"margin": self.config.context, "size": size, "jpeg_quality": None})

    def training_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        return Pairs(crops, manifest, recipe, self.config.blend, augmented=True)

    def select_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        return Pairs(crops, manifest, recipe, self.config.blend, augmented=False)


class Pairs(Samples):
    """A pseudo-fake and its real for every real crop with landmarks of the face that it was cut for: batches of two
    rows.

    augmented : mirror, common changes and random margins; false makes the same pair in every epoch.

    Raises
    ------
    DataError : no such crop. RecipeError : a hull that five points do not have; fakes that are self-blends already.
    """

    def __init__(
        self, crops: CropSet, manifest: Manifest, recipe: Recipe, blend: SelfBlend, *, augmented: bool
    ) -> None:
        if recipe.augment.self_blend:
            raise RecipeError("augment.self_blend", "every fake of this method is a self-blend already", "leave it out")
        if blend.hull != "random" and crops.landmarks.shape[1] == 5:
            reason = f"five points have one hull of their own, not {blend.hull}"
            raise RecipeError("method.blend.hull", reason, "set data.landmarks=dlib68")
        self.crops, self.recipe, self.blend, self.augmented = crops, recipe, blend, augmented
        central = np.tile(np.array(central_box(recipe.preprocess), np.float32), (len(crops.row), 1))
        self.box = central if crops.box is None else crops.box
        start, extent = self.box[:, :2], self.box[:, 2:]
        astray = np.abs(crops.landmarks.mean(axis=1) - start - extent / 2) > extent / 2  # another face's
        known = np.isfinite(crops.landmarks).all(axis=(1, 2)) & ~astray.any(axis=1)
        usable = (manifest.column("label")[crops.row] == 0) & known
        if not usable.any():
            raise DataError(manifest.root, "no real face with landmarks to blend", "add reals (label 0)")
        self.domain = numbered(manifest.domain())[crops.row]
        self.weights = usable * row_weights(usable.astype(np.int64), recipe.data.balance, manifest, crops.row)

    def __getitem__(self, draw: Draw) -> Batch:
        i, recipe = draw.item, self.recipe
        rng = np.random.default_rng((recipe.seed, draw.epoch, draw.nth))
        picture = np.asarray(self.crops.images[i])
        box: Box = tuple(self.box[i].tolist())
        pair = self.blend.sample(picture, self.crops.landmarks[i], box, rng, train=self.augmented)
        size = (recipe.preprocess.size, recipe.preprocess.size)
        faces = [np.asarray(cv2.resize(face, size, interpolation=cv2.INTER_LINEAR), np.uint8) for face in pair]
        if self.augmented:  # what the recipe adds to the paper's own changes, alike for both
            seed = int(rng.integers(2**63))
            faces = [augment(face, recipe.augment, np.random.default_rng(seed)) for face in faces]
        seen = np.stack([finish(face, recipe.preprocess) for face in faces])
        return Batch(
            inputs=torch.from_numpy(normalise(seen, recipe.preprocess)),
            label=torch.tensor([1, 0]),
            domain=torch.tensor([self.domain[i]] * 2),
            index=torch.tensor([self.crops.row[i]] * 2),
        )


def central_box(preprocess: Preprocess) -> Box:
    """Where the face is in a picture that is a crop already: the central square of side S / margin."""
    side = preprocess.size / preprocess.margin
    start = (preprocess.size - side) / 2
    return start, start, side, side
