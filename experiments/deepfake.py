"""Train and report the deepfake detectors on one pack: `python experiments/deepfake.py RECIPE... --data PACK`.

RECIPE is the name of a file in recipes/deepfake, such as erm-fakes or sbi-fakes. Every seed is trained by it and
reported on the test split, with the controls; the records go to results/deepfake/RECIPE/seed<k>/. What exists is not
made again, and a training that was stopped goes on, so the script may be stopped and run again.

`--small` does one epoch of one seed and keeps nothing: it proves that the script runs. `--page` renders
docs/results/deepfake.md. The shipped detector has a script of its own: default_detector.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from verisight.core.detector import Detector
from verisight.core.recipe import load_recipe
from verisight.engine.train import train
from verisight.evaluate.compare import compare
from verisight.evaluate.run import data_spec, evaluate

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes/deepfake"
RESULTS = ROOT / "results/deepfake"
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


def render_results(template: Path) -> str:
    """The page that sets the detectors side by side; the plot lies beside it."""
    comparison = compare([folder for name in COMPARED for folder in records_of(name)])
    return template.read_text().format(
        table=comparison.table(), legend="\n".join(f"- {line}" for line in comparison.legend())
    )


def records_of(recipe_name: str) -> list[Path]:
    return sorted((RESULTS / recipe_name).glob("seed*"))


def page() -> None:
    """Write the page and the plot."""
    RESULTS_PAGE.parent.mkdir(exist_ok=True)
    RESULTS_PAGE.write_text(render_results(Path(__file__).with_name("deepfake.md.template")))
    from verisight.evaluate.plot import forest

    forest(compare([folder for name in COMPARED for folder in records_of(name)]), RESULTS_PAGE.with_suffix(".svg"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="names of recipes in recipes/deepfake")
    parser.add_argument("--data", help="the pack: a folder or zip with index.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/deepfake")
    parser.add_argument("--small", action="store_true", help="one epoch of one seed, nothing kept")
    parser.add_argument("--page", action="store_true", help="render the page from the records")
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
    if arguments.page:
        page()


if __name__ == "__main__":
    main()
