"""What QAD costs: `python benchmarks/qad.py [--small]`, against the passes that it cannot do without.

A step of QAD is a forward and a backward of all qualities, and once more at perturbed weights. Its bound is twice the
step of the mixture of the same pictures, without dependence and perturbation; the goal is 1.1 times that. Steps are run
in turns in one process, through the method and the rule as training runs them; medians of ratios count.

    mixture     cross-entropy of n frames at Q qualities, plain
    hsic        with the dependence term
    qad         with the term, under AWP
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from verisight.data.batch import Batch
from verisight.optim.plain import Plain
from verisight.optim.weights import AWP
from verisight.tasks.deepfake.qad import QAD

GOAL = 1.1


def step_of(name: str, backbone: str, rows: int, size: int) -> Any:
    """A function that makes one training step."""
    torch.manual_seed(0)
    agreement = "none" if name == "mixture" else "nocco"
    method = QAD(QAD.Config(backbone=backbone, init="random", agreement=agreement))  # type: ignore[arg-type]
    method = method.to(memory_format=torch.channels_last).train()
    batch = Batch(torch.randn(rows, 3, 3, size, size), torch.arange(rows) % 2, None, torch.arange(rows))
    parameters = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    rule = AWP(0.002) if name == "qad" else Plain()
    return lambda: rule.step(lambda: method._losses(batch), parameters, optimizer)


def race(backbone: str, rows: int, size: int, turns: int) -> dict[str, Any]:
    """Seconds of each kind of step, and what they are to their bound."""
    steps = {name: step_of(name, backbone, rows, size) for name in ("mixture", "hsic", "qad")}
    for step in steps.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns):
        names = list(steps)
        for name in names[turn % 3 :] + names[: turn % 3]:
            start = time.perf_counter()
            steps[name]()
            taken[name].append(time.perf_counter() - start)
    over = [q / (2 * m) for q, m in zip(taken["qad"], taken["mixture"], strict=True)]
    return {
        "backbone": backbone,
        "frames": rows,
        "pictures": 3 * rows,
        "size": size,
        "turns": turns,
        "step_s": {name: round(statistics.median(of), 3) for name, of in taken.items()},
        "hsic_over_mixture": round(
            statistics.median([h / m for h, m in zip(taken["hsic"], taken["mixture"], strict=True)]), 3
        ),
        "qad_over_bound": round(statistics.median(over), 3),
        "range": [round(min(over), 3), round(max(over), 3)],
        "goal_met": statistics.median(over) <= GOAL,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny network, two turns: does it run?")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "qad.json")
    given = parser.parse_args()
    scenes = (
        [("test_resnet", 4, 32, 2)]
        if given.small
        else [("tf_efficientnet_lite0", 12, 128, 9), ("resnet50", 16, 128, 5)]
    )
    result = {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "goal": GOAL,
        "scenes": [race(*scene) for scene in scenes],
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
