"""Every shipped detector keeps the contract, and each way of breaking it is called by the name of its clause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verisight.core import catalogue
from verisight.core.checkpoint import Calibration, Card
from verisight.core.detector import Detector
from verisight.core.errors import InputError
from verisight.core.preprocess import Preprocess
from verisight.testing import ContractError, check_detector, name_of
from verisight.testing.detector import CHECKPOINT_CLAUSES, DETECTOR_CLAUSES, DetectorCase

CARD = Card(
    name="mean",
    method="user",
    task="deepfake",
    positive="fake",
    recipe={},
    preprocess=Preprocess(size=16),
    aggregate="mean-of-faces",
)


def rows_mean(batch: np.ndarray) -> np.ndarray:
    return batch.mean(axis=(1, 2, 3))


@pytest.mark.parametrize("entry", catalogue.entries("detector"), ids=lambda e: e.id)
def test_shipped_detectors_keep_the_contract(entry: catalogue.Entry) -> None:
    check_detector(entry.id)


def test_a_checkpoint_keeps_the_contract(tiny_checkpoint: Path) -> None:
    check_detector(tiny_checkpoint, np.random.default_rng(3).standard_normal((4, 3, 32, 32)).astype(np.float32))


def test_a_users_callable_keeps_the_contract() -> None:
    check_detector(Detector(CARD, rows_mean))


# --- planted faults ---


def noisy(batch: np.ndarray) -> np.ndarray:
    return rows_mean(batch) + np.random.default_rng().standard_normal(len(batch)).astype(np.float32)


def overwriting(batch: np.ndarray) -> np.ndarray:
    scores = rows_mean(batch)
    batch *= 2
    return scores


class Unguarded(Detector):
    """Hands everything to its scorer."""

    def score(self, batch: Any) -> np.ndarray:
        return np.asarray(self._scorer(np.asarray(batch)), np.float32).reshape(-1)


class Lenient(Detector):
    """Passes over one kind of fault that its parent refuses."""

    reason = ""

    def score(self, batch: Any) -> np.ndarray:
        try:
            return super().score(batch)
        except InputError as error:
            if self.reason not in error.reason:
                raise
            return np.zeros(1, np.float32)


def lenient(reason: str) -> Detector:
    detector = Lenient(CARD, rows_mean)
    detector.reason = reason
    return detector


class Wrong(Calibration):
    """A calibration whose probabilities are what the test says."""

    kind: str = ""

    def probability(self, score: Any) -> np.ndarray:
        if self.kind == "falling":
            return 1 - super().probability(score)
        return np.asarray(score, float)


def calibrated(kind: str) -> Detector:
    return Detector(CARD.model_copy(update={"calibration": Wrong(kind=kind)}), rows_mean)


PLANTED: list[tuple[str, Callable[[], Detector]]] = [
    ("scores_are_finite_float32_one_a_row", lambda: Unguarded(CARD, lambda b: np.zeros((len(b), 2)))),
    ("scores_are_finite_float32_one_a_row", lambda: Detector(CARD, lambda b: rows_mean(b) / 0)),
    ("scores_repeat", lambda: Detector(CARD, noisy)),
    ("a_score_does_not_depend_on_its_batch", lambda: Detector(CARD, lambda b: rows_mean(b) - b.mean())),
    ("a_score_does_not_depend_on_its_batch", lambda: Detector(CARD, lambda b: rows_mean(b) / np.abs(b).max())),
    ("a_score_does_not_depend_on_its_batch", lambda: Detector(CARD, lambda b: rows_mean(b) + np.arange(len(b)))),
    ("the_batch_is_left_alone", lambda: Detector(CARD, overwriting)),
    ("nan_is_refused", lambda: lenient("NaN")),
    ("an_empty_batch_is_refused", lambda: lenient("empty")),
    ("a_wrong_shape_is_refused", lambda: lenient("expects a batch")),
    ("integers_are_refused", lambda: lenient("floating-point")),
    ("probabilities_never_fall_and_stay_in_0_to_1", lambda: calibrated("falling")),
    ("probabilities_never_fall_and_stay_in_0_to_1", lambda: calibrated("wide")),
]


@pytest.mark.parametrize(("name", "broken"), PLANTED)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_planted_fault_is_called_by_the_name_of_its_clause(name: str, broken: Callable[[], Detector]) -> None:
    clause = next(c for c in DETECTOR_CLAUSES if name_of(c) == name)
    clause(DetectorCase(Detector(CARD, rows_mean)))
    with pytest.raises(ContractError) as caught:
        clause(DetectorCase(broken()))
    assert caught.value.clause == name
    assert str(caught.value).startswith(f"detector mean breaks the clause '{name}': ")


def test_infinity_let_in_is_called_by_its_clause() -> None:
    class FiniteOrNan(Detector):
        def score(self, batch: Any) -> np.ndarray:
            return super().score(np.where(np.isinf(batch), 0, batch))

    with pytest.raises(ContractError, match="'infinity_is_refused': a batch with infinity was scored"):
        check_detector(FiniteOrNan(CARD, rows_mean))


def test_a_refusal_without_the_detectors_name_or_of_another_kind_does_not_count() -> None:
    class Nameless(Detector):
        def score(self, batch: Any) -> np.ndarray:
            if np.isnan(batch).any():
                raise InputError("batch", "NaN")
            return super().score(batch)

    class Crashing(Detector):
        def score(self, batch: Any) -> np.ndarray:
            assert not np.isnan(batch).any()
            return super().score(batch)

    with pytest.raises(ContractError, match=r"'nan_is_refused'.*not by the detector's name"):
        check_detector(Nameless(CARD, rows_mean))
    with pytest.raises(ContractError, match=r"'nan_is_refused'.*AssertionError instead of InputError"):
        check_detector(Crashing(CARD, rows_mean))


# --- checkpoints ---


def shifting(monkeypatch: pytest.MonkeyPatch, runtime: str, *, after: int = 0) -> None:
    """Detectors loaded with this runtime, after so many loads, score a hundredth more and have another fingerprint."""
    load, loads = Detector.load.__func__, []

    def shifted(cls: type[Detector], path: Path, *, runtime: str = "onnx") -> Detector:
        detector = load(cls, path, runtime="torch")  # no export: only the fault is under test
        loads.append(runtime)
        if runtime != wanted or len(loads) <= after:
            return detector
        return Detector(detector.card, lambda batch: detector.score(batch) + 0.01, detector.fingerprint[::-1])

    wanted = runtime
    monkeypatch.setattr(Detector, "load", classmethod(shifted))


@pytest.mark.parametrize(("runtime", "after", "told"), [("onnx", 0, "ONNX and torch"), ("torch", 1, "loaded again")])
def test_a_runtime_that_scores_otherwise_is_caught(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, after: int, told: str
) -> None:
    shifting(monkeypatch, runtime, after=after)
    with pytest.raises(ContractError, match=f"'runtimes_agree'.*{told}"):
        CHECKPOINT_CLAUSES[0](DetectorCase(tiny_checkpoint))


def test_a_fingerprint_that_differs_between_loads_is_caught(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifting(monkeypatch, "onnx")
    with pytest.raises(ContractError, match="'the_fingerprint_is_stable'"):
        CHECKPOINT_CLAUSES[1](DetectorCase(tiny_checkpoint))


def test_a_checkpoint_without_a_fingerprint_is_caught(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Detector.load(tiny_checkpoint, runtime="torch")
    anonymous = Detector(whole.card, whole.score)
    monkeypatch.setattr(Detector, "load", classmethod(lambda *_, **__: anonymous))
    with pytest.raises(ContractError, match="without a fingerprint"):
        CHECKPOINT_CLAUSES[1](DetectorCase(tiny_checkpoint))
