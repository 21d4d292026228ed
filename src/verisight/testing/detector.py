"""The contract of a detector: one score an item, the same through every runtime, and nothing strange let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verisight.core.detector import Detector, Floats, checkpoint_path
from verisight.core.errors import InputError
from verisight.core.runtime import TOLERANCE
from verisight.testing.contract import clause, expect, run

LOUD = 30.0  # what the neighbours are multiplied by, so that a leak between rows would show


@dataclass(frozen=True)
class DetectorCase:
    """What the clauses look at.

    given : a detector, or a catalogue id or the path of a checkpoint; only the latter two can be loaded again.
    batch : (N, 3, S, S) float32 with N >= 3; by default five rows of noise.
    """

    given: Detector | str | Path
    batch: Floats | None = None

    def __str__(self) -> str:
        return f"detector {self.detector.name}"

    @cached_property
    def detector(self) -> Detector:
        return self.given if isinstance(self.given, Detector) else self.load("torch")

    @cached_property
    def rows(self) -> Floats:
        """The batch."""
        if self.batch is not None:
            return self.batch
        size = self.detector.preprocess.size
        return np.random.default_rng(0).standard_normal((5, 3, size, size)).astype(np.float32)

    def load(self, runtime: Any) -> Detector:
        """Anew from the checkpoint."""
        if isinstance(self.given, Detector):
            raise TypeError("a detector without a checkpoint cannot be loaded again")
        return Detector.load(checkpoint_path(self.given), runtime=runtime)


def check_detector(
    given: Detector | str | Path, batch: Floats | None = None, *, exempt: Mapping[str, str] | None = None
) -> None:
    """Hold a detector to its contract.

    given : a detector, a catalogue id, or the path of a checkpoint; CHECKPOINT_CLAUSES are for the latter two.
    batch : (N, 3, S, S) float32, N >= 3; by default noise.
    exempt : name of a clause -> why it does not hold here.

    Raises
    ------
    ContractError : names the first broken clause.
    """
    clauses = DETECTOR_CLAUSES if isinstance(given, Detector) else DETECTOR_CLAUSES + CHECKPOINT_CLAUSES
    run(clauses, DetectorCase(given, batch), exempt or {})


@clause
def scores_are_finite_float32_one_a_row(case: DetectorCase) -> None:
    scores = case.detector.score(case.rows)
    expect(isinstance(scores, np.ndarray) and scores.dtype == np.float32, f"type {getattr(scores, 'dtype', scores)}")
    expect(scores.shape == (len(case.rows),), f"shape {scores.shape} for {len(case.rows)} rows")
    expect(np.isfinite(scores).all(), f"scores {scores}")


@clause
def scores_repeat(case: DetectorCase) -> None:
    first, again = case.detector.score(case.rows), case.detector.score(case.rows)
    expect(np.array_equal(first, again), f"the same batch scored {first}, then {again}")


@clause
def a_score_does_not_depend_on_its_batch(case: DetectorCase) -> None:
    together = case.detector.score(case.rows)
    alone = np.concatenate([case.detector.score(row[None]) for row in case.rows])
    _close(alone, together, "a row alone and among others")
    _close(case.detector.score(case.rows[::-1])[::-1], together, "rows in reverse order")
    loud = case.rows.copy()
    loud[1:] *= LOUD
    _close(case.detector.score(loud)[:1], together[:1], "a row beside loud ones")


@clause
def the_batch_is_left_alone(case: DetectorCase) -> None:
    given = case.rows.copy()
    case.detector.score(given)
    expect(np.array_equal(given, case.rows), "score() changed its argument")


@clause
def nan_is_refused(case: DetectorCase) -> None:
    _refuses(case, _with(case.rows, np.nan), "a batch with NaN")


@clause
def infinity_is_refused(case: DetectorCase) -> None:
    _refuses(case, _with(case.rows, np.inf), "a batch with infinity")


@clause
def an_empty_batch_is_refused(case: DetectorCase) -> None:
    _refuses(case, case.rows[:0], "an empty batch")


@clause
def a_wrong_shape_is_refused(case: DetectorCase) -> None:
    _refuses(case, case.rows[0], "a single item without the axis of rows")
    _refuses(case, case.rows[..., :-1], "a batch of another size")
    _refuses(case, np.moveaxis(case.rows, 1, -1), "a batch with channels last")


@clause
def integers_are_refused(case: DetectorCase) -> None:
    _refuses(case, np.zeros(case.rows.shape, np.uint8), "a batch of bytes")
    _refuses(case, np.zeros(case.rows.shape, np.int64), "a batch of integers")


@clause
def probabilities_never_fall_and_stay_in_0_to_1(case: DetectorCase) -> None:
    ladder = np.concatenate([np.linspace(-1e4, 1e4, 201), np.linspace(-3, 3, 61)])
    ladder.sort()
    probability = np.asarray(case.detector.calibrator.probability(ladder))
    expect(probability.shape == ladder.shape, f"{len(ladder)} scores gave shape {probability.shape}")
    expect(np.isfinite(probability).all(), "a probability that is not finite")
    expect(probability.min() >= 0 and probability.max() <= 1, f"from {probability.min()} to {probability.max()}")
    expect((np.diff(probability) >= 0).all(), "a higher score with a lower probability")


@clause
def runtimes_agree(case: DetectorCase) -> None:
    reference = case.detector.score(case.rows)
    _close(case.load("onnx").score(case.rows), reference, "ONNX and torch")
    _close(case.load("torch").score(case.rows), reference, "torch and torch loaded again")


@clause
def the_fingerprint_is_stable(case: DetectorCase) -> None:
    seen = [case.detector.fingerprint, case.load("torch").fingerprint, case.load("onnx").fingerprint]
    expect(len(set(seen)) == 1, f"loads of one checkpoint gave {sorted(set(seen))}")
    expect(seen[0] not in ("", Detector.NO_FINGERPRINT), f"a checkpoint without a fingerprint: '{seen[0]}'")


DETECTOR_CLAUSES = (
    scores_are_finite_float32_one_a_row,
    scores_repeat,
    a_score_does_not_depend_on_its_batch,
    the_batch_is_left_alone,
    nan_is_refused,
    infinity_is_refused,
    an_empty_batch_is_refused,
    a_wrong_shape_is_refused,
    integers_are_refused,
    probabilities_never_fall_and_stay_in_0_to_1,
)
CHECKPOINT_CLAUSES = (runtimes_agree, the_fingerprint_is_stable)


def _close(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    worst = float(np.abs(found - expected).max())
    expect(worst <= TOLERANCE, f"{what} differ by {worst:.1e} (allowed {TOLERANCE:.0e})")


def _with(batch: Floats, value: float) -> Floats:
    spoilt = batch.copy()
    spoilt[-1, 1, 2, 3] = value
    return spoilt


def _refuses(case: DetectorCase, batch: NDArray[Any], what: str) -> None:
    """InputError that names the detector, and nothing else."""
    try:
        scores = case.detector.score(batch)
    except InputError as error:
        expect(case.detector.name in str(error), f"{what} is refused, but not by the detector's name: {error}")
    except Exception as error:
        expect(False, f"{what} ends in {type(error).__name__} instead of InputError: {error}")
    else:
        expect(False, f"{what} was scored: {scores}")
