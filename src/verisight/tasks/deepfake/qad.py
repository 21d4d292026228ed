"""QAD: one detector for all qualities, by collaborative learning inside the model (Le, Woo, ICCV 2023).

A batch holds n frames at each of Q qualities. With Z_q^l the tap l of quality q and s_q its logits:

    L = (1/Q) sum_q CE(s_q, y) - alpha sum_l w_l mean_{q<r} D(Z_q^l, Z_r^l)

D is a measure of dependence (`verisight.ops.dependence`): how alike the n x n patterns of similarity between the frames
are at two qualities. The paper minimises L at adversarially perturbed weights: `rule: {id: awp, gamma: 0.002}`, which
works on any other method as well, as this one does without it. At test time all that is left is the network.

D does not tie the readouts together: turning a tap round (Z -> -Z) changes no D and every logit. The cross-entropy of
every quality does that. Beside D stand what it has to beat: distances between coordinates (`l2`, `cosine`), between
predictions (`logits`), between the qualities' distributions whatever the pairs (`mmd`), and nothing (`none`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax, softmax

from verisight.core.errors import DataError
from verisight.core.recipe import Recipe
from verisight.data.batch import Batch
from verisight.data.crops import CropSet
from verisight.data.loaders import Samples
from verisight.data.manifest import Manifest
from verisight.data.paired import PairedCrops, ViewsAsRows
from verisight.engine.method import Method, MethodConfig
from verisight.nn.backbones import backbone
from verisight.nn.gather import gathered
from verisight.nn.taps import tapped
from verisight.ops.dependence import MEASURES, SMALLEST, gaussian_kernel, linear_kernel
from verisight.optim.rule import Losses

Agreement = Literal["biased", "unbiased", "trace", "nocco", "cka", "cka_u", "l2", "cosine", "logits", "mmd", "none"]
LOGITS = "logits"
TEMPERATURE = 4.0  # of the distillation from the first quality, which AWP may climb


class QAD(Method):
    """A timm backbone with two classes, trained on the same frames at several qualities.

    Beside the objective stand, for the log and for AWP's `ascent`: `kd`, cross-entropy and distillation from the first
    quality (T = 4); `cka_u`, the debiased alignment of first and last quality at the last tap; `skipped`, 1 where the
    rows were too few for the measure.

    Examples
    --------
    >>> method = QAD(QAD.Config(backbone="resnet10t", init="random"))
    >>> method.eval().scores(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2])
    """

    task = "deepfake"
    positive = "fake"

    class Config(MethodConfig):
        """backbone : a timm network. init : `imagenet` or `random`. dropout : before the classes.
        qualities : of the views, in order (`verisight.data.paired`); the first is the reference.
        agreement : the measure of dependence, or a rival: see the head of this file.
        alpha : its weight; 0 leaves the mixture of qualities.
        taps : name -> weight w_l (`verisight.nn.taps`; `logits` too). The paper's six weights fit these four stages.
        tap_reduce : `flatten`; `gap`, mean over places; `grid4`, mean over a grid of 4 x 4.
        kernel, sigma, scale_by_dim : of the Gram matrices.
        standardise : divide a tap by its root mean square over all qualities, detached, so that a network cannot gain
            dependence by larger features. By default for `cka_u` alone.
        pairs : `all`, `star` (the first with every other), or `one` (each step the first and one other view).
        pair_reduce : `mean` keeps the meaning of alpha for any number of qualities; `sum`.
        stop_grad : `reference` detaches the first quality: distillation from it.
        within_class : the mean of D over the classes; the classes alone give dependence too.
        label_weight : weight of the mean dependence between taps and labels; off in the paper.
        gather : rows of all processes, because D of parts is not D of the whole.
        head_epochs : epochs in which the classes alone train.
        """

        backbone: str = "tf_efficientnet_lite0"
        init: str = "imagenet"
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
        qualities: Annotated[tuple[str, ...], Field(min_length=1)] = ("raw", "c23", "c40")
        agreement: Agreement = "nocco"
        alpha: Annotated[float, Field(ge=0)] = 0.003
        taps: dict[str, Annotated[float, Field(ge=0)]] = {"stage1": 0.1, "stage2": 0.25, "stage3": 0.5}
        tap_reduce: Literal["flatten", "gap", "grid4"] = "flatten"
        kernel: Literal["gaussian", "linear"] = "gaussian"
        sigma: Annotated[float, Field(gt=0)] | Literal["median"] = 6.0
        scale_by_dim: bool = True
        standardise: bool | None = None
        pairs: Literal["all", "star", "one"] = "all"
        pair_reduce: Literal["mean", "sum"] = "mean"
        stop_grad: Literal["none", "reference"] = "none"
        within_class: bool = False
        label_weight: Annotated[float, Field(ge=0)] = 0.0
        gather: bool = True
        head_epochs: Annotated[int, Field(ge=0)] = 0

        @model_validator(mode="after")
        def _dependence_of_labels(self) -> QAD.Config:
            if self.label_weight and self.agreement not in MEASURES:
                raise ValueError(f"label_weight needs a measure of dependence, not agreement={self.agreement}")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.features = backbone(config.backbone, config.init)
        self.dropout = torch.nn.Dropout(config.dropout)
        self.classes = torch.nn.Linear(int(self.features.num_features), 2)  # type: ignore[arg-type]
        on = config.agreement != "none" and config.alpha > 0 and len(config.qualities) > 1
        self.weights = {name: w for name, w in config.taps.items() if w > 0} if on or config.label_weight else {}

    # --- data

    def training_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        qualities, two = self.config.qualities, self.config.pairs == "one"
        return PairedCrops(crops, manifest, recipe, qualities, augmented=True, two=two)

    def select_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        return ViewsAsRows(PairedCrops(crops, manifest, recipe, self.config.qualities, augmented=False))

    # --- losses

    def losses(self, batch: Batch) -> Losses:
        views = self._views(batch.inputs)
        n, q = len(batch), views.shape[1]
        images = views.transpose(0, 1).flatten(0, 1)  # (Q n, 3, S, S), one forward: shared batch statistics
        head_only = self.training and self.current_epoch < self.config.head_epochs
        with torch.set_grad_enabled(torch.is_grad_enabled() and not head_only):
            features, seen = tapped(self.features, [name for name in self.weights if name != LOGITS], images)
        logits = self.classes(self.dropout(features))
        if LOGITS in self.weights:
            seen[LOGITS] = logits
        by_quality = logits.view(q, n, 2)
        parts = {"cross_entropy": cross_entropy(logits, batch.label.repeat(q))}
        taps = {name: self._reduced(seen[name]).view(q, n, -1) for name in self.weights}
        aside = {"kd": parts["cross_entropy"] + self._distilled(by_quality)}
        if self.weights:
            label = gathered(batch.label) if self.config.gather else batch.label
            taps = {name: self._together(tap) for name, tap in taps.items()}
            few = taps[next(iter(taps))].shape[1] < self._fewest()
            zero = logits.sum() * 0
            grams = {name: [self._gram(view) for view in tap] for name, tap in taps.items() if self._by_gram}
            parts["agreement"] = zero if few or head_only else self._agreement(taps, grams, by_quality, label)
            if self.config.label_weight:
                parts["labels"] = zero if few or head_only else self._labels(grams, label).to(zero.dtype)
            aside["skipped"] = torch.full_like(zero, float(few)).detach()
            aside["cka_u"] = self._alignment(taps, grams).to(zero.dtype)
        return Losses(parts, aside=aside, rows=n)

    def _views(self, inputs: Tensor) -> Tensor:
        """(n, Q, 3, S, S), checked."""
        if inputs.ndim != 5:
            raise DataError(f"a batch of shape {tuple(inputs.shape)}", "its rows are not paired", "use PairedCrops")
        expected = 2 if self.config.pairs == "one" and len(self.config.qualities) > 2 else len(self.config.qualities)
        if inputs.shape[1] != expected:
            reason = f"{inputs.shape[1]} qualities a row, {expected} are configured"
            raise DataError("a batch", reason, f"method.qualities={list(self.config.qualities)}")
        return inputs

    def _reduced(self, tap: Tensor) -> Tensor:
        """(N, C, H, W), or (N, T, C) of a transformer, or (N, D) -> (N, d)."""
        if tap.ndim == 4 and self.config.tap_reduce != "flatten":
            side = 1 if self.config.tap_reduce == "gap" else 4
            tap = torch.nn.functional.adaptive_avg_pool2d(tap, side)
        elif tap.ndim == 3 and self.config.tap_reduce != "flatten":
            tap = tap.mean(dim=1)
        if tap.ndim == 4 and tap.is_contiguous(memory_format=torch.channels_last):
            tap = tap.permute(0, 2, 3, 1)  # no measure knows the order of features, and this one needs no copy
        return tap.flatten(1)

    def _together(self, tap: Tensor) -> Tensor:
        """(Q, n, d) with the rows of all processes, standardised where that is wanted."""
        if self.config.gather:
            tap = gathered(tap.transpose(0, 1)).transpose(0, 1)
        wanted = self.config.standardise
        if self.config.agreement == "cka_u" if wanted is None else wanted:
            tap = tap / tap.detach().float().square().mean().sqrt().clamp(min=1e-12)
        if self.config.stop_grad == "reference":
            tap = torch.cat([tap[:1].detach(), tap[1:]])
        return tap

    def _fewest(self) -> int:
        return SMALLEST.get(self.config.agreement, 1)

    def _pairs(self, q: int) -> list[tuple[int, int]]:
        every = list(combinations(range(q), 2))
        return [pair for pair in every if pair[0] == 0] if self.config.pairs == "star" else every

    @property
    def _by_gram(self) -> bool:
        return self.config.agreement in MEASURES

    def _agreement(
        self, taps: dict[str, Tensor], grams: dict[str, list[Tensor]], logits: Tensor, label: Tensor
    ) -> Tensor:
        """-alpha of a dependence, or +alpha of a distance."""
        of, alpha = self.config.agreement, self.config.alpha
        if of == "logits":
            apart = self._over_pairs([_symmetric_kl(logits[a], logits[b]) for a, b in self._pairs(len(logits))])
            return apart.mul(alpha)
        sign = -1 if self._by_gram else 1
        terms = [
            w * self._over_pairs(list(self._compared(taps[name], grams.get(name, []), label)))
            for name, w in self.weights.items()
        ]
        total: Tensor = sign * alpha * torch.stack(terms).sum()
        return total.to(logits.dtype)

    def _over_pairs(self, values: list[Tensor]) -> Tensor:
        together: Tensor = torch.stack(values)
        return together.mean() if self.config.pair_reduce == "mean" else together.sum()

    def _compared(self, tap: Tensor, grams: list[Tensor], label: Tensor) -> Iterator[Tensor]:
        """A value for each pair of qualities of a tap (Q, n, d). grams : of its views, for a measure of dependence."""
        of, pairs = self.config.agreement, self._pairs(len(tap))
        if grams:
            yield from (self._dependence(grams[a], grams[b], label) for a, b in pairs)
        elif of == "l2":
            yield from ((tap[a] - tap[b]).square().mean() for a, b in pairs)
        elif of == "cosine":
            yield from (1 - cosine_similarity(tap[a], tap[b], dim=1).mean() for a, b in pairs)
        else:
            yield from (self._mmd(tap[a], tap[b]) for a, b in pairs)

    def _gram(self, view: Tensor) -> Tensor:
        if self.config.kernel == "linear":
            return linear_kernel(view)
        return gaussian_kernel(view, self.config.sigma, scale_by_dim=self.config.scale_by_dim)

    def _dependence(self, K: Tensor, L: Tensor, label: Tensor) -> Tensor:
        measure, fewest = MEASURES[self.config.agreement], self._fewest()
        if not self.config.within_class:
            return measure(K, L)
        of = [rows for c in (0, 1) if len(rows := torch.nonzero(label == c).squeeze(1)) >= fewest]
        each = [measure(K[rows][:, rows], L[rows][:, rows]) for rows in of]
        return torch.stack(each).mean() if each else (K.sum() + L.sum()) * 0

    def _mmd(self, a: Tensor, b: Tensor) -> Tensor:
        """Squared maximum mean discrepancy of two sets, biased: pairing does not enter."""
        n, K = len(a), self._gram(torch.cat([a, b]))
        return K[:n, :n].mean() + K[n:, n:].mean() - 2 * K[:n, n:].mean()

    def _labels(self, grams: dict[str, list[Tensor]], label: Tensor) -> Tensor:
        L = linear_kernel(torch.nn.functional.one_hot(label, 2).float())
        measure = MEASURES[self.config.agreement]
        terms = [w * torch.stack([measure(K, L) for K in grams[name]]).mean() for name, w in self.weights.items()]
        total: Tensor = -self.config.label_weight * torch.stack(terms).sum()
        return total

    @torch.no_grad()
    def _alignment(self, taps: dict[str, Tensor], grams: dict[str, list[Tensor]]) -> Tensor:
        """cka_u of the first and the last quality at the last tap: what says, at any width, whether they agree."""
        last = list(taps)[-1]
        if taps[last].shape[1] < SMALLEST["cka_u"]:
            return torch.zeros((), device=taps[last].device)
        known = grams.get(last) or [self._gram(view) for view in taps[last]]
        return MEASURES["cka_u"](known[0], known[-1])

    def _distilled(self, logits: Tensor) -> Tensor:
        """T^2 KL(softmax(s_first / T) || softmax(s_q / T)), the mean over the other qualities; 0 of one quality."""
        if len(logits) == 1:
            return logits.sum() * 0
        first = softmax(logits[0] / TEMPERATURE, dim=1)
        others = [kl_div(log_softmax(other / TEMPERATURE, dim=1), first, reduction="batchmean") for other in logits[1:]]
        return TEMPERATURE**2 * torch.stack(others).mean()

    # --- scores

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,) log odds of fake: the difference of the two logits."""
        return self.scored(inputs)[0]

    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.features(inputs)
        logits: Tensor = self.classes(self.dropout(features))
        return logits[:, 1] - logits[:, 0], features


def _symmetric_kl(a: Tensor, b: Tensor) -> Tensor:
    """Of the predictions of two sets of logits (n, 2), the mean of both directions."""
    p, q = log_softmax(a, dim=1), log_softmax(b, dim=1)
    return (
        kl_div(p, q, reduction="batchmean", log_target=True) + kl_div(q, p, reduction="batchmean", log_target=True)
    ) / 2
