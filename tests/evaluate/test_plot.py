"""Plots of records: equal values give equal files, and what is drawn is what was counted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from verisight.core.checkpoint import Calibration, Threshold
from verisight.evaluate.abstention import doubt, risk_coverage
from verisight.evaluate.intervals import Interval
from verisight.evaluate.plot import abstention_curve, calibration_curve, reliability, robustness_plot
from verisight.evaluate.protocol import Report, Scores

PROBABILITY = np.array([0.02, 0.05, 0.11, 0.55, 0.58, 0.95, 0.97, 1 - 1e-12])
LABEL = np.array([0, 0, 1, 0, 1, 1, 1, 0])
NAMES = np.array([f"{i}.png" for i in range(len(LABEL))])
SCORES = Scores(
    split=Report,
    fingerprint="feed",
    path=NAMES,
    label=LABEL,
    score=np.log(PROBABILITY) - np.log1p(-PROBABILITY),
    group=NAMES,
    generator=np.where(LABEL == 1, "swap", "real"),
    source=np.where(LABEL == 1, "", "camera"),
)


def words(path: Path) -> str:
    """What a reader of the page can search: text stays text."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8")))


def test_bins_hold_what_was_claimed_and_what_was_found() -> None:
    found = reliability(SCORES, Calibration())
    assert [b.files for b in found] == [2, 1, 2, 3]
    assert [b.claimed for b in found] == pytest.approx([0.035, 0.11, 0.565, (0.95 + 0.97 + 1) / 3])
    assert [b.fakes.value for b in found] == pytest.approx([0, 1, 1 / 2, 2 / 3])


def test_more_bins_are_never_fewer_files() -> None:
    for bins in (1, 3, 17):
        assert sum(b.files for b in reliability(SCORES, Calibration(), bins=bins)) == len(LABEL)


def test_equal_values_give_equal_files(tmp_path: Path) -> None:
    threshold = Threshold(value=0.9, rule="fpr@0.05", fitted_on="select")
    clear = Threshold(value=0.1, rule="fnr@0.1", fitted_on="select")
    curve = risk_coverage(SCORES, Calibration(), threshold, resamples=100)
    shipped = doubt(SCORES, Calibration(), clear, threshold, resamples=100)
    figures = {name: {"a vs b": Interval(value=v, groups=9, low=v - 0.1, high=v + 0.1)} for name, v in (("raw", 0.8),)}
    draw = {
        "calibration": lambda path: calibration_curve(SCORES, Calibration(), path),
        "abstention": lambda path: abstention_curve(curve, shipped, path),
        "robustness": lambda path: robustness_plot(figures, ["a vs b"], path),
    }
    for name, drawn in draw.items():
        for turn in "12":
            drawn(tmp_path / f"{name}{turn}.svg")
        assert (tmp_path / f"{name}1.svg").read_bytes() == (tmp_path / f"{name}2.svg").read_bytes()
    assert "probability of fake, as given" in words(tmp_path / "calibration1.svg")
    assert "shipped zone of doubt" in words(tmp_path / "abstention1.svg")
    assert "raw" in words(tmp_path / "robustness1.svg")
    assert "a vs b" in words(tmp_path / "robustness1.svg")


def test_a_detector_without_a_zone_has_a_curve_without_a_mark(tmp_path: Path) -> None:
    threshold = Threshold(value=0.9, rule="fpr@0.05", fitted_on="select")
    curve = risk_coverage(SCORES, Calibration(), threshold, resamples=50)
    abstention_curve(curve, None, tmp_path / "none.svg")
    assert "shipped" not in words(tmp_path / "none.svg")
