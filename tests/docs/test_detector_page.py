"""The page of the shipped detector is rendered from its record; the record is about the shipped weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.checkpoint import load_card, verdict_fingerprint
from verisight.core.detector import checkpoint_path
from verisight.core.recipe import EvaluateSpec
from verisight.evaluate.protocol import Protocol
from verisight.evaluate.record import Record

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results/deepfake/erm-fakes/seed0"
SCRIPT = ROOT / "experiments/deepfake.py"


def test_the_pages_say_what_the_records_say() -> None:
    spec = importlib.util.spec_from_file_location("experiment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    assert experiment.ERM_PAGE.read_text() == experiment.render_erm(SCRIPT.with_name("deepfake-erm.md.template"))
    assert experiment.RESULTS_PAGE.read_text() == experiment.render_results(SCRIPT.with_name("deepfake.md.template"))


def test_the_record_is_of_the_shipped_weights() -> None:
    path = checkpoint_path(DEFAULT_DETECTOR)
    assert Record.load(RECORD).detector == f"{DEFAULT_DETECTOR}@{verdict_fingerprint(path)}"


def test_the_figures_follow_from_the_scores_beside_the_record() -> None:
    record, card = Record.load(RECORD), load_card(checkpoint_path(DEFAULT_DETECTOR))
    matched = {name: tuple(sources) for name, sources in record.recipe["data"]["matched"].items()}
    spec = EvaluateSpec.model_validate({**record.recipe["evaluate"], "resamples": 100})
    again = Protocol(spec, matched).report(record.scores(RECORD), record.calibration, record.threshold)
    for scope, figures in record.metrics.items():
        assert abs(again[scope]["auc"].value - figures["auc"].value) < 1e-6
        assert abs(card.metrics[f"AUC {scope}"] - figures["auc"].value) < 1e-4
