"""Which frames of a clip are looked at, as one frozen value with a short name.

    uniform:N           the frames on show at the centres of N equal intervals of time (`16` is short for `uniform:16`)
    linspace:N          frames floor(linspace(0, n - 1, N)) of n by number: the first and the last are among them
    keyframes[:N]       the frames that the encoder stored whole; of them all, or N as `linspace` takes them
    clip:LxK[@stride]   K clips of L frames that follow each other, or every stride-th, evenly placed
    all                 every frame

`linspace` is what most published detectors are trained and tested with; `uniform` needs no count of the frames and
does not prefer the ends, where titles and fades are. Where a clip holds fewer frames than are wanted, each that is
chosen comes once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import RecipeError

MOST = 4096  # frames of a policy that counts them
_RULE = re.compile(
    r"(?P<plain>[0-9]{1,9})|(?P<kind>uniform|linspace|keyframes):(?P<count>[0-9]{1,9})|(?P<bare>keyframes|all)"
    r"|clip:(?P<length>[0-9]{1,9})x(?P<clips>[0-9]{1,9})(@(?P<stride>[0-9]{1,9}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class FramePolicy:
    """One of the rules above; `str` gives its text.

    count : frames, or clips of `clip`; None for all.
    length, stride : frames in a clip, and from one of them to the next.
    """

    kind: Literal["uniform", "linspace", "keyframes", "clip", "all"]
    count: int | None = None
    length: int = 1
    stride: int = 1

    @classmethod
    def parse(cls, rule: int | str) -> FramePolicy:
        """From its text, or from the number of a uniform policy.

        Raises
        ------
        RecipeError : no such rule, nothing wanted, or more than MOST frames.
        """
        found = _RULE.fullmatch(str(rule).strip())
        if found is None:
            raise RecipeError(
                f"frames={rule}",
                "no frame policy",
                "use N, uniform:N, linspace:N, keyframes[:N], clip:LxK[@stride] or all",
            )
        kind: Any = found["kind"] or found["bare"] or ("clip" if found["clips"] else "uniform")
        count = found["count"] or found["clips"] or found["plain"]
        policy = cls(kind, int(count) if count else None, int(found["length"] or 1), int(found["stride"] or 1))
        if not (policy.stride > 0 and (policy.count is None or 0 < policy.count * policy.length <= MOST)):
            raise RecipeError(f"frames={rule}", f"takes 1 to {MOST} frames", "use all for every frame")
        return policy

    def __str__(self) -> str:
        if self.kind == "clip":
            return f"clip:{self.length}x{self.count}" + (f"@{self.stride}" if self.stride > 1 else "")
        return self.kind if self.count is None else f"{self.kind}:{self.count}"

    @property
    def counts_frames(self) -> bool:
        """Whether the rule goes by the number of a frame, so that all have to be counted before one is chosen."""
        return self.kind != "uniform"

    def chosen(self, frames: int, keys: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The numbers of the frames of each clip, rising; of one clip for every rule but `clip`.

        frames : how many there are, at least 1. keys : (M,) numbers of those stored whole, rising.
        """
        if self.kind == "clip":
            return self._clips(frames)
        among = keys if self.kind == "keyframes" else np.arange(frames)
        return [among if self.count is None else among[_spread(len(among), self.count)]]

    def _clips(self, frames: int) -> list[NDArray[np.int64]]:
        """Starts are the centres of equal intervals of all starts that leave room; a short file is one short clip."""
        span = (self.length - 1) * self.stride + 1
        room = max(1, frames - span + 1)
        starts = np.unique(np.floor((np.arange(self.count or 1) + 0.5) * room / (self.count or 1)).astype(np.int64))
        return [np.arange(start, min(start + span, frames), self.stride) for start in starts]


def sample_times(duration_s: float, frames: int) -> list[float]:
    """Centres of `frames` equal intervals of a clip, in seconds: (i + 1/2) duration / frames."""
    return [(i + 0.5) * duration_s / frames for i in range(frames)]


def canonical(rule: int | str) -> int | str:
    """One spelling for one policy: what is uniform is its number.

    Raises
    ------
    RecipeError : as `FramePolicy.parse`.
    """
    policy = FramePolicy.parse(rule)
    return policy.count if policy.kind == "uniform" and policy.count else str(policy)


def _spread(frames: int, wanted: int) -> NDArray[np.int64]:
    """floor(linspace(0, frames - 1, wanted)) as numpy rounds it, each once; of one, the first."""
    return np.unique(np.linspace(0, frames - 1, wanted, dtype=np.int64)) if frames else np.arange(0)
