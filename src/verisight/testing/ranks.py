"""Two processes on the CPU that talk through gloo, for the clauses about ranks."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from pickle import PicklingError
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from verisight.core.errors import VerisightError

RANKS = 2
LIMIT_S = 120


def on_two_ranks(work: Callable[[int], dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """What `work(rank)` gives on each of two ranks of one gloo group.

    The processes are forked, so `work` may close over anything. Beside CUDA autograd cannot be forked, and they start
    anew: then what `work` closes over has to pickle, as classes of an importable module do.

    Raises
    ------
    VerisightError : it does not. ProcessRaisedException : what a rank raised, with its traceback.
    """
    from torch.multiprocessing.spawn import start_processes

    fork = hasattr(os, "fork") and not torch.cuda.is_available() and sys.platform != "darwin"
    method = "fork" if fork else "spawn"
    with tempfile.TemporaryDirectory() as folder:
        try:
            start_processes(_rank, (work, folder), nprocs=RANKS, start_method=method)  # type: ignore[no-untyped-call]
        except (AttributeError, PicklingError) as error:
            step = "define it at the top of a module that can be imported"
            raise VerisightError("two ranks", f"what runs there does not pickle ({error})", step) from error
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def _rank(rank: int, work: Callable[[int], dict[str, Any]], folder: str) -> None:
    torch.set_num_threads(1)  # a forked process has no pool of threads to hand work to
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=RANKS,
        timeout=timedelta(seconds=LIMIT_S),
    )
    try:
        torch.save(work(rank), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
