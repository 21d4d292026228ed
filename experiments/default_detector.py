"""The shipped detector and all that is known of it: `python experiments/default_detector.py --data PACK ...`.

Three seeds of recipes/deepfake/erm-default.yaml are trained on the pack and reported on its test split, beside the
controls. Seed 0, which ships, is then asked four further questions, on nothing that training or the choice of recipe,
calibration or threshold saw: does it hold when files were re-encoded, how often does it call real faces of other
sources fake, how far does a score move with the crop, and what does `verisight scan` say of whole clips. What exists
is not made again, and a training that was stopped goes on.

`--small` does ten steps of one seed and keeps nothing. `--ship` puts seed 0 into the package. `--pages` renders
docs/detectors/deepfake.md from the records. Which recipe it is, was chosen before by families.py.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from verisight.core.checkpoint import load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.places import WEIGHTS
from verisight.core.recipe import DataSpec, load_recipe
from verisight.core.value import Value
from verisight.data.crops import face_crops
from verisight.data.faces import face_finder, judgeable
from verisight.data.layouts import read_layout
from verisight.data.manifest import Manifest
from verisight.data.media import open_media
from verisight.engine.train import train
from verisight.evaluate.abstention import Doubt, Point, doubt, risk_coverage
from verisight.evaluate.intervals import Interval
from verisight.evaluate.plot import Bin, abstention_curve, calibration_curve, reliability, robustness_plot
from verisight.evaluate.protocol import Protocol, Report
from verisight.evaluate.record import Environment, Record, mean_over_seeds, now
from verisight.evaluate.robustness import (
    CONDITIONS,
    CropSpread,
    FalseAlarms,
    Seen,
    crop_spread,
    false_alarms,
    placed_scores,
)
from verisight.evaluate.run import data_spec, evaluate
from verisight.evaluate.score import degraded, score_crops
from verisight.scan.pipeline import scan_files
from verisight.scan.verdict import Verdict

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/deepfake/erm-default.yaml"
RESULTS = ROOT / "results/deepfake/default"
FAMILIES = ROOT / "results/deepfake/families.json"
PAGE = ROOT / "docs/detectors/deepfake.md"
NAME = "deepfake"
SHOWN = ("auc", "tpr", "fpr")  # of every condition


class Clip(Value):
    """What `verisight scan` says of a clip. right : None where it gave no verdict."""

    clip: str
    generator: str
    fake: bool
    said: str
    probability: float | None
    interval: tuple[float, float] | None
    people: int
    warnings: tuple[str, ...]
    right: bool | None


class Evidence(Value):
    """What is known of the shipped detector beside its record.

    conditions : condition -> scope -> metric -> figure. bins : of the reliability diagram. curve : of abstention.
    alarms : false alarms by source. lfw_left_out : people of that set who also stand in the training or select split.
    spread : of the score over crops of one face.
    """

    detector: str
    data: dict[str, str]
    conditions: dict[str, dict[str, dict[str, Interval]]]
    bins: tuple[Bin, ...]
    doubt: Doubt | None
    curve: tuple[Point, ...]
    alarms: FalseAlarms
    lfw_left_out: int
    spread: CropSpread
    clips: tuple[Clip, ...]
    environment: Environment
    created: str


# --- making the records ---


def run_seed(data: str, seed: int, results: Path, runs: Path, extra: Iterable[str] = ()) -> Detector:
    """Train one seed unless its checkpoint exists, report it on the test split unless its record does."""
    recipe = load_recipe(RECIPE, [f"data.path={data}", f"seed={seed}", *extra])
    checkpoint, folder = runs / f"seed{seed}" / f"{recipe.name}.safetensors", results / f"seed{seed}"
    if not checkpoint.is_file():
        train(recipe, checkpoint.parent)
    detector = Detector.load(checkpoint, runtime="torch")
    if not (folder / "record.json").is_file():
        record, scores = evaluate(detector, data_spec(detector.card, [f"data.path={data}"]), controls=True)
        record.save(folder, scores)
        print(f"seed {seed}\n{record.table(only=SHOWN)}", flush=True)
    return detector


def examine(detector: Detector, packs: Mapping[str, str], folder: Path, most: int | None = None) -> Evidence:
    """All further questions. packs : data, native, faces, clips. folder : of the record. most : files of each pack."""
    record = Record.load(folder)
    scores, protocol = record.scores(folder), record.protocol()
    spec = data_spec(detector.card, [f"data.path={packs['data']}"])
    manifest = read_layout(spec, int(detector.card.recipe["seed"]))
    card = detector.card
    conditions = under_conditions(detector, first(manifest.split("test"), most), protocol)
    print("conditions: done", flush=True)
    with unzipped(packs["faces"]) as (place, rows):
        strangers, known = lfw(rows, place, manifest, most)
        crops = face_crops(strangers, detector.preprocess)
        faces = score_crops(detector, strangers, crops, Report)
    alarms = false_alarms([scores, faces], detector.calibrator, detector.threshold, card.clear)
    print("false alarms: done", flush=True)
    native = read_layout(DataSpec(path=packs["native"], layout="pack")).split("test")
    spread = crop_spread(*placed_scores(detector, seen(first(native, most), packs["clips"], detector, most)), detector)
    print("crops: done", flush=True)
    return Evidence(
        detector=record.detector,
        data={"test": scores.fingerprint, "LFW": strangers.fingerprint(), "native": native.fingerprint()},
        conditions=conditions,
        bins=reliability(scores, detector.calibrator),
        doubt=card.clear and doubt(scores, detector.calibrator, card.clear, detector.threshold),
        curve=risk_coverage(scores, detector.calibrator, detector.threshold),
        alarms=alarms,
        lfw_left_out=known,
        spread=spread,
        clips=tuple(clips(detector, packs["clips"], most)),
        environment=Environment.here(),
        created=now(),
    )


def under_conditions(
    detector: Detector, test: Manifest, protocol: Protocol
) -> dict[str, dict[str, dict[str, Interval]]]:
    """The figures of SHOWN by generator, after each of CONDITIONS was done to the stored pictures."""
    stored = face_crops(test, detector.preprocess.model_copy(update={"jpeg_quality": None}), whole=True)
    found = {}
    for name, condition in CONDITIONS.items():
        scores = score_crops(detector, test, degraded(stored, condition, detector.preprocess), Report)
        figures = protocol.report(scores, detector.calibrator, detector.threshold)
        found[name] = {scope: {metric: of[metric] for metric in SHOWN} for scope, of in figures.items()}
    return found


def lfw(rows: list[dict[str, str]], place: Path, known: Manifest, most: int | None) -> tuple[Manifest, int]:
    """Faces of people of whom neither training nor the choice of a threshold saw one, and how many were left out.

    The pack of the detector codes a person of LFW as `lfw:` and the beginning of a SHA-1; that of LFW has names.
    """
    rows = [row for row in rows if row["split"] == "test"]
    taken = set(known.column("subject")[known.column("split") != "test"].tolist())
    coded = [hashlib.sha1(f"lfw:{row['origin'].rsplit('_', 1)[0]}".encode()).hexdigest()[:8] for row in rows]
    kept = [row for row, code in zip(rows, coded, strict=True) if f"lfw:{code}" not in taken][:most]
    left_out = {row["identity"] for row in rows} - {row["identity"] for row in kept}
    columns = {
        "path": [row["path"] for row in kept],
        "group": [row["identity"] for row in kept],
        "label": ["0"] * len(kept),
        "split": ["test"] * len(kept),
        "source": ["LFW (aligned, 112 px)"] * len(kept),
    }
    return Manifest.from_columns(columns, place), len(left_out)


def seen(native: Manifest, pack: str, detector: Detector, most: int | None) -> Iterator[Seen]:
    """Pictures with the face that a scan would judge: of the native pack, and, with more room around it, of clips."""
    pictures = zip(native.paths(), native.column("group").tolist(), strict=True)
    with unzipped(pack) as (place, rows):
        frames = ((place / row["path"], row["video"]) for row in rows[:most])
        finder = face_finder()
        for path, group in (*pictures, *frames):
            for frame in open_media(path, frames=8):
                faces = [face for face in finder(frame.rgb) if judgeable(face, detector.preprocess)]
                if faces:
                    yield Seen(frame.rgb, max(faces, key=lambda face: face.size_px), group)


@contextmanager
def unzipped(pack: str) -> Iterator[tuple[Path, list[dict[str, str]]]]:
    """A zip's files, for as long as they are needed, and the rows of its index."""
    with tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(pack) as archive:
            archive.extractall(place)
        with open(Path(place) / "index.csv", newline="", encoding="utf-8") as file:
            yield Path(place), list(csv.DictReader(file))


