"""How a face becomes a tensor, as one frozen value.

The value lives in `core` because recipes and checkpoints hold it; `verisight.data.faces` and
`verisight.data.preprocess` carry it out. Training and scanning use the same object.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from verisight.core.frames import canonical
from verisight.core.value import Value

Triple = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class Preprocess(Value):
    """The face crop and its normalisation.

    size : side of the square input in pixels.
    margin : side of the square crop over the longer side of the face box (1.0 = the box itself).
    align : rotate and scale by five landmarks before cropping.
    jpeg_quality : every crop is re-encoded at this quality (4:2:0) after resizing, so that a scanned face
        meets the detector through the same last step as its training pictures; None leaves it alone.
    mean, std : per RGB channel, in units of pixel values over 255.
    frames : pictures sampled from a video: how many, evenly over its duration, or another rule of
        `verisight.core.frames` (`linspace:32`, `keyframes`, `clip:16x4`, `all`).
    min_face_px : a face whose longer box side is smaller is not judged.
    min_face_score : a face that the finder trusts less is not judged.
    """

    size: Annotated[int, Field(ge=16, le=1024)] = 160
    margin: Annotated[float, Field(ge=1.0, le=4.0)] = 1.25
    align: bool = False
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None
    mean: Triple = (0.5, 0.5, 0.5)
    std: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)
    frames: Annotated[int | str, AfterValidator(canonical)] = 16
    min_face_px: Annotated[float, Field(ge=1)] = 40
    min_face_score: Annotated[float, Field(ge=0, le=1)] = 0.6
