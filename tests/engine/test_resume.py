"""A training that is killed anywhere and started again ends in the same bits as one that never was."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from verisight.cli import main
from verisight.core.checkpoint import load_card, load_tensors
from verisight.core.errors import RecipeError
from verisight.core.recipe import Recipe
from verisight.engine import loop, resume
from verisight.engine import train as training
from verisight.engine.method import Method
from verisight.engine.resume import Resumable
from verisight.engine.train import train

# 16 pictures in the training split, 4 in a batch, 3 epochs: steps 0-3, 4-7, 8-11.


class Killed(Exception):
    pass


def dying(hook: str, nth: int, die: Callable[[], None]) -> type[Resumable]:
    """Resumable that writes before every step, and dies at the end of its nth call of a hook."""
    calls = itertools.count(1)

    class Dying(Resumable):
        def __init__(self, file: Path) -> None:
            super().__init__(file, interval_s=0)

    def dies(self: Resumable, *arguments: Any) -> None:
        getattr(Resumable, hook)(self, *arguments)
        if next(calls) == nth:
            die()

    Dying.__qualname__ = "Resumable"  # the name of its state
    setattr(Dying, hook, dies)
    return Dying


def killed() -> None:
    raise Killed


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """The checkpoint of an uninterrupted run."""
    known: dict[str, Path] = {}

    def build(recipe: Recipe) -> Path:
        key = recipe.model_dump_json()
        if key not in known:
            known[key] = train(recipe, tmp_path_factory.mktemp("whole"))
        return known[key]

    return build


def assert_same_end(path: Path, other: Path) -> None:
    ours, theirs = load_tensors(path), load_tensors(other)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert load_card(path) == load_card(other)
    assert (path.parent / "log.jsonl").read_text() == (other.parent / "log.jsonl").read_text()
    assert not (path.parent / "state").exists()


def die_and_go_on(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, out: Path, hook: str, nth: int, *, left: bool = True
) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Resumable", dying(hook, nth, killed))
        with pytest.raises(Killed):
            train(recipe, out)
        assert any((out / "state").glob("*.ckpt")) == left
    return train(recipe, out)


ANYWHERE = [
    ("on_train_batch_start", 1),  # nothing done yet
    ("on_train_batch_end", 1),
    ("on_train_batch_start", 7),  # the state of step 6 is written
    ("on_train_batch_end", 7),
    ("on_train_batch_end", 4),  # the last batch of an epoch, before its validation
    ("on_train_batch_start", 5),  # the first batch of the next epoch
    ("on_validation_batch_end", 2),
    ("on_validation_end", 1),
    ("on_train_epoch_end", 2),
    ("on_train_epoch_start", 3),
    ("on_train_end", 1),
    ("on_fit_end", 1),
]


@pytest.mark.parametrize(("hook", "nth"), ANYWHERE)
def test_wherever_it_dies_it_ends_in_the_same_bits(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hook: str, nth: int
) -> None:
    assert_same_end(die_and_go_on(monkeypatch, recipe(), tmp_path, hook, nth), whole(recipe()))


SETTINGS: dict[str, dict[str, Any]] = {
    "sam": {"rule": {"id": "sam"}},
    "a worker and early stopping": {"early_stopping": {"patience": 1}, "loader": {"batch_size": 4, "workers": 1}},
    "batch normalisation and micro-batches": {
        "method": {"backbone": "test_resnet"},
        "loader": {"micro_batch": 2, "batch_size": 4, "workers": 0},
    },
    "validation in mid-epoch": {"trainer": {"val_check_interval": 0.5}},
    "validation every third step": {"trainer": {"check_val_every_n_epoch": None, "val_check_interval": 3}},
    "a number of steps": {"trainer": {"max_steps": 9, "max_epochs": None}},
    "momentum, and a figure every third step": {
        "optimiser": {"name": "sgd", "lr": 0.01, "hold": 0.5, "fall": "linear"},
        "trainer": {"log_every_n_steps": 3},
    },
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("hook", "nth"), [("on_train_batch_end", 7), ("on_train_batch_start", 5)])
def test_whatever_the_recipe_it_ends_in_the_same_bits(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, hook: str, nth: int
) -> None:
    chosen = recipe(**SETTINGS[setting])
    assert_same_end(die_and_go_on(monkeypatch, chosen, tmp_path, hook, nth), whole(chosen))


def test_steps_since_the_last_state_are_made_again(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a state every few seconds, it goes on from the middle of an epoch and validates anew."""
    clock = itertools.count()
    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    class Dying(dying("on_train_batch_end", 10, killed)):  # type: ignore[misc]
        def __init__(self, file: Path) -> None:
            super().__init__(file)
            self.interval_s = 6

    Dying.__qualname__ = "Resumable"
    monkeypatch.setattr(loop, "Resumable", Dying)
    with pytest.raises(Killed):
        train(recipe(), tmp_path)
    (state,) = (tmp_path / "state").glob("*.ckpt")
    assert loop._step_of(state) == 5
    assert_same_end(train(recipe(), tmp_path), whole(recipe()))


