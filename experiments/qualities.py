"""Is one detector for all qualities worth its price? `python experiments/qualities.py --data PACK [--small]`.

QAD and ADD against what they have to beat, at an equal number of steps and pictures, on one pack of generators: every
run is recipes/deepfake/qad-fakes.yaml or add-fakes.yaml with a few settings changed, three seeds each, calibrated and
reported at H.264 CRF 23 and 40 beside the files as they are. A run whose record exists is not made again, one that was
stopped goes on.

`mixture-wd` is the control that the specification demands: the mixture of qualities whose weight decay was tuned, on
the select split. The teacher of every student is the run `raw` of its seed. `--tables` prints what the records say.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from verisight.core.detector import Detector
from verisight.core.recipe import load_recipe
from verisight.data.layouts import read_layout
from verisight.engine.train import train
from verisight.evaluate.compare import compare
from verisight.evaluate.delong import aucs
from verisight.evaluate.protocol import Select
from verisight.evaluate.run import data_spec, evaluate
from verisight.evaluate.score import crops_at, scores_at

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results/deepfake/qualities"
QAD, ADD = (ROOT / f"recipes/deepfake/{name}-fakes.yaml" for name in ("qad", "add"))
PLAIN = ("method.agreement=none", "rule.gamma=0")  # AWP without a shift is the plain rule
NOTHING = ("method.distil.fr=0", "method.distil.mv=0")
DECAYS = (0.01, 0.05, 0.2, 0.5)
SEEDS = (0, 1, 2)
SHARED_BY_ALL = 36  # pictures a step, whatever the number of qualities

# name -> recipe, and what is changed in it
RUNS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "raw": (QAD, (*PLAIN, "method.qualities=[raw]", f"loader.batch_size={SHARED_BY_ALL}")),
    "c23": (QAD, (*PLAIN, "method.qualities=[c23]", f"loader.batch_size={SHARED_BY_ALL}")),
    "c40": (QAD, (*PLAIN, "method.qualities=[c40]", f"loader.batch_size={SHARED_BY_ALL}")),
    "mixture": (QAD, PLAIN),
    "mixture-wd": (QAD, PLAIN),
    "l2": (QAD, ("method.agreement=l2", "method.alpha=0.3", "rule.gamma=0")),
    "hsic": (QAD, ("rule.gamma=0",)),
    "awp": (QAD, ("method.agreement=none",)),
    "sam": (QAD, (*PLAIN, "rule.inner={id: sam, rho: 0.05}")),
    "qad": (QAD, ()),
    "raw-and-c40": (QAD, (*PLAIN, "method.qualities=[raw,c40]", f"loader.batch_size={SHARED_BY_ALL // 2}")),
    "c40-from-teacher": (ADD, (*NOTHING, "method.init=teacher")),
    "kd": (ADD, (*NOTHING, "method.distil.kd=1")),
    "add": (ADD, ()),
    "add-from-teacher": (ADD, ("method.init=teacher",)),
}


def overrides(name: str, data: str, seed: int, runs: Path, extra: Sequence[str] = ()) -> tuple[Path, list[str]]:
    """Recipe and settings of a run."""
    recipe, changes = RUNS[name]
    given = [f"name={name}", f"data.path={data}", f"seed={seed}", *changes, *extra]
    if recipe == ADD:
        given.append(f"method.teacher={runs / 'raw' / f'seed{seed}' / 'raw.safetensors'}")
    if name == "mixture-wd":
        given.append(f"optimiser.weight_decay={json.loads((RESULTS / 'decay.json').read_text())['chosen']}")
    return recipe, given


def run(name: str, data: str, seed: int, runs: Path, results: Path, extra: Sequence[str] = ()) -> None:
    """Train and report, unless that was done."""
    folder, out = results / name / f"seed{seed}", runs / name / f"seed{seed}"
    recipe_path, given = overrides(name, data, seed, runs, extra)
    recipe = load_recipe(recipe_path, given)
    checkpoint = out / f"{recipe.name}.safetensors"
    needed = name == "raw" and not checkpoint.is_file()  # as a teacher
    if (folder / "record.json").is_file() and not needed:
        return
    start = time.perf_counter()
    if not checkpoint.is_file():
        train(recipe, out)
    detector = Detector.load(checkpoint, runtime="torch")
    controls = name == "mixture" and seed == 0
    record, scores = evaluate(detector, data_spec(detector.card, [f"data.path={data}"]), controls=controls)
    record.save(folder, scores)
    shown = {scope: str(of["auc"]) for scope, of in record.metrics.items() if scope == "all" or "quality" in scope}
    print(f"{name} seed {seed}: {shown}, {time.perf_counter() - start:.0f} s", flush=True)


def tune_decay(data: str, runs: Path, extra: Sequence[str] = ()) -> None:
    """The weight decay of the mixture with the best pooled AUC on the select split, seed 0."""
    if (RESULTS / "decay.json").is_file():
        return
    found: dict[str, float] = {}
    for decay in DECAYS:
        recipe_path, given = overrides("mixture", data, 0, runs, extra)
        recipe = load_recipe(recipe_path, [*given, f"optimiser.weight_decay={decay}"])
        out = runs / "decay" / str(decay)
        checkpoint = out / f"{recipe.name}.safetensors"
        if not checkpoint.is_file():
            train(recipe, out)
        found[str(decay)] = pooled_on_select(checkpoint, data)
        print(f"weight decay {decay}: select AUC {found[str(decay)]:.4f}", flush=True)
    chosen = float(max(found, key=lambda decay: found[decay]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"select_auc": found, "chosen": chosen}, indent=1)
    (RESULTS / "decay.json").write_text(text + "\n", encoding="utf-8")


def pooled_on_select(checkpoint: Path, data: str) -> float:
    """AUC over the select split at all qualities together."""
    detector = Detector.load(checkpoint, runtime="torch")
    spec = data_spec(detector.card, [f"data.path={data}"])
    select = read_layout(spec, 0).split("val")
    qualities = detector.card.recipe["evaluate"]["qualities"]
    scores = scores_at(detector, select, crops_at(select, detector.preprocess, qualities, whole=True), Select)
    return float(aucs(scores.label, scores.score, scores.group).auc[0])


# --- tables

ABOUT_QAD = ("mixture", "mixture-wd", "l2", "hsic", "awp", "sam", "qad", "raw", "c23", "c40")
ABOUT_ADD = ("c40", "kd", "add", "raw-and-c40", "c40-from-teacher", "add-from-teacher", "raw")
SCOPES = {"all": "pooled", "quality raw": "raw", "quality c23": "c23", "quality c40": "c40"}


def table(names: Sequence[str], decisive: Sequence[str]) -> str:
    """Markdown: a run a row, the first one being what the others are compared with.

    decisive : scopes whose differences are shown.
    """
    folders = {name: sorted((RESULTS / name).glob("seed*/record.json")) for name in names}
    made = [record.parent for name in names for record in folders[name]]
    found, alarms = compare(made, "auc"), compare(made, "fpr")
    first = found.names[0]
    head = ["AUC", *SCOPES.values(), "worst", "raw - c40", "false alarms at c40"]
    lines = [[*head, *(f"{SCOPES[scope]}, minus {first}" for scope in decisive)]]
    for name in found.names:
        figures = {scope: found.figures[name][scope] for scope in SCOPES}
        of = {SCOPES[scope]: figure.mean.value for scope, figure in figures.items() if scope != "all"}
        row = [name, *map(str, figures.values()), f"{min(of.values()):.3f}", f"{of['raw'] - of['c40']:+.3f}"]
        row.append(str(alarms.figures[name]["quality c40"].mean))
        row += [str(found.differences[name][scope]) if name != first else "" for scope in decisive]
        lines.append(row)
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the pack of face crops: a folder or zip with index.csv")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/deepfake/qualities")
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--small", action="store_true", help="four steps of one seed, nothing kept")
    parser.add_argument("--tables", action="store_true", help="print the tables from the records")
    given = parser.parse_args()
    if given.data and given.small:
        with tempfile.TemporaryDirectory() as folder:
            for name in given.only:
                if name != "mixture-wd":
                    run(name, given.data, 0, Path(folder) / "runs", Path(folder) / "results", ["trainer.max_steps=4"])
    elif given.data:
        for seed in given.seeds:
            for name in given.only:
                if name == "mixture-wd":
                    tune_decay(given.data, given.runs)
                run(name, given.data, seed, given.runs, RESULTS)
    if given.tables:
        print(table(ABOUT_QAD, ("all", "quality c40")), table(ABOUT_ADD, ("quality c40",)), sep="\n\n")
    if given.tables:
        print(table(ABOUT_QAD, ("all", "quality c40")), table(ABOUT_ADD, ("quality c40",)), sep="\n\n")


if __name__ == "__main__":
    main()
