"""From scores to probabilities, fitted on the select split."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from verisight.core.checkpoint import Calibration
from verisight.evaluate.protocol import Scores, Select, require_select

BOUNDS = (0.05, 20.0)  # separable data would send the temperature to zero, inverted or useless data to infinity


def fit_temperature(scores: Scores[Select]) -> Calibration:
    """The temperature T within BOUNDS with the least negative log-likelihood of sigmoid(score / T) (Guo et al. 2017).

    Scores that separate the classes get the lower bound, scores that rank them the wrong way round the upper one.
    The prior: rows count as they come, neither class is weighted, and there is no bias term. So probabilities hold for
    data with the share of positives of the select split, which `fitted_on` states; elsewhere they are to be moved by
    the log odds of the two shares. A score of 0 stays a probability of 1/2, and the ranking stays what it was.

    Raises
    ------
    DataError : the scores are not of a select split, or hold one class only.
    """
    require_select(scores, "a temperature", needs=(0, 1))
    signed = np.where(scores.label == 1, -scores.score, scores.score)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, signed / np.exp(log_temperature)).mean())

    low, high = np.log(BOUNDS)
    best = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8}).x)
    # The bounded search never evaluates the bounds themselves, and stops a little short of them.
    temperature = np.exp(min((low, best, high), key=loss))
    fitted_on = f"select {scores.fingerprint}, {len(scores)} files, {scores.label.mean():.0%} positive"
    return Calibration(temperature=float(temperature), fitted_on=fitted_on)