def clips(detector: Detector, pack: str, most: int | None) -> Iterator[Clip]:
    with unzipped(pack) as (place, rows):
        verdicts = scan_files([place / row["path"] for row in rows[:most]], detector=detector)
        for row, verdict in zip(rows[:most], verdicts, strict=True):
            yield judged(row, verdict)


def judged(row: Mapping[str, str], verdict: Verdict) -> Clip:
    fake = row["label"] == "1"
    said = {"fake": "fake", "real": "no forgery found"}.get(verdict.label or "", "in doubt")
    if verdict.probability is None:
        said = verdict.reason or verdict.status
    return Clip(
        clip=Path(row["path"]).stem,
        generator=row["generator"],
        fake=fake,
        said=said,
        probability=verdict.probability,
        interval=verdict.interval,
        people=len(verdict.people),
        warnings=tuple(warning.code for warning in verdict.warnings),
        right=None if verdict.label is None else (verdict.label == "fake") == fake,
    )


def first(manifest: Manifest, most: int | None) -> Manifest:
    """A few rows of each label, for a trial."""
    if most is None:
        return manifest
    label = manifest.column("label")
    return manifest.where(np.isin(np.arange(len(label)), [np.flatnonzero(label == k)[:most] for k in (0, 1)]))


def ship(runs: Path) -> None:
    """Put seed 0 into the package, with the headline figures of its record and today's words on the card."""
    source, record = runs / "seed0" / f"{NAME}.safetensors", Record.load(RESULTS / "seed0")
    recipe = load_recipe(RECIPE, ["data.path=fakes.zip"])
    metrics = {f"AUC {scope}": round(figures["auc"].value, 4) for scope, figures in record.metrics.items()}
    words = {"metrics": metrics, "licence": recipe.licence, "notes": recipe.notes}
    save_checkpoint(WEIGHTS / f"{NAME}.safetensors", load_tensors(source), load_card(source).model_copy(update=words))


