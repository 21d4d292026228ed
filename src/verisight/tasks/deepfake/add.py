"""ADD: a student of compressed faces learns from a teacher of clean ones (Le, Woo, AAAI 2022).

The teacher, trained on x_r, is frozen; the student sees x_c, the compressed version of the same picture:

    L = CE(student(x_c), y) + lambda_fr sum_l w_l L_FR(S_l, T_l) + lambda_mv sum_l w_l L_MV(S_l, T_l)

L_FR is frequency attention (`verisight.ops.distill`), L_MV multi-view attention (`verisight.ops.views`), l the four
stages of the network. Any other way to distil stands behind the same switch, `distil`: its rivals are a line of a
recipe. At test time the student alone is left, and needs no clean picture.

MV compares channels by their number: it makes sense where teacher and student share architecture and first weights.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from verisight.core.checkpoint import load_card, load_tensors
from verisight.core.detector import checkpoint_path
from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import Recipe
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.loaders import Samples
from verisight.data.manifest import Manifest
from verisight.data.paired import PairedCrops, ViewsAsRows
from verisight.engine.method import Method, MethodConfig, method_class
from verisight.nn.backbones import backbone
from verisight.nn.distillers import DISTILLERS, Seen, distiller
from verisight.nn.taps import STAGES, listening, tapped
from verisight.optim.rule import Losses

TRIED_AT = 128  # pixels of the picture by which shapes are learnt


class ADD(Method):
    """A timm backbone with two classes, pulled towards a frozen teacher.

    Examples
    --------
    >>> method = ADD(ADD.Config(backbone="resnet10t", init="random"))  # without a teacher it scores, and cannot train
    >>> method.eval().scores(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """

    task = "deepfake"
    positive = "fake"
    training_only = ("teacher.", "distillers.")

    class Config(MethodConfig):
        """teacher : a detector (catalogue id or checkpoint) whose method has a network `features`.
        backbone : a timm network.
        init : `imagenet`, `random`, or `teacher`, its network, where the architecture is the same.
        dropout : before the classes.
        qualities : what the teacher sees, and what the student sees (`verisight.data.paired`).
        distil : name of a loss (`verisight.nn.distillers`) -> its weight; none is plain training on the second quality.
        settings : name of a loss -> its arguments.
        cross_entropy : weight of the labels.
        head_epochs : epochs in which the classes alone train, without any distillation.
        """

        teacher: str = ""
        backbone: str = "tf_efficientnet_lite0"
        init: str = "imagenet"
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
        qualities: tuple[str, str] = ("raw", "c40")
        distil: dict[str, Annotated[float, Field(ge=0)]] = {"fr": 1.0, "mv": 16.0}
        settings: dict[str, dict[str, Any]] = {}
        cross_entropy: Annotated[float, Field(ge=0)] = 1.0
        head_epochs: Annotated[int, Field(ge=0)] = 0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        teacher = _teacher(config.teacher) if config.teacher else None
        self.features = backbone(config.backbone, "random" if config.init == "teacher" else config.init)
        if config.init == "teacher":
            self._begin_as(teacher)
        self.dropout = torch.nn.Dropout(config.dropout)
        self.classes = torch.nn.Linear(int(self.features.num_features), 2)  # type: ignore[arg-type]
        self.distillers: Any = torch.nn.ModuleDict()  # of Distiller
        self.teacher: Method | None = teacher
        if teacher is not None:
            self._make_distillers(teacher)

    def _begin_as(self, teacher: Method | None) -> None:
        if teacher is None:
            raise RecipeError("method.init=teacher", "no teacher is named", "set method.teacher")
        try:
            self.features.load_state_dict(teacher.features.state_dict())  # type: ignore[union-attr]
        except RuntimeError as error:
            raise RecipeError("method.init=teacher", "teacher and student are of unlike architecture") from error

    def _make_distillers(self, teacher: Method) -> None:
        with torch.random.fork_rng(), torch.no_grad():
            shown = torch.zeros(2, 3, TRIED_AT, TRIED_AT)
            self.eval()
            mine, theirs = self._seen(shown), _seen(teacher, shown)
            self.train()
        unknown = set(self.config.settings) - set(self.config.distil)
        if unknown:
            raise RecipeError("method.settings", f"'{min(unknown)}' is not distilled by", "name it in method.distil")
        for name, weight in self.config.distil.items():
            if weight > 0 or name not in DISTILLERS:
                self.distillers[name] = distiller(name, mine, theirs, 1, settings=self.config.settings.get(name))

    # --- data

    def training_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        for each in self.distillers.values():
            each.make_room(len(manifest))
        return PairedCrops(crops, manifest, recipe, self.config.qualities, augmented=True)

    def select_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        student = self.config.qualities[1:]
        return ViewsAsRows(PairedCrops(crops, manifest, recipe, student, augmented=False))

    # --- losses

    def train(self, mode: bool = True) -> ADD:
        """The teacher stays as it is."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def losses(self, batch: Batch) -> Losses:
        if self.teacher is None:
            raise RecipeError(
                "method.teacher", "must be given for training", "a checkpoint trained on the first quality"
            )
        if batch.inputs.ndim != 5 or batch.inputs.shape[1] != 2:
            reason = "its rows are not pairs (N, 2, 3, S, S)"
            raise DataError(f"a batch of shape {tuple(batch.inputs.shape)}", reason, "use PairedCrops")
        clean, compressed = batch.inputs.unbind(dim=1)
        head_only = self.training and self.current_epoch < self.config.head_epochs
        with torch.set_grad_enabled(torch.is_grad_enabled() and not head_only):
            features, maps = tapped(self.features, STAGES, compressed)
        logits = self.classes(self.dropout(features))
        parts = {"cross_entropy": self.config.cross_entropy * cross_entropy(logits, batch.label)}
        aside: dict[str, Tensor] = {}
        if self.distillers:
            mine = Seen(tuple(maps.values()), features, logits)
            with torch.no_grad():
                theirs = _seen(self.teacher, clean)
            for name, each in self.distillers.items():
                loss = logits.sum() * 0 if head_only else each(mine, theirs, batch.label, batch.index)
                parts[name] = self.config.distil[name] * loss
                aside.update({} if head_only else each.aside)
        return Losses(parts, aside={name: value.detach() for name, value in aside.items()}, rows=len(batch))

    def _seen(self, inputs: Tensor) -> Seen:
        features, maps = tapped(self.features, STAGES, inputs)
        return Seen(tuple(maps.values()), features, self.classes(features))

    # --- scores

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,) log odds of fake: the difference of the two logits."""
        return self.scored(inputs)[0]

    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.features(inputs)
        logits: Tensor = self.classes(self.dropout(features))
        return logits[:, 1] - logits[:, 0], features


def _teacher(detector: str) -> Method:
    """The method of a checkpoint, frozen, in eval mode.

    Raises
    ------
    RecipeError : it has no network with taps.
    """
    path = checkpoint_path(detector)
    card = load_card(path)
    scoring: Any = method_class(card.method).scoring_network(card, load_tensors(path))
    method: Method = scoring.method
    if not isinstance(getattr(method, "features", None), torch.nn.Module):
        raise RecipeError(detector, f"a detector of {card.method} has no network to learn from", "train deepfake/erm")
    return method.eval().requires_grad_(False)


def _seen(teacher: Method, inputs: Tensor) -> Seen:
    """What the teacher sees, in one forward."""
    network: Any = teacher.features
    with listening(network, STAGES) as maps:
        logits, features = teacher.scored(inputs)
    if features is None:
        raise RecipeError("method.teacher", "gives no features", "train deepfake/erm")
    return Seen(tuple(maps[name] for name in STAGES), features, logits)
