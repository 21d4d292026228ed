"""A loss over the rows of all processes has, in the step, the gradient of one process with all rows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from verisight.nn.gather import gathered
from verisight.optim.gradient import gradient
from verisight.optim.rule import Losses
from verisight.testing.ranks import on_two_ranks

ROWS = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SHARDS = (slice(0, 2), slice(2, 9))


def spread(features: Tensor) -> Tensor:
    """No sum over rows: every row meets every other."""
    return torch.cdist(features, features).exp().mean()


def step(rows: Tensor) -> dict[str, Tensor]:
    """The gradient that a rule would use, and the loss."""
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3).double()

    def closure() -> Iterator[Losses]:
        features = torch.tanh(network(rows))
        yield Losses({"spread": spread(gathered(features)), "own": features.square().mean()}, rows=len(rows))

    losses, found = gradient(closure, list(network.parameters()))
    return {"loss": losses.total, "weight": found[0], "bias": found[1]}  # type: ignore[dict-item]


class Shard:
    def __call__(self, rank: int) -> dict[str, Tensor]:
        return step(ROWS[SHARDS[rank]])


def test_two_ranks_with_unequal_rows_equal_one_process() -> None:
    expected = step(ROWS)
    for found in on_two_ranks(Shard()):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_one_process_keeps_its_rows_as_they_are() -> None:
    assert gathered(ROWS) is ROWS
