"""A stranger's method: one source file, one recipe and one catalogue line, and everything else comes with it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from verisight.core import catalogue
from verisight.core.detector import Detector
from verisight.testing import ContractError, check_detector, check_method

SOURCE = '''
"""Fine detail: a logistic regression on how much neighbouring pixels differ, along columns and along rows."""

import torch

from verisight.data.batch import Batch
from verisight.engine.method import Method, MethodConfig
from verisight.optim.rule import Losses


class FineDetail(Method):
    task = "deepfake"
    positive = "fake"

    class Config(MethodConfig):
        scale: float = 10.0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.logit = torch.nn.Linear(2, 1)

    def losses(self, batch: Batch) -> Losses:
        scores, target = self.scores(batch.inputs), batch.label.float()
        return Losses({"cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits(scores, target)})

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        columns, rows = inputs.diff(dim=2).abs().mean(dim=(1, 2, 3)), inputs.diff(dim=3).abs().mean(dim=(1, 2, 3))
        return self.logit(self.config.scale * torch.stack([columns, rows], dim=1)).squeeze(1)
'''
RECIPE = """
name: fine-detail
method: {id: deepfake/fine-detail, scale: 20.0}
data:
  path: ???
  faces: whole
preprocess: {size: 48}
augment: {crop: 0, quality: ""}
optimiser: {lr: 0.3}
loader: {batch_size: 4, workers: 0}
trainer: {max_epochs: 12, enable_progress_bar: false}
"""
LINE = catalogue.Entry(
    id="deepfake/fine-detail",
    kind="method",
    target="stranger_fine_detail:FineDetail",
    summary="differences of neighbouring pixels",
    task="deepfake",
    capabilities=("train", "eval", "scan"),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three things that a stranger writes."""
    (tmp_path / "stranger_fine_detail.py").write_text(SOURCE)
    (tmp_path / "fine-detail.yaml").write_text(RECIPE)
    monkeypatch.setattr(catalogue, "ENTRIES", (*catalogue.ENTRIES, LINE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cli(*arguments: object) -> str:
    from verisight.cli.main import app

    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_keeps_the_contract_trains_scans_and_is_evaluated(
    place: Path, tiny_folder: Path, portrait: np.ndarray
) -> None:
    check_method(LINE.load())

    told = cli("train", "fine-detail.yaml", f"data.path={tiny_folder}")
    checkpoint = place / "runs/fine-detail/fine-detail.safetensors"
    assert str(checkpoint.relative_to(place)) in told
    check_detector(checkpoint)

    Image.fromarray(portrait).save(place / "portrait.png")
    verdict = json.loads(cli("scan", "portrait.png", "--detector", checkpoint, "--format", "jsonl", "--ledger", "none"))
    assert verdict["detector"].startswith("fine-detail@")
    assert 0 <= verdict["probability"] <= 1

    cli("eval", checkpoint, f"data.path={tiny_folder}")
    record = json.loads((place / "runs/fine-detail/record/record.json").read_text())
    assert record["metrics"]["all"]["auc"]["value"] == 1  # stripes against none: its two numbers say it all


def test_it_is_listed_and_its_recipe_is_checked_like_our_own(place: Path) -> None:
    assert "deepfake/fine-detail" in cli("list")
    from verisight.core.errors import RecipeError
    from verisight.core.recipe import load_recipe
    from verisight.engine.train import build

    with pytest.raises(RecipeError, match="did you mean 'scale'"):
        build(load_recipe("fine-detail.yaml", ["data.path=.", "method.scal=2"]))


def test_its_checkpoint_names_the_method_that_is_missing_elsewhere(
    place: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verisight.core.errors import RecipeError

    cli("train", "fine-detail.yaml", f"data.path={tiny_folder}", "trainer.max_epochs=1")
    monkeypatch.setattr(catalogue, "ENTRIES", tuple(e for e in catalogue.ENTRIES if e is not LINE))
    with pytest.raises(RecipeError, match=r"deepfake/fine-detail: no method of this name in the catalogue"):
        Detector.load("runs/fine-detail/fine-detail.safetensors", runtime="torch")


def test_a_slip_in_it_is_named_before_it_is_trained(place: Path) -> None:
    """Without the mean over rows a training would still run; the checker says what is wrong."""
    slip = SOURCE.replace("_with_logits(scores, target)", "_with_logits(scores, target, reduction='none')")
    (place / "stranger_slip.py").write_text(slip)
    with pytest.raises(ContractError, match="'losses_are_named_finite_scalars': 'cross_entropy' is no scalar"):
        check_method(import_module("stranger_slip").FineDetail)
