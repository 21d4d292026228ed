"""The contract of a method: what the engine, the update rules, checkpoints and detectors count on.

A method is tried on a synthetic problem that comes to it by its own `training_data` and `select_data`, so that it gets
the pairs, qualities or pseudo-fakes that it wants; or on a batch that the caller brings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from verisight.core.checkpoint import Card, load_tensors, save_checkpoint
from verisight.core.errors import RecipeError, VerisightError
from verisight.core.recipe import Recipe, validate
from verisight.data.batch import Batch, concatenate
from verisight.data.loaders import Draw, training_loader
from verisight.engine.method import Method, MethodConfig
from verisight.engine.train import rounded
from verisight.evaluate.metrics import auc
from verisight.optim.gradient import gradient
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses
from verisight.testing.contract import clause, expect, run
from verisight.testing.planted import SIZE, planted_forgeries
from verisight.testing.ranks import on_two_ranks

TEST_SIZE = {"backbone": "test_resnet", "init": "random", "dropout": 0.0}  # settings that make a method small
STEPS, BATCH, LR = 40, 16, 3e-3
LEAST_AUC = 0.9  # on pictures that it never saw, after STEPS steps of BATCH draws
CLOSE = 1e-4


@dataclass(frozen=True)
class MethodCase:
    """What the clauses look at.

    method : the class. config : its settings; None makes the method small (TEST_SIZE, where it has such settings).
    batch : what it trains on; None takes the synthetic problem.
    least_auc : what it is to reach on it.
    """

    method: type[Method]
    config: MethodConfig | Mapping[str, Any] | None = None
    batch: Batch | None = None
    least_auc: float = LEAST_AUC

    def __str__(self) -> str:
        return f"method {self.method.__name__}"

    @cached_property
    def settings(self) -> MethodConfig:
        known = self.method.Config.model_fields
        given = {k: v for k, v in TEST_SIZE.items() if k in known} if self.config is None else self.config
        return given if isinstance(given, MethodConfig) else validate(self.method.Config, dict(given), str(self))

    @cached_property
    def recipe(self) -> Recipe:
        """A recipe whose `method:` block holds the settings."""
        plain = {"crop": 0, "flip": False, "colour": 0, "quality": ""}
        tree = {
            "name": "contract",
            "method": {"id": f"{self.method.task}/contract", **self.settings.model_dump(mode="json")},
            "data": {"path": ".", "faces": "whole"},
            "preprocess": {"size": SIZE},
            "augment": plain,
            "loader": {"batch_size": BATCH, "workers": 0},
        }
        return Recipe.model_validate(tree)

    def build(self, seed: int = 0) -> Method:
        """An untrained method; equal for equal seeds."""
        torch.manual_seed(seed)
        return self.method.from_block(self.recipe.method, str(self))

    @cached_property
    def rows(self) -> Batch:
        """What `losses` is tried on: the given batch, or eight draws of the synthetic problem."""
        if self.batch is not None:
            return self.batch
        with _random_state_kept():
            data = self.build().training_data(*planted_forgeries(0), self.recipe)
        items = np.flatnonzero(data.weights)
        chosen = items[np.linspace(0, len(items) - 1, 8).round().astype(int)]
        return concatenate([data[Draw(0, nth, int(item))] for nth, item in enumerate(chosen)])

    @cached_property
    def inputs(self) -> Tensor:
        """What `scores` is tried on."""
        return self.rows.inputs if self.batch is not None else self.unseen.inputs[:6]

    @cached_property
    def unseen(self) -> Batch:
        """What the AUC is measured on: pictures that training did not see. A given batch stands for itself."""
        if self.batch is not None:
            return self.batch
        with _random_state_kept():
            data = self.build().select_data(*planted_forgeries(1), self.recipe)
        return concatenate([data[Draw(0, int(i), int(i))] for i in np.flatnonzero(data.weights)])

    def steps(self, method: Method) -> Iterator[Batch]:
        """What it trains on, step by step, without end."""
        if self.batch is not None:
            while True:
                yield self.batch
        loader = training_loader(method.training_data(*planted_forgeries(0), self.recipe), self.recipe)
        epoch = 0
        while True:
            loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
            yield from loader
            epoch += 1


def check_method(
    method: type[Method],
    config: MethodConfig | Mapping[str, Any] | None = None,
    *,
    batch: Batch | None = None,
    least_auc: float = LEAST_AUC,
    exempt: Mapping[str, str] | None = None,
) -> None:
    """Hold a method to its contract; some ten seconds on one core for a small network.

    config : its settings; by default its own, with a tiny untrained backbone where it has one to choose.
    batch : N >= 4 rows of both labels, for a method whose inputs are not face crops; it is then to learn this batch.
    least_auc : what 40 steps have to reach on pictures that it did not see, as its own `select_data` makes them; lower
        for one whose pseudo-fakes are hard to tell.
    exempt : name of a clause -> why it does not hold here.

    Raises
    ------
    ContractError : names the first broken clause.
    """
    with _random_state_kept():
        run(METHOD_CLAUSES, MethodCase(method, config, batch, least_auc), exempt or {})


@clause
def the_config_round_trips(case: MethodCase) -> None:
    again = Recipe.model_validate_json(case.recipe.model_dump_json())
    block = {key: value for key, value in again.method.items() if key != "id"}
    found = validate(case.method.Config, block, "the block of a recipe")
    expect(found == case.settings, f"{case.settings!r} came back as {found!r}")
    try:
        case.method.from_block({**again.method, "no_such_setting": 1}, "contract")
    except RecipeError:
        return
    expect(False, "an unknown setting was taken without a complaint")


@clause
def losses_are_named_finite_scalars(case: MethodCase) -> None:
    losses = case.build().train().losses(case.rows)
    expect(isinstance(losses, Losses) and losses.parts, f"losses() gave {losses!r}")
    for name, value in [*losses.parts.items(), *losses.by_domain.items()]:
        expect(isinstance(value, Tensor) and value.ndim == 0, f"'{name}' is no scalar: {value!r}")
        expect(value.is_floating_point() and value.isfinite(), f"'{name}' is {value}")
    expect(all(isinstance(name, str) and name for name in losses.parts), f"names {list(losses.parts)}")


@clause
def every_batch_has_the_same_parts(case: MethodCase) -> None:
    """Micro-batches and ranks are added up part by part; a part without rows in it is a zero, not absent."""
    method = case.build().train()
    whole = set(method.losses(case.rows).parts)
    for shard in shards(case.rows):
        found = set(method.losses(shard).parts)
        expect(found == whole, f"parts {sorted(found)} of {len(shard)} rows, {sorted(whole)} of all")


@clause
def gradients_reach_every_trained_parameter(case: MethodCase) -> None:
    """A parameter that no loss uses stops distributed training; freeze it (`requires_grad=False`) or drop it."""
    method = case.build().train()
    named = {name: p for name, p in method.named_parameters() if p.requires_grad}
    total = method.losses(case.rows).total
    expect(total.requires_grad, "the losses have no gradient")
    found = dict(zip(named, torch.autograd.grad(total, list(named.values()), allow_unused=True), strict=True))
    unused = [name for name, g in found.items() if g is None]
    expect(not unused, f"no loss uses the trained parameter {unused[:3]}")
    wild = [name for name, g in found.items() if g is not None and not g.isfinite().all()]
    expect(not wild, f"gradients that are not finite at {wild[:3]}")
    expect(any(g is not None and g.any() for g in found.values()), "every gradient is zero")


@clause
def equal_seeds_give_equal_losses_and_scores(case: MethodCase) -> None:
    first, second = (_seen(case.build(7), case) for _ in range(2))
    for name in first:
        expect(first[name].equal(second[name]), f"{name}: two builds of one seed gave {first[name]} and {second[name]}")


@clause
def losses_have_no_memory(case: MethodCase) -> None:
    """The same batch and random numbers give the same losses, whatever the method saw in between."""
    method = case.build().train()
    other = _reversed(case.rows)
    torch.manual_seed(1)
    first = method.losses(case.rows).total.detach()
    method.losses(other)
    torch.manual_seed(1)
    again = method.losses(case.rows).total.detach()
    expect(first.equal(again), f"{first}, and {again} after another batch")


@clause
def evaluation_leaves_no_trace(case: MethodCase) -> None:
    method = case.build().eval()
    inputs = case.inputs.clone()
    state = {name: value.clone() for name, value in method.state_dict().items()}
    random = torch.get_rng_state()
    method.scores(inputs)
    moved = [name for name, value in method.state_dict().items() if not value.equal(state[name])]
    expect(not moved, f"scores() in eval mode changed {moved[:3]}")
    expect(torch.get_rng_state().equal(random), "scores() in eval mode took a random number")
    expect(not any(m.training for m in method.modules()), "scores() switched a module to training")
    expect(inputs.equal(case.inputs), "scores() changed its inputs")


@clause
def scores_are_one_finite_float_a_row(case: MethodCase) -> None:
    method = case.build().eval()
    for rows in (len(case.inputs), 1):
        with torch.no_grad():
            scores = method.scores(case.inputs[:rows])
        expect(scores.shape == (rows,), f"shape {tuple(scores.shape)} for {rows} rows")
        expect(scores.is_floating_point() and scores.isfinite().all(), f"scores {scores}")


@clause
def features_come_with_the_same_scores(case: MethodCase) -> None:
    """What stands beside the scores of `scored` is a row of finite features for each."""
    method = case.build().eval()
    with torch.no_grad():
        scores, features = method.scored(case.inputs)
        expect(scores.equal(method.scores(case.inputs)), "scored() gives other scores than scores()")
    if features is not None:
        right = features.ndim == 2 and len(features) == len(scores) and bool(features.isfinite().all())
        expect(right, f"features of shape {tuple(features.shape)}, or not finite, for {len(scores)} rows")


@clause
def a_score_does_not_depend_on_its_batch(case: MethodCase) -> None:
    method = case.build()
    for batch, _ in zip(case.steps(method.train()), range(3), strict=False):  # so that scores differ from one another
        _step(method, batch)
    method.eval()
    with torch.no_grad():
        together = method.scores(case.inputs)
        alone = torch.cat([method.scores(row[None]) for row in case.inputs])
    worst = float((together - alone).abs().max())
    expect(worst <= CLOSE, f"alone and among others, scores differ by {worst:.1e}")


@clause
def one_row_trains_or_is_refused(case: MethodCase) -> None:
    """Batch normalisation cannot take one row: its ValueError is clear enough. NaN and other errors are not."""
    method = case.build().train()
    one = next(case.rows.parts(1))
    try:
        total = method.losses(one).total
    except (VerisightError, ValueError) as error:
        expect(str(error), "one row is refused without a word")
        return
    expect(total.isfinite(), f"the loss of one row is {total}")


@clause
def it_learns_its_synthetic_problem(case: MethodCase) -> None:
    method = case.build().train()
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=LR)
    for batch, _ in zip(case.steps(method), range(STEPS), strict=False):
        _step(method, batch, optimiser)
    with torch.no_grad():
        scores = method.eval().scores(case.unseen.inputs)
    found = auc(case.unseen.label.numpy(), scores.float().numpy())
    what = "unseen pictures" if case.batch is None else "the batch that it trained on"
    expect(
        found >= case.least_auc, f"AUC {found:.3f} on {what} after {STEPS} steps, at least {case.least_auc} expected"
    )


@clause
def it_saves_and_reloads_to_equal_scores(case: MethodCase) -> None:
    """After some training, through the checkpoint format: what scoring needs must be in parameters and buffers."""
    method = case.build().train()
    for batch, _ in zip(case.steps(method), range(3), strict=False):
        _step(method, batch)
    method.eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contract.safetensors"
        save_checkpoint(path, rounded(method), _card(case))
        stored = {name: torch.from_numpy(np.asarray(t, np.float32)) for name, t in load_tensors(path).items()}
        missing = method.load_state_dict(stored, strict=False).missing_keys  # rounded as the file rounds
        lost = [name for name in missing if not name.startswith(case.method.training_only or " ")]
        expect(not lost, f"the checkpoint lacks {lost[:3]}")
        network = case.method.scoring_network(_card(case), load_tensors(path)).eval()
    with torch.no_grad():
        before, after = method.scores(case.inputs), network(case.inputs)
    worst = float((before - after).abs().max())
    expect(worst <= 1e-6, f"scores differ by {worst:.1e} after saving and loading")


@clause
def two_ranks_equal_one_process(case: MethodCase) -> None:
    """Unequal shards, weighed by their rows, give the gradient of the whole batch.

    Batch normalisation takes its running statistics and dropout is off here: no two shards see the same batch or the
    same draws. A method whose loss depends on other draws of its own cannot be compared, and is not.
    """
    work = _OnRank(case)
    whole, again = work.gradients(case.rows, seed=0), work.gradients(case.rows, seed=1)
    if any(not again[name].equal(g) for name, g in whole.items()):
        return
    largest = max(float(g.abs().max()) for g in whole.values())
    for rank, found in enumerate(on_two_ranks(work)):
        expect(found.keys() == whole.keys(), f"rank {rank} has gradients of other parameters")
        worst = max(float((found[name] - g).abs().max()) for name, g in whole.items()) / largest
        expect(worst <= CLOSE, f"rank {rank} is off from one process by {worst:.1e} of the largest gradient")


METHOD_CLAUSES: tuple[Callable[[MethodCase], None], ...] = (
    the_config_round_trips,
    losses_are_named_finite_scalars,
    every_batch_has_the_same_parts,
    gradients_reach_every_trained_parameter,
    equal_seeds_give_equal_losses_and_scores,
    losses_have_no_memory,
    evaluation_leaves_no_trace,
    scores_are_one_finite_float_a_row,
    features_come_with_the_same_scores,
    a_score_does_not_depend_on_its_batch,
    one_row_trains_or_is_refused,
    it_learns_its_synthetic_problem,
    it_saves_and_reloads_to_equal_scores,
    two_ranks_equal_one_process,
)


@dataclass(frozen=True)
class _OnRank:
    """The gradient of a rank's shard."""

    case: MethodCase

    def __call__(self, rank: int) -> dict[str, Tensor]:
        return self.gradients(shards(self.case.rows)[rank], seed=0)

    def gradients(self, rows: Batch, seed: int) -> dict[str, Tensor]:
        method = self.case.build().train()
        for module in method.modules():
            if isinstance(module, (_BatchNorm, _DropoutNd)):
                module.eval()
        named = {name: p for name, p in method.named_parameters() if p.requires_grad}
        torch.manual_seed(seed)
        _, found = gradient(lambda: _micro(method, rows), list(named.values()))
        return {name: g for name, g in zip(named, found, strict=True) if g is not None}


