"""What a training run says of itself: one JSON object a line, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from verisight.core import torchvision_ops

torchvision_ops.ensure()

from lightning.pytorch.loggers import Logger, TensorBoardLogger  # noqa: E402
from lightning.pytorch.utilities import rank_zero_only  # noqa: E402


class JSONLines(Logger):
    """Figures as `{"step": 10, "epoch": 0, "loss/cross_entropy": 0.61}`, one object a line, readable while it grows.

    A figure that is not finite is null, as JSON has no name for it.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    @property
    def name(self) -> str:
        return "log"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        figures = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        with open(self.file, "a", encoding="utf-8") as out:
            out.write(json.dumps({"step": step, **figures}) + "\n")

    @rank_zero_only
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Nothing: the checkpoint's card has the recipe."""

    @rank_zero_only
    def restart_at(self, step: int) -> None:
        """Forget what was written from `step` on: a resumed run writes it again. Step 0 begins anew."""
        if not self.file.is_file():
            return
        text = self.file.read_text(encoding="utf-8", errors="replace")
        kept = [line for line in text.splitlines() if _step_of(line) < step]
        part = self.file.with_name(self.file.name + ".part")
        part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        os.replace(part, self.file)


def _step_of(line: str) -> float:
    """The step of a line; past all steps for a line that a kill cut short."""
    try:
        row: Mapping[str, Any] = json.loads(line)
        return float(row["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def loggers(out: Path, step: int) -> list[Logger]:
    """`out/log.jsonl`, and `out/tensorboard/` where TensorBoard is installed, of a run that goes on from `step`."""
    found: list[Logger] = [JSONLines(out / "log.jsonl")]
    if find_spec("tensorboard"):
        found.append(TensorBoardLogger(out, name="tensorboard", version="", purge_step=step))
    return found
