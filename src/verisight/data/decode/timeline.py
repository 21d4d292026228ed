"""What a clip holds, as its packets tell, and at which times a frame policy looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verisight.core.frames import FramePolicy, sample_times

# Spacing of the samples, in key frame intervals, from which on seeking is quicker than reading through. Measured on
# 150 s of 640 x 360 H.264: the two are equal at 0.6 (MP4, key frames 10 s apart), 0.7 (Matroska, 4 s), 1.1 (TS, 2 s).
SEEK_FROM = 1.0
SAME_S = 1e-6


@dataclass(frozen=True)
class Timeline:
    """What a clip holds, as its packets tell; headers lie.

    start_s : timestamp of the first frame. interval_s : between frames (median).
    times : (n,) of the frames from the first, rising; None when the clip is longer than was surveyed.
    keys : (m,) numbers of those that the encoder stored whole.
    frames : number of packets, None as `times`. stated : as the header says, or 0.
    stated_s : duration as the header says, or 0. key_s : mean time between key frames; inf where seeking is no use.
    decoder : options that its decoder needs.
    """

    start_s: float
    duration_s: float
    interval_s: float
    times: NDArray[np.float64] | None
    keys: NDArray[np.int64]
    frames: int | None
    stated: int
    stated_s: float
    key_s: float
    decoder: dict[str, str]

    def plan(self, policy: FramePolicy) -> list[list[float]] | None:
        """The times at which frames are wanted, a list for each short clip; None for all frames there are."""
        if policy.kind == "all" or (policy.kind == "uniform" and (self.frames or np.inf) <= (policy.count or 1)):
            return None
        if policy.kind == "uniform":
            return [sample_times(self.duration_s, policy.count or 1)]
        if self.times is None:
            raise ValueError("frames that are chosen by number have to be counted first")
        times = self.times
        return [times[numbers].tolist() for numbers in policy.chosen(len(times), self.keys)]

    def runs(self, plan: list[list[float]]) -> list[list[float]]:
        """The times of a plan, rising: those that reading from the start reaches, then a list for every seek."""
        runs: list[list[float]] = [[]]
        here_s = 0.0
        for time_s in sorted({time_s for clip in plan for time_s in clip}):
            if time_s - here_s > SEEK_FROM * self.key_s + SAME_S:
                runs.append([])
            runs[-1].append(time_s)
            here_s = time_s
        return runs

    def on_show(self, plan: list[list[float]], time_base: float) -> frozenset[int] | None:
        """Timestamps of the frames that a plan shows; None where they are not known for sure."""
        if self.times is None or self.frames != len(self.times):
            return None
        wanted = np.array([time_s for clip in plan for time_s in clip])
        shown = np.maximum(np.searchsorted(self.times, wanted + SAME_S, side="right") - 1, 0)
        return frozenset(round((self.start_s + time_s) / time_base) for time_s in self.times[shown].tolist())

    def index(self, time_s: float) -> int | None:
        """The number of the frame at a time, where they were counted."""
        if self.times is None:
            return None
        after = int(np.searchsorted(self.times, time_s))
        away_s = {i: abs(self.times[i] - time_s) for i in (after - 1, after) if 0 <= i < len(self.times)}
        nearest = min(away_s, key=lambda i: away_s[i])
        return nearest if away_s[nearest] < self.interval_s / 2 else None

    def shortage(self, last_s: float) -> Iterator[str]:
        """What the header promises and the clip, of which nothing was seen after `last_s`, does not hold."""
        if self.frames is not None and self.frames < self.stated:
            yield f"truncated: read {self.frames} of {self.stated} frames"
            return
        end_s = last_s if self.frames is None else self.duration_s
        slack_s = max(0.5, 0.05 * self.stated_s)
        if (self.frames is None or not self.stated) and self.stated_s - end_s > slack_s:
            yield f"ends early: pictures for {end_s:.2f} s of {self.stated_s:.2f} s"
