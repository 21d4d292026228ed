"""Two gloo processes that see each other, forked or started anew."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing import ProcessRaisedException

from verisight.core.errors import VerisightError
from verisight.testing.ranks import on_two_ranks


def summed(rank: int) -> dict[str, Tensor]:
    mine = torch.tensor([rank + 1.0])
    dist.all_reduce(mine)
    return {"sum": mine, "rank": torch.tensor(dist.get_rank())}


@pytest.mark.parametrize("beside_cuda", [False, True])
def test_ranks_add_up_and_come_back_in_order(monkeypatch: pytest.MonkeyPatch, beside_cuda: bool) -> None:
    """Beside CUDA they are started anew, as a machine without one can be made to do."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: beside_cuda)
    first, second = on_two_ranks(summed)
    assert first["sum"].item() == second["sum"].item() == 3
    assert (first["rank"].item(), second["rank"].item()) == (0, 1)
    assert not dist.is_initialized()


def broken(rank: int) -> dict[str, Tensor]:
    if rank == 1:
        raise ValueError("rank one is unwell")
    return {}


def test_what_a_rank_raises_is_raised_here() -> None:
    with pytest.raises(ProcessRaisedException, match="rank one is unwell"):
        on_two_ranks(broken)


def test_what_cannot_be_started_anew_is_refused_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(VerisightError, match=r"does not pickle .*; define it at the top of a module"):
        on_two_ranks(lambda rank: {})
