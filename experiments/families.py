"""Which mixture of fakes tells forgeries that it never saw? `python experiments/families.py --data PACK`.

One family of generators at a time (video swaps, GANs, diffusion) is left out of training together with the reals of its
origin, for each of six mixtures: real fakes (erm), self-blended reals (sbi), both, each with and without reals with
up-sampling traces (up). All get the same network, the same steps and the same augmentation. The mixture is chosen by
the left-out rows of the splits train and val; the split test is scored for the report only. Controls are fitted and
left out in the same way.

A run that exists is not made again, one that was stopped goes on. `--small` does ten steps of two mixtures and keeps
nothing. Results: results/deepfake/families.json (figures) and families.parquet (every score).
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from verisight.core.detector import Detector
from verisight.core.recipe import Recipe, load_recipe
from verisight.core.value import Value
from verisight.data.crops import CropSet, face_crops
from verisight.data.layouts import read_layout, without
from verisight.data.manifest import Manifest
from verisight.data.preprocess import normalise
from verisight.engine.train import train
from verisight.evaluate.controls import CONTROLS, Part, regression
from verisight.evaluate.intervals import Interval
from verisight.evaluate.leave_out import LeftOut, Scope, left_out, scopes
from verisight.evaluate.metrics import Floats
from verisight.evaluate.record import Environment, now

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/deepfake/erm-default.yaml"
RESULTS = ROOT / "results/deepfake"
FAMILIES = {
    "video swaps": ("dfdc_faceswap", "ffpp_deepfakes", "ffpp_faceswap", "ffpp_face2face"),
    "GANs": ("stargan", "stylegan2_sfhq", "alae", "began"),
    "diffusion": ("sd21", "sdxl", "flux1_schnell"),
}
MIXTURES = {  # shares of the drawn fakes: self-blended reals, reals with up-sampling traces; the rest are real fakes
    "erm + sbi + up": (0.25, 0.25),
    "erm + sbi": (0.35, 0.0),
    "erm": (0.0, 0.0),
    "erm + up": (0.0, 0.35),
    "sbi": (1.0, 0.0),
    "sbi + up": (0.65, 0.35),
}
SEARCH = ("preprocess.size=128", "trainer.max_epochs=-1", "trainer.limit_val_batches=0")
STEPS = 300
PARTS = {"select": (("train", "val"), ("val",)), "report": (("test",), ("test",))}  # rows; reals that stay in training


class Figures(Value):
    """One method: AUC by generator, by family, and the mean; and that mean minus the one of the chosen mixture."""

    generators: dict[str, Interval]
    families: dict[str, Interval]
    mean: Interval
    behind_chosen: Interval | None = None


class Families(Value):
    """The table. figures : part -> method -> figures. chosen : by the mean on `select`."""

    chosen: str
    figures: dict[str, dict[str, Figures]]
    recipe: dict[str, object]
    mixtures: dict[str, tuple[float, float]]
    steps: int
    seed: int
    data: str
    environment: Environment
    created: str


def recipe_of(mixture: str, family: str, data: str, steps: int, seed: int) -> Recipe:
    blend, up = MIXTURES[mixture]
    left = ",".join(FAMILIES[family])
    own = [f"augment.self_blend={blend}", f"augment.upsample={up}", f"data.leave_out=[{left}]"]
    return load_recipe(
        RECIPE,
        [
            f"data.path={data}",
            *SEARCH,
            *own,
            f"trainer.max_steps={steps}",
            f"seed={seed}",
            "evaluate.threshold=balanced",
        ],
    )


def slug(*names: str) -> str:
    return "-".join(names).replace(" ", "").replace("+", "-").lower()


def trained_scores(recipe: Recipe, folder: Path, crops: CropSet) -> Floats:
    """A score for every crop of the pack, by a detector that is trained unless it exists."""
    checkpoint = folder / f"{recipe.name}.safetensors"
    if not checkpoint.is_file():
        train(recipe, folder)
    kept = folder / "scores.npy"
    if not kept.is_file():
        detector = Detector.load(checkpoint, runtime="torch")
        starts = range(0, len(crops.row), 64)
        batches = (normalise(np.asarray(crops.images[i : i + 64]), detector.preprocess) for i in starts)
        np.save(kept, np.concatenate([detector.score(batch) for batch in batches]))
    return np.asarray(np.load(kept), np.float64)


def control_scores(
    manifest: Manifest, crops: CropSet, recipes: dict[str, Recipe], seed: int
) -> dict[str, dict[str, Floats]]:
    """Control -> family -> a score for every row."""
    part, label = Part(manifest, crops), manifest.column("label")
    facts = {name: fact(part) for name, fact in CONTROLS.items()}
    scores: dict[str, dict[str, Floats]] = {name: {} for name in [*facts, "random score"]}
    path = manifest.column("path")
    for family, recipe in recipes.items():
        kept = without(manifest, recipe.data).split("train").column("path")
        of = np.isin(path, kept)
        for name, values in facts.items():
            scores[name][family] = regression().fit(values[of], label[of]).decision_function(values)
        scores["random score"][family] = np.random.default_rng(seed).normal(size=len(manifest))
    return scores


def tables(
    scores: dict[str, dict[str, Floats]], manifest: Manifest, recipe: Recipe
) -> tuple[str, dict[str, dict[str, Figures]]]:
    """The chosen mixture and the figures of both parts."""
    measured: dict[str, dict[str, LeftOut]] = {}
    where: dict[str, list[Scope]] = {}
    for part, (splits, unseen) in PARTS.items():
        where[part] = scopes(manifest, FAMILIES, recipe.data.matched, splits, unseen)
        measured[part] = {name: left_out(of, where[part]) for name, of in scores.items()}
    chosen = max((name for name in MIXTURES if name in scores), key=lambda name: measured["select"][name].mean().value)
    figures = {
        part: {
            name: Figures(
                generators={s.generator: found.of(k) for k, s in enumerate(where[part])},
                families={family: found.family(family) for family in FAMILIES},
                mean=found.mean(),
                behind_chosen=None if name == chosen else found.minus(by_name[chosen]),
            )
            for name, found in by_name.items()
        }
        for part, by_name in measured.items()
    }
    return chosen, figures


def run(data: str, runs: Path, results: Path, mixtures: Iterable[str], steps: int, seed: int) -> Families:
    """Train what is missing, score all, write both files."""
    recipes = {family: recipe_of("erm", family, data, steps, seed) for family in FAMILIES}
    any_recipe = recipes["GANs"]
    manifest = read_layout(any_recipe.data.model_copy(update={"leave_out": ()}), seed)
    crops = face_crops(manifest, any_recipe.preprocess, whole=True)
    if not np.array_equal(crops.row, np.arange(len(manifest))):
        raise SystemExit(f"{len(manifest) - len(crops.row)} pictures of the pack gave no crop: {crops.skipped[0]}")
    scores: dict[str, dict[str, Floats]] = {}
    for mixture in mixtures:
        scores[mixture] = {}
        for family in FAMILIES:
            recipe = recipe_of(mixture, family, data, steps, seed)
            scores[mixture][family] = trained_scores(recipe, runs / slug(mixture, "without", family), crops)
            print(f"{mixture}, without {family}: done", flush=True)
        select = scopes(manifest, FAMILIES, any_recipe.data.matched, *PARTS["select"])
        found = left_out(scores[mixture], select)
        print(
            mixture,
            {s.generator: round(float(a), 3) for s, a in zip(select, found.auc, strict=True)},
            found.mean(),
            flush=True,
        )
    scores |= control_scores(manifest, crops, recipes, seed)
    chosen, figures = tables(scores, manifest, any_recipe)
    plain = any_recipe.model_dump(mode="json")
    plain["data"]["path"] = Path(data).name
    families = Families(
        chosen=chosen,
        figures=figures,
        recipe=plain,
        mixtures=MIXTURES,
        steps=steps,
        seed=seed,
        data=manifest.fingerprint(),
        environment=Environment.here(),
        created=now(),
    )
    results.mkdir(parents=True, exist_ok=True)
    (results / "families.json").write_text(families.model_dump_json(indent=1) + "\n")
    facts = {name: manifest.column(name) for name in ("path", "label", "split", "group", "generator", "source")}
    columns = {
        f"{name} | without {family}": v.astype(np.float32) for name, of in scores.items() for family, v in of.items()
    }
    pd.DataFrame(facts | columns).to_parquet(results / "families.parquet", index=False)
    return families


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the pack: a folder or zip with index.csv")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/deepfake/families")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="ten steps of two mixtures, nothing kept")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if given.small:
        with tempfile.TemporaryDirectory() as folder:
            run(given.data, Path(folder) / "runs", Path(folder), ["erm + sbi + up", "erm"], 10, given.seed)
        return
    families = run(given.data, given.runs, given.results, MIXTURES, STEPS, given.seed)
    print(f"chosen: {families.chosen}")


if __name__ == "__main__":
    main()
