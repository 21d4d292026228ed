"""How the scores of the faces in one file become one score, and how sure that is. The checkpoint names the rule.

Every rule is the mean of a series of scores, so the spread of the series tells how well the mean is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import RecipeError, nearest

Series = NDArray[np.float64]
Evidence = Callable[[Sequence[float], Sequence[float], Sequence[int] | None], Series]
Aggregate = Callable[[Sequence[float], Sequence[float]], float]


def highest_of_pictures(scores: Sequence[float], times_s: Sequence[float], people: Sequence[int] | None) -> Series:
    """The highest score of each picture, in time order: one forged face among many counts.

    scores, times_s, people : one per face; faces of one picture share a time, those of one person a number. People are
        None where nobody looked for them. Needs at least one face.
    """
    highest: dict[float, float] = {}
    for score, time_s in sorted(zip(scores, times_s, strict=True), key=lambda face: face[1]):
        highest[time_s] = max(score, highest.get(time_s, -np.inf))
    return np.array(list(highest.values()))


def every_face(scores: Sequence[float], times_s: Sequence[float], people: Sequence[int] | None) -> Series:
    """All scores, in time order, as most published detectors take them; arguments as `highest_of_pictures`."""
    return np.array(scores, np.float64)[np.argsort(times_s, kind="stable")]


def most_suspicious_person(scores: Sequence[float], times_s: Sequence[float], people: Sequence[int] | None) -> Series:
    """The scores, in time order, of the person whose mean is the highest; arguments as `highest_of_pictures`.

    Of crops without people (data sets) the faces of one picture are different people, and the highest of each is taken
    for the same: with the largest face of each picture, as `verisight train` and `eval` cut them, that is the mean
    over the pictures.
    """
    if people is None:
        return highest_of_pictures(scores, times_s, None)
    by_time = np.argsort(times_s, kind="stable")
    score, person = np.array(scores, np.float64)[by_time], np.array(people)[by_time]
    return max((score[person == one] for one in np.unique(person)), key=lambda series: float(series.mean()))


RULES: dict[str, Evidence] = {
    "mean-of-frame-max": highest_of_pictures,
    "mean-of-faces": every_face,
    "most-suspicious-person": most_suspicious_person,
}


def evidence(rule: str) -> Evidence:
    """The series whose mean is the score by the rule of this name; an unknown one is answered with the nearest."""
    if rule not in RULES:
        raise RecipeError(rule, "no aggregation of this name", nearest(rule, RULES))
    return RULES[rule]


def aggregate(rule: str) -> Aggregate:
    """From scores and times of the faces of a file to its score, where people are not told apart."""
    series = evidence(rule)
    return lambda scores, times_s: float(np.mean(series(scores, times_s, None)))


def mean_of_faces(scores: Sequence[float], times_s: Sequence[float]) -> float:
    """Mean over all faces of all pictures."""
    return float(np.mean(scores))


def mean_interval(series: Series) -> tuple[float, float]:
    """95 % interval of the mean of scores that follow each other in time, and so are not independent.

    With r the lag-1 autocorrelation, 1 / n added for its bias, cut to 0 .. 1, the n scores weigh as many as
    m = max(2, n (1 - r) / (1 + r)) independent ones. Their variance about their own mean is (n - n / m) / (n - 1) of
    the true one, hence

        low, high = mean -+ t(m - 1) sqrt(S / (n (m - 1)))          S = sum of (x - mean)^2

    (Bayley, Hammersley, J. R. Stat. Soc. Suppl. 8, 1946). With m = n it is Student's. A single score, or scores all
    alike, have no spread and give low = high.

    series : (n,) scores in time order, n >= 1.
    """
    n, mean = len(series), float(series.mean())
    away = series - mean
    squares = float(away @ away)
    if n < 2 or squares <= 1e-12 * max(1.0, mean**2):
        return mean, mean
    r = min(max(0.0, float(away[1:] @ away[:-1]) / squares + 1 / n), 1.0)
    m = max(2.0, n * (1 - r) / (1 + r))  # fewer than two would leave nothing to tell a spread from
    reach = _student(m - 1) * float(np.sqrt(squares / (n * (m - 1))))
    return mean - reach, mean + reach


def draw_interval(score: float, scores: Sequence[float]) -> tuple[float, float]:
    """95 % interval of what stands behind one score, that differs from it as these do from each other.

    score -+ t(n - 1) s, with the standard deviation s of n scores; low = high where there are fewer than two.
    """
    reach = _student(len(scores) - 1) * float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return score - reach, score + reach


def _student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
