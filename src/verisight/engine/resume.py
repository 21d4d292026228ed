"""Exact resume: a killed training that is started again ends where an uninterrupted one would, bit for bit on a CPU."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from verisight.core import torchvision_ops

torchvision_ops.ensure()

import lightning  # noqa: E402  (imports torchvision through torchmetrics)


class Resumable(lightning.Callback):
    """Keeps the state of a run in one file, every `interval_s` seconds, as it is before a step.

    Lightning's checkpoint has weights, optimiser, schedule and loops; this adds the position in the epoch and the
    random numbers of every process. Data need none: a sample is a function of its draw. Before a step, and not after
    one, since then all that hangs on the last step is done: validation, early stopping, the turn of an epoch.

    Parameters
    ----------
    file : replaced whole, never written in place.
    interval_s : least time between two writes.
    """

    def __init__(self, file: Path, interval_s: float = 60.0) -> None:
        self.file, self.interval_s = file, interval_s
        self._written = time.monotonic()
        self._position = 0
        self._random: list[dict[str, Any]] = []  # of every process, where the run goes on from a state

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        draws: Any = trainer.train_dataloader.batch_sampler  # type: ignore[union-attr]
        draws.position = self._position

    def on_train_batch_start(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._random:
            self._go_on(trainer)
        self._position = batch_idx
        due = time.monotonic() - self._written >= self.interval_s
        if trainer.strategy.reduce_boolean_decision(due, all=False):  # clocks differ, and all processes take part
            self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position, "random": _of_all_processes(_random())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._position, self._random = state["position"], state["random"]

    def _go_on(self, trainer: lightning.Trainer) -> None:
        """Put back what the first step after a restart must find; not earlier, for nothing else may take a number."""
        _set_random(self._random[trainer.global_rank % len(self._random)])
        self._random = []
        loop = trainer.fit_loop.epoch_loop  # a step that was ready when the state was written is ready once more,
        loop._batches_that_stepped = trainer.global_step  # which Lightning would count twice
        loop.batch_progress.total.ready = loop.batch_progress.total.completed + 1

    def _write(self, trainer: lightning.Trainer) -> None:
        part = self.file.with_name(self.file.name + ".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self.file)
        self._written = time.monotonic()


class EarlyStop(lightning.Callback):
    """Ends training when the AUC of the select split has not risen for `patience` validations, and puts the best
    weights back.

    An AUC that is not a number never rises; if it never was one, the last weights stay.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best, self.since = -1.0, 0
        self.weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        trainer.should_stop = self._spent()  # known, but put off by trainer.min_epochs, when the run was killed

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        mine = float(trainer.callback_metrics["select/auc"])
        found: float = trainer.strategy.broadcast(mine)  # batch normalisation may differ; the processes must agree
        if found > self.best:
            self.best, self.since = found, 0
            self.weights = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        else:
            self.since += 1
        trainer.should_stop = self._spent()

    def on_fit_end(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.weights:
            module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self.since, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.since, self.weights = state["best"], state["since"], state["weights"]

    def _spent(self) -> bool:
        return self.since >= self.patience


def _of_all_processes(mine: dict[str, Any]) -> list[dict[str, Any]]:
    """What every process gives, by rank; a state is made by all of them together."""
    if not (dist.is_available() and dist.is_initialized()):
        return [mine]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found


def _random() -> dict[str, Any]:
    """The generators that a network may draw from, as plain values and tensors: no pickled object."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, np.int64)), *rest],
        "python": [version, list(internal), gauss],
    }


def _set_random(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
