"""The log of a run is whole lines of JSON, and a run that goes on from a step forgets what was written after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from verisight.engine import logs
from verisight.engine.logs import JSONLines, loggers
from verisight.engine.train import train


@pytest.fixture
def log(tmp_path: Path) -> JSONLines:
    made = JSONLines(tmp_path / "deep" / "log.jsonl")
    for step in (0, 10, 20):
        made.log_metrics({"loss": 1 / (step + 1), "epoch": step // 10}, step)
    return made


def lines(log: JSONLines) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.file.read_text().splitlines()]


def test_a_line_holds_the_step_and_the_figures(log: JSONLines) -> None:
    assert lines(log)[1] == {"step": 10, "loss": 1 / 11, "epoch": 1}


def test_what_is_not_finite_is_null_for_any_reader_of_json(log: JSONLines) -> None:
    log.log_metrics({"loss": float("nan"), "auc": float("inf"), "epoch": 3}, 30)
    strict = json.loads(log.file.read_text().splitlines()[-1], parse_constant=pytest.fail)
    assert strict == {"step": 30, "loss": None, "auc": None, "epoch": 3}


@pytest.mark.parametrize(("step", "kept"), [(0, []), (10, [0]), (11, [0, 10]), (99, [0, 10, 20])])
def test_a_restart_forgets_its_step_and_all_later_ones(log: JSONLines, step: int, kept: list[int]) -> None:
    log.restart_at(step)
    assert [line["step"] for line in lines(log)] == kept


@pytest.mark.parametrize("cut", [b'{"step": 3', b'{"step": 3, "loss', b'{"step": 3, "x": "\xc3', b"null", b"{}", b""])
def test_a_restart_forgets_a_line_that_was_cut_short(log: JSONLines, cut: bytes) -> None:
    with open(log.file, "ab") as file:
        file.write(cut)
    log.restart_at(99)
    log.log_metrics({"loss": 0.5}, 99)
    assert [line["step"] for line in lines(log)] == [0, 10, 20, 99]


def test_a_restart_without_a_log_is_no_error(tmp_path: Path) -> None:
    JSONLines(tmp_path / "log.jsonl").restart_at(5)
    assert not list(tmp_path.iterdir())


def test_without_tensorboard_there_is_the_log_alone(tmp_path: Path) -> None:
    assert [type(logger) for logger in loggers(tmp_path, 0)] == [JSONLines]


def test_tensorboard_gets_the_same_figures(recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.undo()  # brings TensorBoard back
    train(recipe(trainer={"max_epochs": 1}), tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    written = [(event.step, event.value) for event in events.Scalars("loss/cross_entropy")]
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert written == [
        (line["step"], pytest.approx(line["loss/cross_entropy"])) for line in logged if "loss" in str(line)
    ]
    assert len(written) == 4
    assert logs.find_spec("tensorboard")
