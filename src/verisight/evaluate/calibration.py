"""From scores to probabilities, fitted on the select split: temperature, Platt, isotonic.

The prior, in all of them: rows count as they come, and neither class is weighted. So probabilities hold for data with
the share of positives of the select split, which `fitted_on` states; elsewhere they are to be moved by the log odds of
the two shares. None of them turns a ranking round.

Every fit raises DataError where the scores are not of a select split, or hold one class only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from verisight.core.checkpoint import Calibration
from verisight.evaluate.protocol import TEXTS, Scores, Select, require_select

BOUNDS = (0.05, 20.0)  # separable data would send the temperature to zero, inverted or useless data to infinity


def fit_temperature(scores: Scores[Select]) -> Calibration:
    """The temperature T within BOUNDS with the least negative log-likelihood of sigmoid(score / T) (Guo et al. 2017).

    Scores that separate the classes get the lower bound, scores that rank them the wrong way round the upper one. There
    is no bias term: a score of 0 stays a probability of 1/2, and the ranking stays what it was.
    """
    require_select(scores, "a temperature", needs=(0, 1))
    signed = np.where(scores.label == 1, -scores.score, scores.score)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, signed / np.exp(log_temperature)).mean())

    low, high = np.log(BOUNDS)
    best = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8}).x)
    # The bounded search never evaluates the bounds themselves, and stops a little short of them.
    temperature = np.exp(min((low, best, high), key=loss))
    return Calibration(temperature=float(temperature), fitted_on=_seen(scores))


def fit_platt(scores: Scores[Select]) -> Calibration:
    """sigmoid(a s + b) with the least cross-entropy to smoothed targets (Platt 1999, sec. 2.2; Lin, Lin, Weng 2007).

    Of N+ positives and N- negatives, the targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2): as if each class had been
    seen twice more, once on each side, so that a and b stay finite on separable scores. The temperature 1 / a lies
    within BOUNDS: Platt leaves a free and would call the lower score the likelier fake where a ranking is inverted.
    """
    require_select(scores, "a Platt scaling", needs=(0, 1))
    label, s = scores.label, scores.score
    positives, negatives = int((label == 1).sum()), int((label == 0).sum())
    target = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    unit = max(float(np.abs(s).max()), 1.0)  # the search runs in scores of at most 1, so that a step is a step

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = x[0] * s / unit + x[1]
        off = np.exp(-np.logaddexp(0, -z)) - target  # sigmoid(z) - target, without overflow
        return float((np.logaddexp(0, z) - target * z).mean()), np.array([(off * s / unit).mean(), off.mean()])

    start = np.array([unit, np.log((positives + 1) / (negatives + 1))])
    bounds = [(unit / BOUNDS[1], unit / BOUNDS[0]), (None, None)]
    a, b = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    ).x
    return Calibration(temperature=float(unit / a), bias=float(b), fitted_on=_seen(scores))


def fit_isotonic(scores: Scores[Select]) -> Calibration:
    """The rising step function with the least squared error (Zadrozny, Elkan 2002), joined by lines, as knots.

    Between steps the probability follows a line, beyond the outermost scores it is theirs. Within a step scores become
    ties, so rankings by probability lose what the step cannot tell; the AUC is taken of the scores and keeps it. Steps
    at 0 and 1 claim a certainty that a few hundred files cannot give: prefer it where thousands were seen.
    """
    from sklearn.isotonic import IsotonicRegression

    require_select(scores, "an isotonic calibration", needs=(0, 1))
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores.score, scores.label)
    knots = zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True)
    return Calibration(knots=tuple(knots), fitted_on=_seen(scores))


def with_band(
    fit: Callable[[Scores[Select]], Calibration], scores: Scores[Select], *, resamples: int = 200, seed: int = 0
) -> Calibration:
    """A fit with the band of its probabilities: refitted on `resamples` draws of whole groups with replacement.

    Draws without one of the classes are left out. Outside the scores that were seen, the ends of the band hold.
    """
    fitted = fit(scores)
    groups, cluster = np.unique(scores.group, return_inverse=True)
    rows = np.split(np.argsort(cluster, kind="stable"), np.cumsum(np.bincount(cluster))[:-1])
    grid = np.unique(np.linspace(scores.score.min(), scores.score.max(), 41))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        chosen = np.concatenate([rows[g] for g in rng.integers(0, len(groups), len(groups))])
        if 0 < scores.label[chosen].sum() < len(chosen):
            drawn.append(fit(_rows(scores, chosen)).probability(grid))
    if not drawn:
        return fitted
    low, high = np.maximum.accumulate(np.quantile(drawn, [0.025, 0.975], axis=0), axis=1)
    band = zip(grid.round(4).tolist(), low.round(4).tolist(), high.round(4).tolist(), strict=True)
    return fitted.model_copy(update={"band": tuple(band)})


def _rows(scores: Scores[Select], chosen: np.ndarray) -> Scores[Select]:
    columns = {name: getattr(scores, name)[chosen] for name in ("label", "score", *TEXTS)}
    return Scores(split=scores.split, fingerprint=scores.fingerprint, **columns)


FITS: dict[str, Callable[[Scores[Select]], Calibration]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
    "none": lambda scores: Calibration(),
}


def _seen(scores: Scores[Select]) -> str:
    return f"select {scores.fingerprint}, {len(scores)} files, {scores.label.mean():.0%} positive"
