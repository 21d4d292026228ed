"""Two processes train as one does, though a batch of five leaves them three rows and two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from verisight.core.checkpoint import load_card, load_tensors
from verisight.core.errors import RecipeError
from verisight.core.recipe import Recipe
from verisight.engine import loop
from verisight.engine.method import ASIDE
from verisight.engine.train import train

FORKED = {"devices": 2, "strategy": "ddp_fork"}
TWO_RANKS: dict[str, Any] = {
    "method": {"dropout": 0.0},  # each process draws its own
    "loader": {"batch_size": 5, "workers": 0},
    "optimiser": {"name": "sgd", "lr": 0.05},
}


def weights(path: Path) -> np.ndarray:
    """What was trained; what is fitted afterwards to features, an eigenbasis, magnifies every rounding."""
    trained = {name: t for name, t in load_tensors(path).items() if not name.startswith(ASIDE)}
    return np.concatenate([np.asarray(t, np.float64).ravel() for t in trained.values()])


def assert_close_ends(path: Path, other: Path) -> None:
    """To the half-precision rounding of the checkpoint; the figures of every step, which are not rounded, to 1e-5."""
    ours, theirs = weights(path), weights(other)
    assert np.abs(ours - theirs).max() < 1e-3
    assert np.abs(ours - theirs).mean() < 1e-5
    (ours, theirs) = (steps_of(p) for p in (path, other))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def steps_of(path: Path) -> np.ndarray:
    """(step, loss) of every step, (N, 2)."""
    lines = [yaml.safe_load(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
    return np.array([(line["step"], line["loss/cross_entropy"]) for line in lines if "loss/cross_entropy" in line])


@pytest.mark.parametrize("rule", ["plain", "sam"])
def test_two_processes_end_where_one_does_and_one_of_them_writes(recipe: Any, tmp_path: Path, rule: str) -> None:
    changes = {**TWO_RANKS, "rule": {"id": rule}}
    one = train(recipe(**changes), tmp_path / "one")
    two = train(recipe(**changes, trainer=FORKED), tmp_path / "two")
    assert_close_ends(two, one)
    assert steps_of(two)[:, 0].tolist() == list(range(9))  # one line a step
    assert sorted(p.name for p in two.parent.iterdir()) == ["log.jsonl", "tiny.safetensors"]


def test_they_go_on_together_with_their_own_random_numbers(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = recipe(loader={"batch_size": 5, "workers": 0}, early_stopping={"patience": 2}, trainer=FORKED)

    class Dying(loop.Resumable):
        def __init__(self, file: Path) -> None:
            super().__init__(file, interval_s=0)

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 5:
                raise RuntimeError("killed")

    Dying.__qualname__ = "Resumable"
    whole = train(chosen, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Resumable", Dying)
        with pytest.raises(Exception, match="killed"):
            train(chosen, tmp_path / "out")
    again = train(chosen, tmp_path / "out")
    assert np.array_equal(weights(again), weights(whole))
    assert load_card(again) == load_card(whole)
    assert (tmp_path / "out/log.jsonl").read_text() == (tmp_path / "whole/log.jsonl").read_text()


def test_more_processes_than_rows_are_refused_before_any_is_started(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^loader\.batch_size: a batch of 1 cannot be shared by 2 processes; set"):
        train(recipe(loader={"batch_size": 1, "workers": 0}, trainer=FORKED), tmp_path)


@pytest.mark.slow
def test_the_command_starts_the_other_process_itself(recipe: Any, tmp_path: Path) -> None:
    """Through `ddp`, as on many GPUs: the second process is the same command again."""
    chosen: Recipe = recipe(**TWO_RANKS)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(chosen.model_dump(mode="json")))
    done = subprocess.run(
        [Path(sys.executable).with_name("verisight"), "train", file, "trainer.devices=2", "--out", tmp_path / "two"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("checkpoint:") == 1
    assert_close_ends(tmp_path / "two/tiny.safetensors", train(chosen, tmp_path / "one"))
