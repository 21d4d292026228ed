"""What a person gets for one file. The JSON form is the stable contract of `verisight scan --format jsonl`."""

from __future__ import annotations

from typing import Literal

from verisight.core.value import Value

Box = tuple[float, float, float, float]


class FaceVerdict(Value):
    """One face in one picture.

    box : x, y, width, height in pixels of the upright picture.
    score : calibrated probability that this face is fake, 0..1.
    time_s : seconds from the start of the clip; null for a picture.
    """

    box: Box
    score: float
    time_s: float | None


class Verdict(Value):
    """One file.

    path : as it was given.
    status : `scored`; `abstained`, the file was read but cannot be judged; `failed`, it could not be read.
    label : `fake` or `real`; null unless scored.
    probability : calibrated probability of fake, 0..1; null unless scored.
    threshold : the probability from which on the label is `fake`.
    reason : one line: why there is no score, or what to keep in mind about it; null when there is nothing to say.
    faces : every face that was scored, in time order.
    detector : name and fingerprint of the weights.
    seconds : that the file took.
    """

    path: str
    status: Literal["scored", "abstained", "failed"]
    label: Literal["fake", "real"] | None = None
    probability: float | None = None
    threshold: float
    reason: str | None = None
    faces: tuple[FaceVerdict, ...] = ()
    detector: str
    seconds: float
