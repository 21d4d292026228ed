"""Train and report the shipped detector: `python experiments/deepfake_erm.py --data PACK [--seeds 0 1 2]`.

Every seed is trained by recipes/deepfake/erm-fakes.yaml and reported on the test split; the records go to
results/deepfake/erm-fakes/seed<k>/. A seed whose record exists is skipped, so the script may be stopped and run again.
`--small` does one epoch of one seed into a temporary folder: it proves that the script runs. `--ship` copies seed 0 to
src/verisight/weights and renders docs/detectors/deepfake-erm.md from the records.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from verisight.core.checkpoint import load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.places import WEIGHTS
from verisight.core.recipe import load_recipe
from verisight.engine.train import train
from verisight.evaluate.record import Record
from verisight.evaluate.run import data_spec, evaluate

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/deepfake/erm-fakes.yaml"
RESULTS = ROOT / "results/deepfake/erm-fakes"
PAGE = ROOT / "docs/detectors/deepfake-erm.md"


def run_seed(data: str, seed: int, results: Path, runs: Path, extra: list[str]) -> None:
    """Train one seed, report it on the test split, keep its checkpoint under `runs`."""
    folder = results / f"seed{seed}"
    if (folder / "record.json").is_file():
        print(f"seed {seed}: record exists")
        return
    checkpoint = train(load_recipe(RECIPE, [f"data.path={data}", f"seed={seed}", *extra]), runs / f"seed{seed}")
    detector = Detector.load(checkpoint, runtime="torch")
    record, scores = evaluate(detector, data_spec(detector.card, [f"data.path={data}"]))
    record.save(folder, scores)
    print(f"seed {seed}\n{record.table()}")


def ship(runs: Path) -> None:
    """Put seed 0 into the package, with the headline figures of its record on the card."""
    source = runs / "seed0" / "deepfake-erm.safetensors"
    record = Record.load(RESULTS / "seed0")
    metrics = {f"{scope} auc": round(m["auc"].value, 4) for scope, m in record.metrics.items() if "auc" in m}
    card = load_card(source).model_copy(update={"metrics": metrics})
    save_checkpoint(WEIGHTS / "deepfake-erm.safetensors", load_tensors(source), card)


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


if __name__ == "__main__":
    main()
