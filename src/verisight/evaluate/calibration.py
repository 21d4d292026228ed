"""From scores to probabilities, fitted on the select split."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from verisight.core.checkpoint import Calibration
from verisight.evaluate.metrics import both_classes
from verisight.evaluate.protocol import Scores, Select, require_select

BOUNDS = (0.05, 20.0)  # separable data would send the temperature to zero, useless data to infinity


def fit_temperature(scores: Scores[Select]) -> Calibration:
    """The temperature T in BOUNDS that minimises the negative log-likelihood of sigmoid(score / T) (Guo et al. 2017).

    Rows count as they come: the probabilities hold for the share of fakes in the select split.
    """
    require_select(scores, "a temperature")
    y, s = both_classes(scores.label, scores.score)
    sign = 1 - 2 * y

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, sign * s / np.exp(log_temperature)).mean())

    low, high = np.log(BOUNDS)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    fitted_on = f"select {scores.fingerprint}, {len(scores)} files, {y.mean():.0%} fake"
    return Calibration(temperature=float(np.exp(best.x)), fitted_on=fitted_on)
