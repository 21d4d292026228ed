"""Every method of the catalogue keeps the contract; each way of breaking it is called by the name of its clause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from verisight.core import catalogue
from verisight.core.errors import InputError
from verisight.core.recipe import Recipe
from verisight.data.batch import Batch, concatenate
from verisight.data.crops import CropSet
from verisight.data.loaders import Crops, Draw, Samples
from verisight.data.manifest import Manifest
from verisight.engine.method import Method, MethodConfig
from verisight.evaluate.metrics import auc
from verisight.optim.rule import Losses
from verisight.tasks.deepfake.erm import ERM
from verisight.testing import ContractError, check_method, name_of
from verisight.testing.method import (
    METHOD_CLAUSES,
    TEST_SIZE,
    MethodCase,
    one_row_trains_or_is_refused,
    two_ranks_equal_one_process,
)
from verisight.testing.planted import PAIRS, SIZE, STEP, planted_forgeries

LEAST_AUC = {
    "deepfake/sbi": 0.7,  # a quarter of its blends is faint on purpose
    "deepfake/qad": 0.75,  # a third of the pictures is judged at CRF 40, where nothing of the stripes is left
    "deepfake/add": 0.8,
}
SETTINGS = {
    "deepfake/add": {**TEST_SIZE, "teacher": "deepfake", "distil": {"kd": 0.1}, "qualities": ("raw", "c23")},
}


@pytest.mark.parametrize("entry", catalogue.entries("method"), ids=lambda e: e.id)
def test_methods_of_the_catalogue_keep_the_contract(entry: catalogue.Entry) -> None:
    check_method(entry.load(), SETTINGS.get(entry.id), least_auc=LEAST_AUC.get(entry.id, 0.9))


def test_ranks_agree_without_any_normalisation_over_the_batch() -> None:
    """With layer normalisation nothing has to be frozen: the clause then says all that it could."""
    two_ranks_equal_one_process(MethodCase(ERM, {**TEST_SIZE, "backbone": "test_vit2"}))


def test_random_numbers_go_on_as_if_nothing_had_been_checked() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check_method(Edges, {"wide": 1.0})
    assert torch.rand(3).equal(expected)


# --- the synthetic problem ---


def test_the_planted_forgeries_are_what_their_docstring_says() -> None:
    crops, manifest = planted_forgeries(0)
    again, other = planted_forgeries(0)[0], planted_forgeries(1)[0]
    assert np.array_equal(crops.images, again.images)
    assert not np.array_equal(crops.images, other.images)
    real, fake = crops.images[:PAIRS].astype(int), crops.images[PAIRS:].astype(int)
    change = fake - real
    inner = slice(SIZE // 4, 3 * SIZE // 4)
    assert (change[:, inner, inner][:, ::2] == STEP).all()
    assert (change[:, inner, inner][:, 1::2] == -STEP).all()
    change[:, inner, inner] = 0
    assert not change.any()
    assert manifest.column("label").tolist() == [0] * PAIRS + [1] * PAIRS
    assert len(set(manifest.domain())) == 4


def test_mean_colour_says_nothing_and_fine_structure_all() -> None:
    crops, manifest = planted_forgeries(1)
    grey = crops.images.mean(axis=3)
    label = manifest.column("label")
    rows = grey[:, 8:24, 8:24].mean(axis=2)
    assert auc(label, grey.mean(axis=(1, 2))) == pytest.approx(0.5, abs=0.02)
    assert auc(label, np.abs(np.diff(rows, axis=1)).mean(axis=1)) == 1


# --- a small right method, and planted faults ---


class Edges(Method):
    """Logistic regression on the mean absolute difference of rows and of columns."""

    task = "deepfake"
    positive = "fake"

    class Config(MethodConfig):
        """init : unused, as there is nothing to go on from. wide : what the features are multiplied by."""

        init: str = "random"
        wide: float = 10.0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.logit = torch.nn.Linear(2, 1)

    def losses(self, batch: Batch) -> Losses:
        target = batch.label.float()
        return Losses({"bce": torch.nn.functional.binary_cross_entropy_with_logits(self.scores(batch.inputs), target)})

    def scores(self, inputs: Tensor) -> Tensor:
        inner = inputs[..., 8:24, 8:24].mean(1)
        edges = torch.stack([inner.diff(dim=d).abs().mean(dim=(1, 2)) for d in (1, 2)], dim=1)
        return self.logit(self.config.wide * edges).squeeze(1)


def test_a_right_method_keeps_the_contract() -> None:
    check_method(Edges)


class Drift(Edges):
    """Of series (N, 20): the positive ones rise."""

    def __init__(self, config: Edges.Config) -> None:
        super().__init__(config)
        self.logit = torch.nn.Linear(20, 1)

    def scores(self, inputs: Tensor) -> Tensor:
        return self.logit(inputs).squeeze(1)


def test_a_method_of_other_inputs_is_tried_on_the_batch_that_it_is_given() -> None:
    label = torch.arange(12) % 2
    series = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    series += label[:, None] * torch.linspace(0, 3, 20)
    check_method(Drift, batch=Batch(series, label, None, torch.arange(12)))


class Mirrors(Crops):
    """Two rows a draw: the picture and its mirror."""

    def __getitem__(self, draw: Draw) -> Batch:
        one = super().__getitem__(draw)
        return concatenate([one, replace(one, inputs=one.inputs.flip(-1))])


class Mirrored(Edges):
    def training_data(self, crops: CropSet, manifest: Manifest, recipe: Recipe) -> Samples:
        return Mirrors(crops, manifest, recipe, augmented=False)


def test_a_method_that_draws_its_own_batches_is_tried_on_those() -> None:
    case = MethodCase(Mirrored)
    assert len(case.rows) == 16
    assert case.rows.inputs[1].equal(case.rows.inputs[0].flip(-1))
    check_method(Mirrored)


def plus(losses: Losses, value: Any) -> Losses:
    return Losses({**losses.parts, "more": value})


class ForgetsSetting(Edges):
    class Config(Edges.Config):
        def model_dump_json(self, **_: Any) -> str:
            return "{}"

        def model_dump(self, **_: Any) -> dict[str, Any]:
            return {"wide": self.wide + 1}


class TakesAnything(Edges):
    @classmethod
    def from_block(cls, block: Any, where: str) -> Any:
        return cls(cls.Config())


class NoParts(Edges):
    def losses(self, batch: Batch) -> Losses:
        return Losses({})


class Vector(Edges):
    def losses(self, batch: Batch) -> Losses:
        return plus(super().losses(batch), self.scores(batch.inputs))


class NotFinite(Edges):
    def losses(self, batch: Batch) -> Losses:
        return plus(super().losses(batch), self.scores(batch.inputs).sum() * float("nan"))


class PartPerClass(Edges):
    """Names a part for every class that the batch happens to hold."""

    def losses(self, batch: Batch) -> Losses:
        found = super().losses(batch).total / 2
        return Losses({str(label): found for label in set(batch.label.tolist())})


class Detached(Edges):
    def losses(self, batch: Batch) -> Losses:
        return Losses({"bce": super().losses(batch).total.detach()})


class Unused(Edges):
    def __init__(self, config: Edges.Config) -> None:
        super().__init__(config)
        self.spare = torch.nn.Linear(2, 2)


class WildGradient(Edges):
    def losses(self, batch: Batch) -> Losses:
        return plus(super().losses(batch), (self.logit.weight * 0).sum().sqrt())  # finite, with an infinite slope


class NoGradient(Edges):
    def losses(self, batch: Batch) -> Losses:
        return Losses({"bce": super().losses(batch).total * 0})


class OwnSeed(Edges):
    def __init__(self, config: Edges.Config) -> None:
        super().__init__(config)
        fresh = torch.Generator()
        fresh.seed()
        torch.nn.init.normal_(self.logit.weight, generator=fresh)


class Queue(Edges):
    """Remembers the batch before."""

    last: Tensor | None = None

    def losses(self, batch: Batch) -> Losses:
        found = super().losses(batch)
        before, self.last = self.last, found.total.detach()
        return found if before is None else plus(found, found.total * before)


class Normalised(Edges):
    """Batch normalisation of the features; a subclass misuses it."""

    def __init__(self, config: Edges.Config) -> None:
        super().__init__(config)
        self.norm = torch.nn.BatchNorm1d(2)

    def scores(self, inputs: Tensor) -> Tensor:
        inner = inputs[..., 8:24, 8:24].mean(1)
        edges = torch.stack([inner.diff(dim=d).abs().mean(dim=(1, 2)) for d in (1, 2)], dim=1)
        return self.logit(self.norm(edges)).squeeze(1)


class MovesNorm(Normalised):
    def scores(self, inputs: Tensor) -> Tensor:
        self.norm.train()
        found = super().scores(inputs)
        self.norm.eval()
        return found


class LeavesTraining(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        self.logit.train()
        return super().scores(inputs)


class Draws(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        return super().scores(inputs) + 0 * torch.rand(())


class Overwrites(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            inputs *= 1.5
        return super().scores(inputs)


class Column(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        return super().scores(inputs)[:, None]

    def losses(self, batch: Batch) -> Losses:
        found = self.scores(batch.inputs).squeeze(1)
        return Losses({"bce": torch.nn.functional.binary_cross_entropy_with_logits(found, batch.label.float())})


class SqueezesOne(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        return super().scores(inputs).squeeze()


class Integers(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        found = super().scores(inputs)
        return found if self.training else found.long()


class Centred(Edges):
    def scores(self, inputs: Tensor) -> Tensor:
        found = super().scores(inputs)
        return found - found.mean()


class NanAtOne(Edges):
    """Divides by the number of other rows."""

    def losses(self, batch: Batch) -> Losses:
        found = super().losses(batch)
        return plus(found, found.total * 0 / torch.tensor(len(batch) - 1.0))


class CrashesAtOne(Edges):
    def losses(self, batch: Batch) -> Losses:
        assert len(batch) > 1
        return super().losses(batch)


class Guesses(Edges):
    def losses(self, batch: Batch) -> Losses:
        return Losses({"bce": -super().losses(batch).total})


class Forgetful(Edges):
    """Keeps what it learned about the data in a plain attribute."""

    scale = 1.0

    def losses(self, batch: Batch) -> Losses:
        if self.training:
            self.scale = 2.0
        return super().losses(batch)

    def scores(self, inputs: Tensor) -> Tensor:
        return super().scores(inputs) * (1.0 if self.training else self.scale)


class NotPersistent(Normalised):
    def __init__(self, config: Edges.Config) -> None:
        super().__init__(config)
        self.register_buffer("shift", torch.zeros(1), persistent=False)

    def losses(self, batch: Batch) -> Losses:
        found = super().losses(batch)
        self.shift += self.training
        return found

    def scores(self, inputs: Tensor) -> Tensor:
        return super().scores(inputs) + (0 if self.training else self.shift)


class Summed(Edges):
    """A sum over the rows where a mean is asked for."""

    def losses(self, batch: Batch) -> Losses:
        return Losses({"bce": super().losses(batch).total * len(batch)})


class PerClass(Edges):
    """The mean of the means of the two classes: the classes of a shard are not those of the batch."""

    def losses(self, batch: Batch) -> Losses:
        found = self.scores(batch.inputs)
        each = torch.nn.functional.binary_cross_entropy_with_logits(found, batch.label.float(), reduction="none")
        share = [(batch.label == c).float() for c in (0, 1)]
        return Losses({"bce": torch.stack([(each * s).sum() / s.sum().clamp_min(1) for s in share]).mean()})


class OtherScores(Edges):
    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.scores(inputs) + 1, None


class OneFeature(Edges):
    """The features of the batch as a whole."""

    def scored(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.scores(inputs), inputs.mean(dim=(0, 2, 3))[None]


PLANTED: list[tuple[str, type[Method], str]] = [
    ("the_config_round_trips", ForgetsSetting, "came back as"),
    ("the_config_round_trips", TakesAnything, "unknown setting"),
    ("losses_are_named_finite_scalars", NoParts, "losses\\(\\) gave"),
    ("losses_are_named_finite_scalars", Vector, "'more' is no scalar"),
    ("losses_are_named_finite_scalars", NotFinite, "'more' is nan"),
    ("every_batch_has_the_same_parts", PartPerClass, "parts \\['0'\\] of 2 rows, \\['0', '1'\\] of all"),
    ("gradients_reach_every_trained_parameter", Detached, "have no gradient"),
    ("gradients_reach_every_trained_parameter", Unused, "'spare.weight'"),
    ("gradients_reach_every_trained_parameter", WildGradient, "not finite at \\['logit.weight'\\]"),
    ("gradients_reach_every_trained_parameter", NoGradient, "every gradient is zero"),
    ("equal_seeds_give_equal_losses_and_scores", OwnSeed, "two builds of one seed"),
    ("losses_have_no_memory", Queue, "after another batch"),
    ("evaluation_leaves_no_trace", MovesNorm, "changed \\['norm.running_mean'"),
    ("evaluation_leaves_no_trace", LeavesTraining, "switched a module to training"),
    ("evaluation_leaves_no_trace", Draws, "took a random number"),
    ("evaluation_leaves_no_trace", Overwrites, "changed its inputs"),
    ("scores_are_one_finite_float_a_row", Column, "shape \\(6, 1\\) for 6 rows"),
    ("scores_are_one_finite_float_a_row", SqueezesOne, "shape \\(\\) for 1 rows"),
    ("scores_are_one_finite_float_a_row", Integers, "scores tensor"),
    ("features_come_with_the_same_scores", OtherScores, "other scores than scores"),
    ("features_come_with_the_same_scores", OneFeature, "shape \\(1, 3\\)"),
    ("a_score_does_not_depend_on_its_batch", Centred, "alone and among others"),
    ("one_row_trains_or_is_refused", NanAtOne, "the loss of one row is nan"),
    ("one_row_trains_or_is_refused", CrashesAtOne, "AssertionError"),
    ("it_learns_its_synthetic_problem", Guesses, "AUC 0"),
    ("it_saves_and_reloads_to_equal_scores", Forgetful, "after saving and loading"),
    ("it_saves_and_reloads_to_equal_scores", NotPersistent, "after saving and loading"),
    ("two_ranks_equal_one_process", Summed, "off from one process"),
    ("two_ranks_equal_one_process", PerClass, "off from one process"),
]


@pytest.mark.parametrize(("name", "broken", "told"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_called_by_the_name_of_its_clause(name: str, broken: type[Method], told: str) -> None:
    clause = next(c for c in METHOD_CLAUSES if name_of(c) == name)
    with pytest.raises(ContractError, match=told) as caught:
        clause(MethodCase(broken))
    assert caught.value.clause == name
    assert str(caught.value).startswith(f"method {broken.__name__} breaks the clause '{name}': ")


def test_every_clause_has_a_planted_fault() -> None:
    assert {name for name, _, _ in PLANTED} == {name_of(c) for c in METHOD_CLAUSES}


@pytest.mark.parametrize("error", [ValueError("needs two rows"), InputError("batch", "needs two rows")])
def test_one_row_may_be_refused_in_words(error: Exception) -> None:
    class Refuses(Edges):
        def losses(self, batch: Batch) -> Losses:
            if len(batch) == 1:
                raise error
            return super().losses(batch)

    one_row_trains_or_is_refused(MethodCase(Refuses))
