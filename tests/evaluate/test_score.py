"""A file at several qualities is a row for each, and every quality has figures at the one threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import EvaluateSpec
from verisight.data.manifest import Manifest
from verisight.data.quality import h264, jpeg
from verisight.evaluate.protocol import Protocol, Report, Scores
from verisight.evaluate.score import crops_at, joined

HALF = Threshold(value=0.5, rule="fixed", fitted_on="nothing")
PLAIN = Preprocess(size=32, jpeg_quality=90)


def pictures(folder: Path, number: int = 4) -> Manifest:
    rng = np.random.default_rng(0)
    for i in range(number):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    columns = {"path": [f"{i}.png" for i in range(number)], "label": [i % 2 for i in range(number)]}
    return Manifest.from_columns({**columns, "split": ["test"] * number}, folder)


def scores(offset: float, quality: str = "") -> Scores[Report]:
    name = np.array([f"{i}.png" for i in range(8)])
    label = np.arange(8) % 2
    return Scores(
        split=Report,
        fingerprint="f",
        label=label,
        score=label * 2.0 - 1 + offset,
        path=name,
        group=name,
        generator=np.where(label, "swap", "real"),
        source=np.where(label, "", "camera"),
        quality=np.full(8, quality),
    )


def test_a_quality_comes_before_the_detectors_own_jpeg(tmp_path: Path) -> None:
    manifest = pictures(tmp_path)
    found = crops_at(manifest, PLAIN, ("raw", "jpeg:30", "c40"), whole=True)
    stored = [np.asarray(Image.open(path)) for path in manifest.paths()]
    assert list(found) == ["raw", "jpeg:30", "c40"]
    np.testing.assert_array_equal(found["raw"].images, [jpeg(p, 90) for p in stored])
    np.testing.assert_array_equal(found["jpeg:30"].images, [jpeg(jpeg(p, 30), 90) for p in stored])
    np.testing.assert_array_equal(found["c40"].images, [jpeg(next(h264([p], 40)), 90) for p in stored])


def test_without_qualities_the_crops_are_as_they_are(tmp_path: Path) -> None:
    found = crops_at(pictures(tmp_path), PLAIN, (), whole=True)
    raw = crops_at(pictures(tmp_path), PLAIN, ("raw",), whole=True)
    np.testing.assert_array_equal(found[""].images, raw["raw"].images)


def test_an_unknown_quality_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no operation of this name"):
        crops_at(pictures(tmp_path), PLAIN, ("raw", "jpg:40"), whole=True)


def test_every_quality_has_a_scope_and_all_are_pooled() -> None:
    """Each quality alone is told apart without a fault; in one list, and at one threshold, the shifted one is not."""
    both = joined({"raw": scores(0.0), "c40": scores(2.5)})
    found = Protocol(EvaluateSpec(resamples=100)).report(both, Calibration(), HALF)
    assert list(found)[:3] == ["all", "quality raw", "quality c40"]
    assert [found[scope]["auc"].value for scope in list(found)[:3]] == [0.75, 1.0, 1.0]
    assert [found[scope]["fpr"].value for scope in list(found)[:3]] == [0.5, 0.0, 1.0]
    assert found["all"]["auc"].groups == 8  # a file is one group, at whatever quality


def test_one_quality_has_no_scope_of_its_own() -> None:
    protocol = Protocol(EvaluateSpec(resamples=100))
    for quality in ("", "c23"):
        found = protocol.report(scores(0.0, quality), Calibration(), HALF)
        assert not [scope for scope in found if scope.startswith("quality")]


def test_qualities_of_one_video_are_never_averaged() -> None:
    both = joined({"raw": scores(0.0), "c40": scores(2.5)})
    assert len(both.by("video")) == 16
