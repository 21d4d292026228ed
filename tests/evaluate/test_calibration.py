"""Temperature scaling recovers what is known, and sees select data only."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from verisight.core.errors import DataError
from verisight.evaluate.calibration import BOUNDS, fit_temperature
from verisight.evaluate.metrics import auc, ece
from verisight.evaluate.protocol import Fit, Report, Scores, Select, Split


def scores_of(label: np.ndarray, score: np.ndarray, split: type[Split] = Select) -> Scores:
    name = np.array([f"{i}.png" for i in range(len(label))])
    return Scores(
        split=split, fingerprint="feed", path=name, label=label, score=score, group=name, generator=name, source=name
    )


def drawn_from(temperature: float, rows: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are 1 with probability sigmoid(logit / temperature)."""
    rng = np.random.default_rng(0)
    score = rng.normal(0.5, 3, rows)
    return (rng.random(rows) < 1 / (1 + np.exp(-score / temperature))).astype(np.int64), score


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    fitted = fit_temperature(scores_of(*drawn_from(temperature))).temperature
    assert_allclose(fitted, temperature, rtol=0.04)


def test_at_the_optimum_the_derivative_of_the_likelihood_is_zero() -> None:
    y, s = drawn_from(2.0, rows=500)
    fitted = fit_temperature(scores_of(y, s))
    # d NLL / d (1/T) = mean of (sigmoid(s / T) - y) s
    assert_allclose(((fitted.probability(s) - y) * s).mean(), 0, atol=1e-5)


def test_overconfident_scores_become_calibrated_and_keep_their_order() -> None:
    y, s = drawn_from(4.0)
    fitted = fit_temperature(scores_of(y, s))
    raw = 1 / (1 + np.exp(-s))
    assert ece(y, raw) > 0.1
    assert ece(y, fitted.probability(s)) < 0.015
    assert auc(y, fitted.probability(s)) == auc(y, s)


def test_separable_scores_stop_at_the_lower_bound_and_inverted_ones_at_the_upper() -> None:
    y, s = np.array([0, 0, 1, 1]), np.array([-2.0, -1.0, 1.0, 2.0])
    assert_allclose(fit_temperature(scores_of(y, s)).temperature, BOUNDS[0])
    assert_allclose(fit_temperature(scores_of(y, -s)).temperature, BOUNDS[1])


def test_huge_logits_do_not_overflow() -> None:
    y, s = np.array([0, 1, 0, 1]), np.array([-1e6, 1e6, 1e6, 1e6])
    assert np.isfinite(fit_temperature(scores_of(y, s)).temperature)


def test_the_prior_is_that_of_the_select_split_and_stated() -> None:
    y, s = drawn_from(1.0, rows=2000)
    keep = (y == 0) | (np.arange(2000) % 10 == 0)  # one fake in ten
    fitted = fit_temperature(scores_of(y[keep], s[keep]))
    assert fitted.fitted_on == f"select feed, {keep.sum()} files, {y[keep].mean():.0%} positive"
    everything_twice = fit_temperature(scores_of(np.tile(y[keep], 2), np.tile(s[keep], 2)))
    assert_allclose(everything_twice.temperature, fitted.temperature, rtol=1e-5)


@pytest.mark.parametrize("split", [Fit, Report])
def test_other_data_than_select_are_refused(split: type[Split]) -> None:
    with pytest.raises(DataError, match=f"a temperature: was to be chosen on {split.__name__.lower()} data"):
        fit_temperature(scores_of(*drawn_from(1.0, rows=50), split))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="a temperature: the 3 rows hold no negatives"):
        fit_temperature(scores_of(np.ones(3, np.int64), np.arange(3.0)))