# --- the page ---


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def families_table(families: Mapping[str, Any]) -> str:
    """How families that were left out were told, by every mixture and control: the mean first."""
    of = {
        part: {
            name: {key: Interval.model_validate(found[key]) for key in ("mean", "behind_chosen") if found[key]}
            | {key: Interval.model_validate(value) for key, value in found["families"].items()}
            for name, found in figures.items()
        }
        for part, figures in families["figures"].items()
    }
    kinds = list(next(iter(families["figures"]["report"].values()))["families"])
    rows = []
    for name, report in of["report"].items():
        shown = f"**{name}**" if name == families["chosen"] else name
        behind = signed(report["behind_chosen"]) if "behind_chosen" in report else "chosen"
        rows.append([shown, of["select"][name]["mean"], report["mean"], behind, *(report[kind] for kind in kinds)])
    head = [
        "trained on",
        "select: mean AUC",
        "test: mean AUC",
        "test: minus the chosen",
        *(f"test: {k}" for k in kinds),
    ]
    return table(head, rows)


def left_out_table(families: Mapping[str, Any]) -> str:
    """Generator by generator, left out of training: the chosen mixture and the controls, marked where they win."""
    report = families["figures"]["report"]
    controls = [name for name in report if name not in families["mixtures"]]
    rows = []
    for generator, figure in report[families["chosen"]]["generators"].items():
        row = [generator, Interval.model_validate(figure)]
        for name in controls:
            control = Interval.model_validate(report[name]["generators"][generator])
            row.append(str(control) + (" **(control wins)**" if control.value >= figure["value"] else ""))
        rows.append(row)
    return table(["left out", families["chosen"], *(f"control: {name}" for name in controls)], rows)


