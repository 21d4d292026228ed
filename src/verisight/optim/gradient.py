"""The gradient of a step: over all its rows, whatever micro-batches and ranks they are spread over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from verisight.optim.rule import Closure, Losses


def gradient(
    closure: Closure, parameters: Sequence[Parameter], *, of: Callable[[Losses], Tensor] | None = None
) -> tuple[Losses, list[Tensor | None]]:
    """Losses, detached, and the gradient of their total: means over all rows of the step.

        g = sum_k n_k g_k / sum_k n_k        over micro-batches k of all ranks, n_k = rows of k

    It comes from `torch.autograd.grad`, not from hooks: `.grad` stays untouched, a wrapping rule may come again, and
    a rank that holds fewer rows weighs less. A parameter without a gradient anywhere has None. All ranks must name the
    same parts.

    of : what is differentiated, in place of the total.
    """
    sums: list[Tensor | None] = [None] * len(parameters)
    scalars: dict[tuple[str, str], Tensor] = {}
    rows = 0
    for losses in closure():
        target = losses.total if of is None else of(losses)
        found = torch.autograd.grad(target, list(parameters), allow_unused=True)
        n = losses.rows
        for i, g in enumerate(found):
            if g is not None:
                before = sums[i]
                sums[i] = g * n if before is None else before.add_(g, alpha=n)
        for kind, named in (("parts", losses.parts), ("aside", losses.aside)):
            for name, value in named.items():
                known = scalars.get((kind, name), torch.zeros_like(value.detach()))
                scalars[kind, name] = known + value.detach() * n
        rows += n
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        rows = _add_up(sums, scalars, rows, parameters)
    means = [None if g is None else g.div_(rows) for g in sums]
    parts, aside = (
        {name: value / rows for (of_kind, name), value in scalars.items() if of_kind == kind}
        for kind in ("parts", "aside")
    )
    return Losses(parts, aside=aside, rows=rows), means


def _add_up(
    sums: list[Tensor | None], scalars: dict[tuple[str, str], Tensor], rows: int, parameters: Sequence[Parameter]
) -> int:
    """Add the sums of all ranks up in place; returns the number of rows of all."""
    used = [g is not None for g in sums]
    facts = torch.tensor([rows, *used], dtype=torch.float64, device=parameters[0].device)
    facts = torch.cat([facts, torch.stack(list(scalars.values())).double()])
    dist.all_reduce(facts)
    for (key, value), total in zip(list(scalars.items()), facts[1 + len(used) :], strict=True):
        scalars[key] = total.to(value.dtype)
    rows, *ranks_with = facts[: 1 + len(used)].long().tolist()
    pending = []
    for i, ranks in enumerate(ranks_with):
        if ranks:
            mine = sums[i]
            zeros = torch.zeros_like(parameters[i], memory_format=torch.contiguous_format)
            total = zeros if mine is None else mine.contiguous()  # one layout on all ranks: it is memory that adds up
            pending.append(dist.all_reduce(total, async_op=True))
            sums[i] = total
    for work in pending:
        work.wait()
    return rows


def hand_over(parameters: Sequence[Parameter], gradients: Sequence[Tensor | None]) -> None:
    """Give every parameter its gradient, for the optimiser's step."""
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = g


def norm(gradients: Sequence[Tensor | None]) -> Tensor:
    """Euclidean norm over all parameters together, in float32 at least; 0 without any gradient."""
    lengths = [
        torch.linalg.vector_norm(g, dtype=torch.promote_types(g.dtype, torch.float32))
        for g in gradients
        if g is not None
    ]
    return torch.linalg.vector_norm(torch.stack(lengths)) if lengths else torch.zeros(())


@contextmanager
def shifted(parameters: Sequence[Parameter], by: Sequence[Tensor | None]) -> Iterator[None]:
    """Parameters moved by the given steps inside the block, and put back bit for bit after it, even after an error."""
    kept = [p.detach().clone() for p in parameters]
    try:
        with torch.no_grad():
            for parameter, step in zip(parameters, by, strict=True):
                if step is not None:
                    parameter.add_(step)
        torch.clear_autocast_cache()  # else autocast goes on with the bfloat16 copies of the weights before
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(parameters, kept, strict=True):
                parameter.copy_(before)
        torch.clear_autocast_cache()


_AGAIN: ContextVar[bool] = ContextVar("again", default=False)


class Replay:
    """A second pass over the rows of a step as if it were the first: the same dropout, and no trace in buffers.

    Made before the first pass; the second one stands in `with replay:`. Random numbers begin again where they were
    then, so that they go on as after one pass; who runs the forward asks `passing_again` and leaves its buffers (the
    running statistics of batch normalisation) as they were.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._cpu = torch.get_rng_state()
        self._gpu = {p.device: torch.cuda.get_rng_state(p.device) for p in parameters if p.device.type == "cuda"}

    def __enter__(self) -> None:
        torch.set_rng_state(self._cpu)
        for device, state in self._gpu.items():
            torch.cuda.set_rng_state(state, device)
        self._token = _AGAIN.set(True)

    def __exit__(self, *_: object) -> None:
        _AGAIN.reset(self._token)


def passing_again() -> bool:
    """Whether the forward that runs now belongs to a `Replay`."""
    return _AGAIN.get()
