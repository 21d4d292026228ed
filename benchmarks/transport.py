"""How fast is our sliced Wasserstein distance? `python benchmarks/transport.py`: against POT's, forward and backward.

Both are given the same two batches (n, d), the same K directions, float32 and the same threads, and reach SW_2 and its
gradient by the first batch, as a student's features against a teacher's. They take turns in one process; the medians
of ratios count, not the times. Both must make three matrix products (two projections, and one back), in the same
library: `products` is what these take alone, and POT's time over that is the largest ratio that any sort could reach.

How far the two are apart is told of 256 rows and of 250. Over a power of two both divide without rounding, and may then
agree to the last bit; of 250, POT adds its weights up in float32. So each is also held against POT in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import ot
import torch
from torch import Tensor

from verisight.ops.transport import directions, sliced_wasserstein

BATCH = 256
SIZES = [(128, 50), (128, 500), (512, 50), (512, 500), (2048, 50), (2048, 500)]  # d, K

Side = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def ours(x: Tensor, y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    value = sliced_wasserstein(x, y, theta, p=2).sqrt()
    return value.detach(), torch.autograd.grad(value, x)[0]


def theirs(x: Tensor, y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    value = ot.sliced_wasserstein_distance(x, y, projections=theta.T, p=2)
    return value.detach(), torch.autograd.grad(value, x)[0]


def products(x: Tensor, y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix products of either, and nothing else."""
    with torch.no_grad():
        along = theta @ x.T
        return theta @ y.T, along.T @ theta


def batches(n: int, d: int, K: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, d, generator=drawn, dtype=torch.float64) for _ in range(2))
    theta = directions(d, K, drawn, dtype=torch.float64)
    return x.to(dtype).requires_grad_(), (1.3 * y + 0.1).to(dtype), theta.to(dtype)


def agreement(n: int, d: int, K: int) -> dict[str, dict[str, float]]:
    """Relative differences: of the values, and of the gradients by their largest entry.

    In float32 a gradient is off where two projections are so close that rounding swaps them: of either side alike.
    """
    single, double = (batches(n, d, K, dtype) for dtype in (torch.float32, torch.float64))
    exact = theirs(*double)
    pairs = {
        "ours to pot, float64": (ours(*double), exact),
        "ours to pot, float32": (ours(*single), theirs(*single)),
        "ours float32 to pot float64": (ours(*single), exact),
        "pot float32 to pot float64": (theirs(*single), exact),
    }
    return {
        name: {part: apart(a, b) for part, a, b in zip(("value", "gradient"), *pair, strict=True)}
        for name, pair in pairs.items()
    }


def apart(a: Tensor, b: Tensor) -> float:
    return float(f"{float((a - b).abs().max() / b.abs().max()):.2g}")


def race(d: int, K: int, turns: int) -> dict[str, Any]:
    """All in turns, the first turn not counted; times, the median ratio and its range."""
    sides: dict[str, Side] = {"ours": ours, "pot": theirs, "products": products}
    given = batches(BATCH, d, K, torch.float32)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name in sides if turn % 2 else reversed(sides):
            start = time.perf_counter()
            sides[name](*given)
            if turn:
                taken[name].append(time.perf_counter() - start)
    ratios = sorted(pot / our for pot, our in zip(taken["pot"], taken["ours"], strict=True))
    bounds = [pot / least for pot, least in zip(taken["pot"], taken["products"], strict=True)]
    return {
        "ms": {name: round(1000 * median(times), 2) for name, times in taken.items()},
        "pot_over_ours": round(median(ratios), 2),
        "range": [round(ratios[0], 2), round(ratios[-1], 2)],
        "pot_over_products": round(median(bounds), 2),
        "difference": {f"{n} rows": agreement(n, d, K) for n in (BATCH, BATCH - 6)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="one size, five turns: does it run?")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transport.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    turns, sizes = (5, SIZES[:1]) if arguments.small else (arguments.turns, SIZES)
    result: dict[str, Any] = {"cores": os.cpu_count(), "threads": arguments.threads, "batch": BATCH, "turns": turns}
    result |= {"torch": torch.__version__, "pot": ot.__version__, "load_before": os.getloadavg()[0]}
    for d, K in sizes:
        result[f"d {d}, K {K}"] = race(d, K, turns)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
