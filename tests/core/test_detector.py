"""A detector scores what it promises to take, refuses the rest by name, and judges every item by itself."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verisight.core import detector
from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.checkpoint import Card, verdict_fingerprint
from verisight.core.detector import Detector, checkpoint_path
from verisight.core.errors import InputError, MissingWeights
from verisight.core.places import WEIGHTS
from verisight.core.preprocess import Preprocess

CARD = Card(
    name="mean",
    method="user",
    task="deepfake",
    positive="fake",
    recipe={},
    preprocess=Preprocess(size=16),
    aggregate="mean-of-faces",
)
BATCH = np.random.default_rng(0).standard_normal((5, 3, 16, 16))


@pytest.fixture
def mean() -> Detector:
    return Detector(CARD, lambda batch: batch.mean(axis=(1, 2, 3)))


def test_distances_become_the_share_of_faces_that_are_more_usual() -> None:
    card = CARD.model_copy(update={"novelty": (1.0, 2.0, 4.0)})
    mine = Detector(card, lambda batch: (batch.mean(axis=(1, 2, 3)), np.array([0.5, 1.5, 2.0, 3.0, 9.0], np.float32)))
    score, novelty = mine.measure(BATCH)
    np.testing.assert_allclose(novelty, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(score, mine.score(BATCH))


def test_without_an_idea_of_what_is_usual_nothing_is_said_of_it(mean: Detector) -> None:
    assert mean.measure(BATCH).novelty is None
    silent = Detector(CARD, lambda batch: (batch.mean(axis=(1, 2, 3)), np.ones(len(batch), np.float32)))
    assert silent.measure(BATCH).novelty is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_users_callable_is_a_detector(mean: Detector, dtype: type) -> None:
    scores = mean.score(BATCH.astype(dtype))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, BATCH.mean(axis=(1, 2, 3)), atol=1e-3)


def test_the_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(detector) == doctest.TestResults(failed=0, attempted=4)


def test_it_is_called_with_contiguous_float32_rows() -> None:
    seen: list[Any] = []
    mine = Detector(CARD, lambda batch: seen.append(batch) or np.zeros((len(batch), 1)))
    assert mine.score(BATCH.transpose(0, 1, 3, 2)[::2]).shape == (3,)
    assert seen[0].dtype == np.float32
    assert seen[0].flags["C_CONTIGUOUS"]


def test_the_batch_is_left_alone(mean: Detector) -> None:
    before = BATCH.copy()
    mean.score(BATCH)
    np.testing.assert_array_equal(BATCH, before)


def _with(value: float) -> np.ndarray:
    batch = BATCH.copy()
    batch[3, 1, 4, 5] = value
    return batch


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (BATCH[0], "expects a batch (N, 3, 16, 16), got (3, 16, 16)"),
        (BATCH.transpose(0, 2, 3, 1), "got (5, 16, 16, 3)"),
        (BATCH[:, :1], "got (5, 1, 16, 16)"),
        (BATCH[..., :8], "got (5, 3, 16, 8)"),
        (BATCH[None], "got (1, 5, 3, 16, 16)"),
        (np.float32(1), "got ()"),
        (BATCH[:0], "the batch is empty"),
        ((BATCH * 10).astype(np.uint8), "expects floating-point numbers, got uint8"),
        (BATCH > 0, "got bool"),
        (BATCH.astype(complex), "got complex128"),
        (BATCH.astype(object), "got object"),
        (BATCH.astype(str), "expects floating-point numbers"),
        (_with(np.nan), "NaN or infinite"),
        (_with(np.inf), "NaN or infinite"),
        pytest.param(_with(1e300), "NaN or infinite", marks=pytest.mark.filterwarnings("ignore:overflow")),
    ],
)
def test_a_wrong_batch_is_refused_by_name(mean: Detector, batch: Any, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        mean.score(batch)
    assert caught.value.thing == "mean"
    assert reason in str(caught.value)


def test_a_callable_with_two_columns_is_refused_instead_of_scoring_twice() -> None:
    with pytest.raises(InputError, match="10 scores for 5 rows"):
        Detector(CARD, lambda batch: np.zeros((len(batch), 2))).score(BATCH)


def test_what_it_says_of_itself_is_its_card(mean: Detector) -> None:
    assert (mean.name, mean.preprocess) == ("mean", CARD.preprocess)
    assert (mean.threshold, mean.calibrator) == (CARD.threshold, CARD.calibration)


def test_a_score_does_not_depend_on_the_batch_it_came_in(tiny_checkpoint: Path) -> None:
    tiny = Detector.load(tiny_checkpoint, runtime="torch")
    batch = np.random.default_rng(1).standard_normal((6, 3, 32, 32)).astype(np.float32)
    batch[5] *= 30  # a loud neighbour
    together = tiny.score(batch)
    assert np.ptp(together) > 0.1
    np.testing.assert_allclose(np.concatenate([tiny.score(row[None]) for row in batch]), together, atol=1e-4)
    np.testing.assert_allclose(tiny.score(batch[::-1]), together[::-1], atol=1e-4)
    np.testing.assert_allclose(tiny.score(batch), together, atol=0)


def test_a_checkpoint_is_known_by_its_content(tiny_checkpoint: Path) -> None:
    assert Detector.load(str(tiny_checkpoint), runtime="torch").fingerprint == verdict_fingerprint(tiny_checkpoint)


def test_a_name_of_the_catalogue_is_a_file_of_the_package() -> None:
    assert checkpoint_path(DEFAULT_DETECTOR) == WEIGHTS / f"{DEFAULT_DETECTOR}.safetensors"


def test_an_unknown_name_is_answered_with_the_nearest_and_a_missing_file_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"depfake: neither .* did you mean 'deepfake'\?"):
        Detector.load("depfake")
    with pytest.raises(MissingWeights, match="no such checkpoint file"):
        Detector.load(tmp_path / "gone.safetensors")
    with pytest.raises(MissingWeights, match="no such checkpoint file"):
        Detector.load(tmp_path)
