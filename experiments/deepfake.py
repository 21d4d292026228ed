"""Train and report the deepfake detectors on one pack: `python experiments/deepfake.py RECIPE... --data PACK`.

RECIPE is the name of a file in recipes/deepfake, such as erm-fakes or sbi-fakes. Every seed is trained by it and
reported on the test split, with the controls; the records go to results/deepfake/RECIPE/seed<k>/. What exists is not
made again, and a training that was stopped goes on, so the script may be stopped and run again.

`--small` does one epoch of one seed and keeps nothing: it proves that the script runs. `--ship` puts seed 0 of
erm-fakes into the package. `--pages` renders docs/detectors/deepfake-erm.md and docs/results/deepfake.md.
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
from verisight.evaluate.compare import compare
from verisight.evaluate.record import Record, mean_over_seeds
from verisight.evaluate.run import data_spec, evaluate

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes/deepfake"
RESULTS = ROOT / "results/deepfake"
ERM_PAGE = ROOT / "docs/detectors/deepfake-erm.md"
RESULTS_PAGE = ROOT / "docs/results/deepfake.md"
COMPARED = ("erm-fakes", "sbi-fakes")


def run_seed(recipe_name: str, data: str, seed: int, results: Path, runs: Path, extra: list[str]) -> None:
    """Train one seed unless its checkpoint exists, report it on the test split unless its record does."""
    recipe = load_recipe(RECIPES / f"{recipe_name}.yaml", [f"data.path={data}", f"seed={seed}", *extra])
    checkpoint = runs / recipe_name / f"seed{seed}" / f"{recipe.name}.safetensors"
    record_folder = results / recipe_name / f"seed{seed}"
    if not checkpoint.is_file():
        train(recipe, checkpoint.parent)
    if not (record_folder / "record.json").is_file():
        detector = Detector.load(checkpoint, runtime="torch")
        spec = data_spec(detector.card, [f"data.path={data}"])
        record, scores = evaluate(detector, spec, reference=recipe.reported, controls=True)
        record.save(record_folder, scores)
        print(f"{recipe_name} seed {seed}\n{record.table()}", flush=True)


def ship(runs: Path) -> None:
    """Put seed 0 into the package, with the headline figures of its record and today's words on the card."""
    source = runs / "erm-fakes" / "seed0" / "deepfake-erm.safetensors"
    record = Record.load(RESULTS / "erm-fakes" / "seed0")
    recipe = load_recipe(RECIPES / "erm-fakes.yaml", ["data.path=fakes.zip"])
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


def render_erm(template: Path) -> str:
    """The page of the shipped detector: the words of the template, the tables of the records."""
    records = [Record.load(folder) for folder in records_of("erm-fakes")]
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


def render_results(template: Path) -> str:
    """The page that sets the detectors side by side; the plot lies beside it."""
    comparison = compare([folder for name in COMPARED for folder in records_of(name)])
    return template.read_text().format(
        table=comparison.table(), legend="\n".join(f"- {line}" for line in comparison.legend())
    )


def records_of(recipe_name: str) -> list[Path]:
    return sorted((RESULTS / recipe_name).glob("seed*"))


def pages() -> None:
    """Write both pages and the plot."""
    here = Path(__file__).parent
    ERM_PAGE.write_text(render_erm(here / "deepfake-erm.md.template"))
    RESULTS_PAGE.parent.mkdir(exist_ok=True)
    RESULTS_PAGE.write_text(render_results(here / "deepfake.md.template"))
    from verisight.evaluate.plot import forest

    forest(compare([folder for name in COMPARED for folder in records_of(name)]), RESULTS_PAGE.with_suffix(".svg"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names of recipes in recipes/deepfake")
    parser.add_argument("--data", help="the pack: a folder or zip with index.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/deepfake")
    parser.add_argument("--small", action="store_true", help="one epoch of one seed, nothing kept")
    parser.add_argument("--ship", action="store_true", help="after training, put seed 0 of erm-fakes into the package")
    parser.add_argument("--pages", action="store_true", help="render the pages from the records")
    arguments = parser.parse_args()
    if arguments.recipes and not arguments.data:
        parser.error("--data PACK is needed to train")
    for recipe in arguments.recipes:
        if arguments.small:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder)
                run_seed(recipe, arguments.data, 0, out / "results", out / "runs", ["trainer.max_epochs=1"])
            continue
        for seed in arguments.seeds:
            run_seed(recipe, arguments.data, seed, RESULTS, arguments.runs, [])
    if arguments.ship:
        ship(arguments.runs)
    if arguments.pages:
        pages()


if __name__ == "__main__":
    main()