def signed(figure: Interval) -> str:
    return f"{figure.value:+.3f} [{figure.low:+.2f}, {figure.high:+.2f}]"


def scopes_of(record: Record) -> list[str]:
    """One comparison a generator: with its matched reals where it has any."""
    names = [scope for scope in record.metrics if scope.endswith("matched reals")]
    matched = {scope.split(" vs ")[0] for scope in names}
    return names + [scope for scope in record.metrics if " vs " in scope and scope.split(" vs ")[0] not in matched]


def conditions_table(evidence: Evidence, scopes: Iterable[str]) -> str:
    names = list(evidence.conditions)
    rows = [[scope, *(evidence.conditions[name][scope]["auc"] for name in names)] for scope in scopes]
    everything = [evidence.conditions[name]["all"] for name in names]
    rows.append(["fakes found, of all", *(of["tpr"] for of in everything)])
    rows.append(["false alarms, of all", *(of["fpr"] for of in everything)])
    return table(["AUC", *names], rows)


def alarms_table(evidence: Evidence) -> str:
    alarms = evidence.alarms
    rows = [[name, of.files, of.rate, of.doubt or "-"] for name, of in alarms.sources.items()]
    if alarms.mean is not None:
        rows.append(["**mean of the sources**", "", f"**{alarms.mean}**", ""])
    return table(["real faces of", "files", "called fake", "in doubt"], rows)


def crops_table(evidence: Evidence) -> str:
    spread = evidence.spread
    rows = [[name, of.pictures, signed(of.moved), of.flips] for name, of in spread.placements.items()]
    return table(["side of the crop / face", "pictures", "score moves by, logits", "called otherwise"], rows)


def clips_table(evidence: Evidence) -> str:
    word = {True: "right", False: "**wrong**", None: "no verdict"}
    rows = []
    for clip in evidence.clips:
        figure = "-" if clip.probability is None else f"{clip.probability:.2f}"
        bounds = "" if clip.interval is None else " [{:.2f}, {:.2f}]".format(*clip.interval)
        kind = clip.generator if clip.fake else "real"
        rows.append([clip.clip, kind, clip.said, figure + bounds, ", ".join(clip.warnings) or "-", word[clip.right]])
    return table(["clip", "it is", "verdict", "probability of fake", "warnings", ""], rows)


def seeds_table(records: list[Record]) -> str:
    """AUC of each seed, their mean and standard deviation."""
    rows = []
    for scope in ["all", *scopes_of(records[0])]:
        each = [f"{r.metrics[scope]['auc'].value:.3f}" for r in records]
        mean, sd = mean_over_seeds(records, scope, "auc")
        rows.append([scope, *each, f"{mean:.3f}", f"{sd:.3f}"])
    return table(["", *(f"seed {r.seeds[0]}" for r in records), "mean", "sd"], rows)


def beaten_by(record: Record) -> str:
    """Where a control is no worse, in words."""
    found = []
    for scope in scopes_of(record):
        ours = record.metrics[scope]["auc"].value
        better = [name for name, figures in record.controls.items() if figures[scope]["auc"].value >= ours]
        found += [f"{scope} ({', '.join(better)})"] if better else []
    return "; ".join(found) or "nowhere"


