"""Train and report the shipped detector: `python experiments/deepfake_erm.py --data PACK [--seeds 0 1 2] [--ship]`.

Every seed is trained by recipes/deepfake/erm-fakes.yaml and reported on the test split; the records go to
results/deepfake/erm-fakes/seed<k>/. What exists is not made again, so the script may be stopped and run again.
`--small` does one epoch of one seed and keeps nothing: it proves that the script runs. `--ship` puts seed 0 into the
package and renders docs/detectors/deepfake-erm.md.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from verisight.core.checkpoint import load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.places import WEIGHTS
from verisight.core.recipe import load_recipe
from verisight.engine.train import train
from verisight.evaluate.record import Record, mean_over_seeds
from verisight.evaluate.run import data_spec, evaluate

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/deepfake/erm-fakes.yaml"
RESULTS = ROOT / "results/deepfake/erm-fakes"
PAGE = ROOT / "docs/detectors/deepfake-erm.md"


def run_seed(data: str, seed: int, results: Path, runs: Path, extra: list[str]) -> None:
    """Train one seed unless its checkpoint exists, report it on the test split unless its record does."""
    checkpoint = runs / f"seed{seed}" / "deepfake-erm.safetensors"
    recipe = load_recipe(RECIPE, [f"data.path={data}", f"seed={seed}", *extra])
    if not checkpoint.is_file():
        train(recipe, checkpoint.parent)
    if not (results / f"seed{seed}" / "record.json").is_file():
        detector = Detector.load(checkpoint, runtime="torch")
        spec = data_spec(detector.card, [f"data.path={data}"])
        record, scores = evaluate(detector, spec, reference=recipe.reported)
        record.save(results / f"seed{seed}", scores)
        print(f"seed {seed}\n{record.table()}", flush=True)


def ship(runs: Path) -> None:
    """Put seed 0 into the package, with the headline figures of its record and today's words on the card."""
    source = runs / "seed0" / "deepfake-erm.safetensors"
    record, recipe = Record.load(RESULTS / "seed0"), load_recipe(RECIPE, ["data.path=fakes.zip"])
    metrics = {f"AUC {scope}": round(figures["auc"].value, 4) for scope, figures in record.metrics.items()}
    words = {"metrics": metrics, "licence": recipe.licence, "notes": recipe.notes}
    save_checkpoint(
        WEIGHTS / "deepfake-erm.safetensors", load_tensors(source), load_card(source).model_copy(update=words)
    )


def seeds_table(records: list[Record]) -> str:
    """Markdown: AUC of each seed, their mean and standard deviation; a sentence where there is one seed only."""
    if len(records) == 1:
        return (
            "One seed so far: the intervals above say what the test data leave open, not what another training would."
        )
    head = ["", *[f"seed {r.seeds[0]}" for r in records], "mean", "sd"]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for scope in records[0].metrics:
        mean, sd = mean_over_seeds(records, scope, "auc")
        each = [r.metrics[scope]["auc"].value for r in records]
        lines.append("| " + " | ".join([scope, *(f"{v:.3f}" for v in [*each, mean, sd])]) + " |")
    return "\n".join(lines)


def render(template: Path) -> str:
    """The page of the detector: the words of the template, the tables of the records."""
    records = [Record.load(folder) for folder in sorted(RESULTS.glob("seed*"))]
    first = records[0]
    data = "\n".join(f"| {split} | {facts} |" for split, facts in first.data.items())
    beaten = [
        f"{scope} ({source})"
        for scope, figures in first.metrics.items()
        for source in sorted({r.source for r in first.reference})
        if any(
            (r.source, r.metric) == (source, f"auc {scope}") and r.value >= figures["auc"].value
            for r in first.reference
        )
    ]
    matched = [figures["auc"].value for scope, figures in first.metrics.items() if scope.endswith("matched reals")]
    return template.read_text().format(
        table=first.table(only=("auc", "tpr", "fpr")),
        seeds=seeds_table(records),
        data=data,
        threshold=f"{first.threshold.value:.3f}",
        rule=first.threshold.rule,
        temperature=f"{first.calibration.temperature:.3f}",
        false_alarms=first.metrics["all"]["fpr"],
        fakes_found=first.metrics["all"]["tpr"],
        mean_matched=f"{np.mean(matched):.3f}",
        beaten=", ".join(beaten) or "nowhere",
        detector=first.detector,
        environment=", ".join(f"{k} {v}" for k, v in first.environment.versions.items()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the pack: a folder or zip with index.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/deepfake-erm")
    parser.add_argument("--small", action="store_true", help="one epoch of one seed, nothing kept")
    parser.add_argument("--ship", action="store_true", help="after training, put seed 0 into the package")
    arguments = parser.parse_args()
    if arguments.small:
        with tempfile.TemporaryDirectory() as folder:
            run_seed(arguments.data, 0, Path(folder) / "results", Path(folder) / "runs", ["trainer.max_epochs=1"])
        return
    for seed in arguments.seeds:
        run_seed(arguments.data, seed, RESULTS, arguments.runs, [])
    if arguments.ship:
        ship(arguments.runs)
        PAGE.write_text(render(Path(__file__).with_name("deepfake-erm.md.template")))


if __name__ == "__main__":
    main()