def test_a_killed_process_leaves_a_state_to_go_on_from(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = whole(recipe())
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Resumable", dying("on_train_batch_end", 6, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        child = multiprocessing.get_context("fork").Process(target=train, args=(recipe(), tmp_path))
        child.start()
        child.join(120)
    assert child.exitcode == -signal.SIGKILL
    with caplog.at_level(logging.WARNING):
        assert_same_end(train(recipe(), tmp_path), expected)
    assert f"going on from step 5 of {tmp_path / 'state'}" in caplog.messages


def test_dying_twice_is_no_worse(recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for hook, nth in [("on_train_batch_end", 3), ("on_train_batch_end", 4)]:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "Resumable", dying(hook, nth, killed))
            with pytest.raises(Killed):
                train(recipe(), tmp_path)
    assert_same_end(train(recipe(), tmp_path), whole(recipe()))


def test_after_the_last_epoch_the_checkpoint_is_still_to_be_written(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Resumable", dying("on_train_start", 99, killed))
        patch.setattr(training, "calibrated", lambda *_: killed())
        with pytest.raises(Killed):
            train(recipe(), tmp_path)
    assert_same_end(train(recipe(), tmp_path), whole(recipe()))


# --- early stopping through a restart ---


@pytest.mark.parametrize("nth", [6, 9, 11])
def test_the_best_weights_of_before_the_kill_come_back(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nth: int
) -> None:
    """The AUC falls from the first epoch on: with a patience of two the first epoch's weights are the run's."""
    after: dict[int, np.ndarray] = {}

    def falling(self: Method) -> None:
        self._validation.clear()
        after.setdefault(self.current_epoch, self.logit.weight.detach().half().numpy().copy())
        self.log("select/auc", 0.9 - 0.1 * self.current_epoch)

    monkeypatch.setattr(Method, "on_validation_epoch_end", falling)
    stopping = recipe(early_stopping={"patience": 2}, trainer={"max_epochs": 8})
    expected = train(stopping, tmp_path / "whole")
    assert list(after) == [0, 1, 2]
    assert np.array_equal(load_tensors(expected)["logit.weight"], after[0])
    assert not np.array_equal(after[0], after[1])
    assert_same_end(die_and_go_on(monkeypatch, stopping, tmp_path / "out", "on_train_batch_end", nth), expected)


# --- whose state it is ---


def left_behind(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, out: Path) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Resumable", dying("on_train_batch_end", 7, killed))
        with pytest.raises(Killed):
            train(recipe, out)
    (state,) = (out / "state").glob("*.ckpt")
    return state


def test_the_state_of_another_recipe_or_of_other_data_is_not_used(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = left_behind(recipe(seed=1), monkeypatch, tmp_path)
    assert loop.Run(tmp_path, recipe(seed=1), fingerprint="other").step == 0
    assert_same_end(train(recipe(), tmp_path), whole(recipe()))
    assert not state.exists()


def test_a_state_is_plain_values_and_tensors(recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = left_behind(recipe(rule={"id": "sam"}, early_stopping={"patience": 2}), monkeypatch, tmp_path)
    assert torch.load(state, weights_only=True)["global_step"] == 6


def test_a_state_that_cannot_be_read_is_not_the_end(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = left_behind(recipe(), monkeypatch, tmp_path)
    state.write_bytes(state.read_bytes()[:1000])
    assert_same_end(train(recipe(), tmp_path), whole(recipe()))
    assert f"{state} cannot be read; beginning anew" in caplog.messages


# --- stopped from outside ---


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_from_outside_is_a_keyboard_interrupt_and_the_next_run_goes_on(
    recipe: Any, whole: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sign: signal.Signals
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Resumable", dying("on_train_batch_end", 6, lambda: os.kill(os.getpid(), sign)))
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert_same_end(train(recipe(), tmp_path), whole(recipe()))


def test_the_command_says_how_to_go_on_and_exits_with_130(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe().model_dump(mode="json")))
    monkeypatch.setattr(sys, "argv", ["verisight", "train", str(file), "--out", str(tmp_path / "out")])
    monkeypatch.setattr(loop, "Resumable", dying("on_train_batch_end", 6, lambda: os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(SystemExit) as stopped:
        main.run()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "verisight: interrupted; run the same command again to go on\n"


def test_a_refusal_inside_the_training_stays_one(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no longer finite after step \d+; lower it"):
        train(recipe(optimiser={"name": "sgd", "lr": 1e30}), tmp_path)