def render(template: Path) -> str:
    """The page: the words of the template, the figures of the records."""
    records = [Record.load(folder) for folder in sorted(RESULTS.glob("seed*"))]
    evidence = Evidence.model_validate_json((RESULTS / "evidence.json").read_text(encoding="utf-8"))
    first, scopes = records[0], scopes_of(records[0])
    card = load_card(WEIGHTS / f"{NAME}.safetensors")
    zone, spread, mean = evidence.doubt, evidence.spread, evidence.alarms.mean
    decided = [clip.right for clip in evidence.clips if clip.right is not None]
    found = {scope: first.metrics[scope]["auc"] for scope in scopes}
    worst = sorted(found, key=lambda scope: found[scope].value)[:3]
    families = json.loads(FAMILIES.read_text(encoding="utf-8"))
    return template.read_text(encoding="utf-8").format(
        families=families_table(families),
        left_out=left_out_table(families),
        steps=families["steps"],
        data="\n".join(f"| {split} | {facts} |" for split, facts in first.data.items()),
        threshold=f"{first.threshold.value:.3f}",
        clear="-" if card.clear is None else f"{card.clear.value:.3f}",
        figures=first.table(only=SHOWN),
        beaten=beaten_by(first),
        worst="; ".join(f"{scope}, {found[scope]}" for scope in worst),
        conditions=conditions_table(evidence, scopes),
        calibration=f"ECE {first.metrics['all']['ece']}, Brier score {first.metrics['all']['brier']}",
        coverage=zone.coverage if zone else "-",
        reals=zone.reals if zone else "-",
        fakes=zone.fakes if zone else "-",
        error=zone.error if zone else "-",
        error_without=zone.error_without if zone else "-",
        alarms=alarms_table(evidence),
        alarms_mean=mean,
        alarms_kept="at or below" if mean is not None and mean.value <= 0.05 else "**above**",
        lfw_left_out=evidence.lfw_left_out,
        crops=crops_table(evidence),
        pictures=spread.pictures,
        sd=spread.sd,
        between=spread.between,
        flips=spread.flips,
        opposite=spread.opposite,
        clips=clips_table(evidence),
        clips_right=sum(decided),
        clips_decided=len(decided),
        clips_all=len(evidence.clips),
        seeds=seeds_table(records),
        detector=first.detector,
        licence=card.licence,
        environment=", ".join(f"{k} {v}" for k, v in first.environment.versions.items()),
    )


def pages() -> None:
    """Write the page and its plots."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(Path(__file__).with_name("default_detector.md.template")), encoding="utf-8")
    record = Record.load(RESULTS / "seed0")
    evidence = Evidence.model_validate_json((RESULTS / "evidence.json").read_text(encoding="utf-8"))
    lines = {name: {scope: of["auc"] for scope, of in by.items()} for name, by in evidence.conditions.items()}
    robustness_plot(lines, scopes_of(record), PAGE.with_name("deepfake-robustness.svg"))
    calibration_curve(record.scores(RESULTS / "seed0"), record.calibration, PAGE.with_name("deepfake-calibration.svg"))
    abstention_curve(evidence.curve, evidence.doubt, PAGE.with_name("deepfake-abstention.svg"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, words in (
        ("data", "the pack of face crops: a folder or zip with index.csv"),
        ("native", "the pack of pictures as they came, for crops cut otherwise"),
        ("faces", "the zip of LFW"),
        ("clips", "the zip of clips"),
    ):
        parser.add_argument(f"--{name}", help=words)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/deepfake/default")
    parser.add_argument("--small", action="store_true", help="ten steps, a few files, nothing kept")
    parser.add_argument("--ship", action="store_true", help="put seed 0 into the package")
    parser.add_argument("--pages", action="store_true", help="render the page from the records")
    given = parser.parse_args()
    packs = {name: getattr(given, name) for name in ("data", "native", "faces", "clips")}
    if any(packs.values()) and not all(packs.values()):
        parser.error("--data, --native, --faces and --clips go together")
    if packs["data"] and given.small:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results"
            detector = run_seed(packs["data"], 0, results, Path(folder) / "runs", ["trainer.max_steps=10"])
            print(examine(detector, packs, results / "seed0", most=8).model_dump_json(indent=1)[:2000])
    elif packs["data"]:
        detectors = {seed: run_seed(packs["data"], seed, RESULTS, given.runs) for seed in given.seeds}
        if 0 in detectors and not (RESULTS / "evidence.json").is_file():
            evidence = examine(detectors[0], packs, RESULTS / "seed0")
            (RESULTS / "evidence.json").write_text(evidence.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if given.ship:
        ship(given.runs)
    if given.pages:
        pages()


if __name__ == "__main__":
    main()
