"""Where a clip is looked at again: when nobody was seen, when somebody shows up only for a while, and when in doubt.

The first look is the detector's own (`Preprocess.frames`). All functions here work on times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verisight.core.frames import sample_times

HUNTS = (64, 256)  # pictures of the looks for a face, one after the other, until there is one
RARE = 0.25  # share of the pictures that show a face, under which those stretches are looked at more closely
CLOSEST_S = 0.25  # pictures closer to each other show the same

Seconds = Sequence[float]


def hunting(duration_s: float, wanted: int, seen_s: Seconds) -> list[float]:
    """Times evenly over a clip, no closer than CLOSEST_S to each other or, by half of that, to what was seen."""
    return fresh(sample_times(duration_s, min(wanted, int(duration_s / CLOSEST_S))), seen_s)


def around(seen_s: Seconds, shows: Sequence[bool], wanted: int, duration_s: float) -> list[float]:
    """Up to `wanted` times, evenly over the stretches that may show a face.

    They reach from the picture before one with a face, where none is seen yet, to that after it.

    seen_s : times looked at, rising. shows : whether a face is there.
    """
    edges = np.array([0.0, *seen_s, duration_s])
    near = np.array([False, *shows, False])
    may = near[:-1] | near[1:]  # of the spaces between edges
    length = np.where(may, np.maximum(np.diff(edges), 0.0), 0.0)  # a header may state less than there is
    ends = np.cumsum(length)
    steps = np.array(sample_times(float(ends[-1]), min(wanted, int(ends[-1] / CLOSEST_S))))
    space = np.searchsorted(ends, steps)
    return fresh((edges[space + 1] - (ends[space] - steps)).tolist(), seen_s)


def between(seen_s: Seconds, shows: Sequence[bool]) -> list[float]:
    """The middles between pictures looked at, where one of the two shows a face: about as many as show one."""
    time, near = np.array(seen_s), np.array(shows)
    middles: NDArray[np.float64] = ((time[1:] + time[:-1]) / 2)[near[1:] | near[:-1]]
    return fresh(middles.tolist(), seen_s)


def fresh(times_s: Seconds, seen_s: Seconds) -> list[float]:
    """Those further than half of CLOSEST_S from everything seen."""
    if not len(seen_s):
        return list(times_s)
    seen = np.array([-np.inf, *seen_s, np.inf])
    after = np.searchsorted(seen, times_s)
    apart = np.minimum(seen[after] - times_s, times_s - seen[after - 1])
    return [time_s for time_s, away_s in zip(times_s, apart.tolist(), strict=True) if away_s > CLOSEST_S / 2]


def whereabouts(seen_s: Seconds, shows: Sequence[bool]) -> str:
    """Where in a clip a face is seen, in words, when it is in few of the pictures looked at."""
    at = np.flatnonzero(shows)
    first, last = int(at[0]), int(at[-1])
    if len(at) < (last - first + 1) / 2:
        return f"a face in only {len(at)} of {len(shows)} pictures, first at {clock(seen_s[first])}"
    if last == len(shows) - 1:
        return f"a face only from {clock(seen_s[first])} on"
    if first == 0:
        return f"a face only up to {clock(seen_s[last])}"
    if first == last:
        return f"a face only at {clock(seen_s[first])}"
    return f"a face only from {clock(seen_s[first])} to {clock(seen_s[last])}"


def clock(time_s: float) -> str:
    """3490.4 -> 58:10; with hours from the first on."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
