"""Lightning's loop as a run needs it: where it goes on after a kill, what it logs, how data reach every process."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from torch.utils.data import DataLoader

from verisight.core import torchvision_ops
from verisight.core.errors import RecipeError
from verisight.core.recipe import Recipe
from verisight.data.batch import Batch
from verisight.data.loaders import Samples, select_loader, training_loader
from verisight.engine.logs import JSONLines, loggers
from verisight.engine.method import Method
from verisight.engine.resume import EarlyStop, Resumable

torchvision_ops.ensure()

import lightning  # noqa: E402  (imports torchvision through torchmetrics)
import torch  # noqa: E402
from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: E402
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy  # noqa: E402

log = logging.getLogger(__name__)

# What Lightning would refuse or do wrong under manual optimisation, and what to say instead.
_INSTEAD = {
    "accumulate_grad_batches": "set loader.batch_size and loader.micro_batch",
    "callbacks": "leave it out: a recipe holds plain values",
    "gradient_clip_val": "leave it out: update rules own the gradient",
    "use_distributed_sampler": "leave it out: the loader shares every batch between the processes",
}
_PRECISIONS = ("32", "32-true", "bf16", "bf16-mixed")  # float16 would need scaled losses, the others another Batch


class Run:
    """One training: Lightning's Trainer, the recipe's `trainer:` block verbatim over a few defaults.

    Parameters
    ----------
    out : folder of log.jsonl, tensorboard/ and, while the run lasts, state/; shared by all machines that take part.
    fingerprint : of the data; a state of other data or another recipe is never gone on from.

    Raises
    ------
    RecipeError : Lightning refuses the `trainer:` block, or update rules cannot work with it.
    """

    def __init__(self, out: Path, recipe: Recipe, fingerprint: str) -> None:
        self.recipe = recipe
        versions = [version(name) for name in ("verisight", "torch", "lightning")]
        key = hashlib.sha256(f"{recipe.model_dump_json()} {fingerprint} {versions}".encode()).hexdigest()[:16]
        self.state = out / "state" / f"{key}.ckpt"
        self.step = _step_of(self.state)
        self.loggers = loggers(out, self.step)
        self.trainer = self._trainer()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return bool(self.trainer.is_global_zero)

    def fit(self, method: Method, training: Samples, select: Samples) -> None:
        """Train, from where a killed run of the same recipe and data was.

        Raises
        ------
        DataError, RecipeError : nothing to train on; more processes than rows; scores that are no longer finite.
        KeyboardInterrupt : the user, or a scheduler's SIGTERM, stopped it; starting it again goes on.
        """
        training_loader(training, self.recipe, ranks=self.trainer.world_size)  # what it refuses, before any process
        method.to(memory_format=torch.channels_last)
        self.state.parent.mkdir(parents=True, exist_ok=True)
        if self.step and self.first:
            log.warning("going on from step %d of %s", self.step, self.state.parent)
        for logger in self.loggers:
            if isinstance(logger, JSONLines):
                logger.restart_at(self.step)
        data = _Data(training, select, self.recipe)
        known = self.state if self.step else None
        with _interruptible():
            self.trainer.fit(method, datamodule=data, ckpt_path=known, weights_only=True)

    def forget(self) -> None:
        """Remove the states: the checkpoint is written."""
        shutil.rmtree(self.state.parent, ignore_errors=True)

    def _trainer(self) -> lightning.Trainer:
        block = self.recipe.trainer
        for name, instead in _INSTEAD.items():
            if name in block:
                raise RecipeError(f"trainer.{name}", "is not Lightning's to decide here", instead)
        precision = str(block.get("precision", "32"))
        if precision not in _PRECISIONS:
            raise RecipeError("trainer.precision", f"update rules cannot work with {precision}", "use bf16-mixed")
        stopping = self.recipe.early_stopping
        defaults: dict[str, Any] = {
            "logger": self.loggers,
            "callbacks": [Resumable(self.state), *([EarlyStop(stopping.patience)] if stopping else [])],
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            "deterministic": True,
            "log_every_n_steps": 10,
        }
        _quiet()
        try:
            trainer = lightning.Trainer(**{**defaults, **block})
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise RecipeError("trainer", str(error).splitlines()[0], "the block goes to lightning.Trainer") from error
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            reason = f"update rules need whole parameters in every process, {block.get('strategy')} shares them out"
            raise RecipeError("trainer.strategy", reason, "use ddp")
        if trainer.max_epochs == trainer.max_steps == -1:
            raise RecipeError("trainer", "the learning rate falls until the end, and there is none", "set max_epochs")
        return trainer


class _Data(lightning.LightningDataModule):
    """Loaders made in the process that uses them: only there its rank is known."""

    def __init__(self, training: Samples, select: Samples, recipe: Recipe) -> None:
        super().__init__()
        self.training, self.select, self.recipe = training, select, recipe

    def train_dataloader(self) -> DataLoader[Batch]:
        trainer: Any = self.trainer
        return training_loader(self.training, self.recipe, rank=trainer.global_rank, ranks=trainer.world_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        return select_loader(self.select)


def _step_of(state: Path) -> int:
    """The step that a state was written before; 0 where there is none, or none that can be read."""
    if not state.is_file():
        return 0
    try:
        return int(torch.load(state, weights_only=True, map_location="cpu", mmap=True)["global_step"])
    except (RuntimeError, EOFError, KeyError, UnpicklingError, ValueError):
        log.warning("%s cannot be read; beginning anew", state)
        return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """A stop from outside as KeyboardInterrupt: Lightning turns it into an exit and, from then on, ignores Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)


def _quiet() -> None:
    """Lightning's tips and warnings tell a user of recipes nothing that the recipe can change."""
    os.environ.setdefault("LIGHTNING_DISABLE_TIPS", "1")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