def _micro(method: Method, batch: Batch) -> Iterator[Losses]:
    """The one micro-batch of a step, with its rows, as `Method.training_step` gives it."""
    losses = method.losses(batch)
    yield Losses(losses.parts, losses.by_domain, rows=len(batch))


def _step(method: Method, batch: Batch, optimiser: torch.optim.Optimizer | None = None) -> None:
    parameters = [p for p in method.parameters() if p.requires_grad]
    Plain().step(lambda: _micro(method, batch), parameters, optimiser or torch.optim.SGD(parameters, lr=1e-2))


def _seen(method: Method, case: MethodCase) -> dict[str, Tensor]:
    losses = {f"loss '{name}'": value.detach() for name, value in method.train().losses(case.rows).parts.items()}
    with torch.no_grad():
        return {**losses, "scores": method.eval().scores(case.inputs)}


def _reversed(batch: Batch) -> Batch:
    """The rows backwards, and the pixels too: another batch of the same kind."""
    rows = concatenate(list(batch.parts(1))[::-1])
    return Batch(rows.inputs.flip(-1) * 0.5, rows.label, rows.domain, rows.index, rows.extra)


def shards(batch: Batch) -> tuple[Batch, Batch]:
    """The first quarter of the rows, and the rest."""
    rows = list(batch.parts(1))
    cut = max(1, len(rows) // 4)
    return concatenate(rows[:cut]), concatenate(rows[cut:])


def _card(case: MethodCase) -> Card:
    recipe = case.recipe.model_dump(mode="json")
    return Card(
        name="contract",
        method=case.recipe.method["id"],
        task=case.method.task,
        positive=case.method.positive,
        recipe=recipe,
        preprocess=case.recipe.preprocess,
        aggregate=case.recipe.evaluate.aggregate,
    )


@contextmanager
def _random_state_kept() -> Iterator[None]:
    with torch.random.fork_rng():
        yield
