"""How the scores of the faces in one file become one score. The checkpoint names the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from verisight.core.errors import RecipeError, nearest

Aggregate = Callable[[Sequence[float], Sequence[float]], float]


def mean_of_frame_max(scores: Sequence[float], times_s: Sequence[float]) -> float:
    """Mean over the pictures of a clip of the highest score in each: one forged face among many counts.

    scores, times_s : one per face; faces of one picture share a time. Needs at least one face.
    """
    highest: dict[float, float] = {}
    for score, time_s in zip(scores, times_s, strict=True):
        highest[time_s] = max(score, highest.get(time_s, -np.inf))
    return float(np.mean(list(highest.values())))


def mean_of_faces(scores: Sequence[float], times_s: Sequence[float]) -> float:
    """Mean over all faces of all pictures, as most published detectors do."""
    return float(np.mean(scores))


RULES: dict[str, Aggregate] = {"mean-of-frame-max": mean_of_frame_max, "mean-of-faces": mean_of_faces}


def aggregate(rule: str) -> Aggregate:
    """The rule of this name; an unknown one is answered with the nearest."""
    if rule not in RULES:
        raise RecipeError(rule, "no aggregation of this name", nearest(rule, RULES))
    return RULES[rule]
