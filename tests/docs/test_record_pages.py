"""The pages of figures are rendered from records; the record of the shipped detector is about the shipped weights."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.checkpoint import load_card, verdict_fingerprint
from verisight.core.detector import checkpoint_path
from verisight.core.recipe import EvaluateSpec
from verisight.evaluate.protocol import Protocol
from verisight.evaluate.record import Record

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def experiment(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where pydantic looks its types up
    spec.loader.exec_module(module)
    return module


def test_the_page_of_results_says_what_the_records_say() -> None:
    deepfake = experiment("deepfake")
    assert deepfake.RESULTS_PAGE.read_text() == deepfake.render_results(EXPERIMENTS / "deepfake.md.template")


def test_the_page_of_the_shipped_detector_says_what_its_records_say() -> None:
    shipped = experiment("default_detector")
    assert shipped.PAGE.read_text() == shipped.render(EXPERIMENTS / "default_detector.md.template")


def test_the_records_are_of_the_shipped_weights() -> None:
    shipped = experiment("default_detector")
    detector = f"{DEFAULT_DETECTOR}@{verdict_fingerprint(checkpoint_path(DEFAULT_DETECTOR))}"
    assert Record.load(shipped.RESULTS / "seed0").detector == detector
    evidence = shipped.Evidence.model_validate_json((shipped.RESULTS / "evidence.json").read_text())
    assert evidence.detector == detector


def test_the_figures_follow_from_the_scores_beside_the_record() -> None:
    folder = experiment("default_detector").RESULTS / "seed0"
    record, card = Record.load(folder), load_card(checkpoint_path(DEFAULT_DETECTOR))
    matched = {name: tuple(sources) for name, sources in record.recipe["data"]["matched"].items()}
    spec = EvaluateSpec.model_validate({**record.recipe["evaluate"], "resamples": 100})
    again = Protocol(spec, matched).report(record.scores(folder), record.calibration, record.threshold)
    for scope, figures in record.metrics.items():
        assert abs(again[scope]["auc"].value - figures["auc"].value) < 1e-6
        assert abs(card.metrics[f"AUC {scope}"] - figures["auc"].value) < 1e-4


def test_the_shipped_recipe_is_the_one_that_was_chosen_and_is_ahead_of_every_control() -> None:
    shipped = experiment("default_detector")
    families = json.loads(shipped.FAMILIES.read_text())
    card = load_card(checkpoint_path(DEFAULT_DETECTOR))
    augment = card.recipe["augment"]
    assert (augment["self_blend"], augment["upsample"]) == tuple(families["mixtures"][families["chosen"]])
    for name, figures in families["figures"]["report"].items():
        if name not in families["mixtures"]:
            assert figures["behind_chosen"]["high"] < 0, name


def test_what_was_promised_of_the_shipped_detector_holds() -> None:
    """False alarms at or below the stated rate on average; a crop moves a score less than another picture does."""
    shipped = experiment("default_detector")
    evidence = shipped.Evidence.model_validate_json((shipped.RESULTS / "evidence.json").read_text())
    assert evidence.alarms.mean.value <= 0.05
    assert evidence.spread.sd.high < evidence.spread.between.low
    assert evidence.spread.opposite.value <= 0.01
