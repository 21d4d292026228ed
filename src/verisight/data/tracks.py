"""Faces over time: which faces of the frames of a clip are one person's, and where the scene is cut.

A frame is looked at once, in time order: `CutFinder` says whether a new shot begins with it, `Tracker` ties its faces
to those before. Neither needs the clip as a whole, so that memory does not grow with its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.data.boxes import Boxes
from verisight.data.decode.files import Frame
from verisight.data.faces import Face, FaceFinder
from verisight.data.quality import Picture

Array = NDArray[np.float64]


# --- scene cuts ---


class CutFinder:
    """Frame by frame: whether it begins a new shot.

    It does where both its colours and its structure leave those of the last frame that shows anything. Colours: half
    the L1 distance of 8 x 8 x 8 RGB histograms of the picture shrunk to 64 x 64, above 0.3; a pan or a zoom keeps them.
    Structure: one minus the correlation of grey pictures of 32 x 32, above 0.3; a flash, a fade, a change of exposure
    and noise keep it. A frame without structure (black, white) is passed over. Dissolves are not seen.
    """

    # Within the shots of 14 clips (FaceForensics++, DFDC), 4 to 15 frames apart, colours move by up to 0.14 and
    # structure by up to 0.09; between unlike photographs by 0.73 and 0.83 at least.
    COLOURS, STRUCTURE = 0.3, 0.3
    FLAT = 2.0  # standard deviation of grey levels of a frame that shows nothing

    def __init__(self) -> None:
        self._last: tuple[Array, Array] | None = None

    def __call__(self, picture: Picture) -> bool:
        """Whether this picture begins a new shot; the first one does not."""
        grey = cv2.cvtColor(cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        spread = grey.astype(np.float64) - grey.mean()
        norm = float(np.sqrt((spread**2).sum()))
        if norm < self.FLAT * grey.shape[0]:
            return False
        small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA).reshape(-1, 3) // 32
        colours = np.bincount(small.astype(np.int64) @ (64, 8, 1), minlength=512) / len(small)
        before, self._last = self._last, (colours, spread / norm)
        if before is None:
            return False
        moved = 0.5 * np.abs(colours - before[0]).sum()
        return bool(moved > self.COLOURS and 1 - (self._last[1] * before[1]).sum() > self.STRUCTURE)


def cuts(pictures: Iterable[Picture]) -> list[int]:
    """Numbers of the pictures that begin a new shot; 0 is never among them."""
    begins = CutFinder()
    return [number for number, picture in enumerate(pictures) if begins(picture)]


# --- tracks ---


@dataclass(frozen=True)
class Track:
    """One face over time, within one shot.

    person : number of the track; tracks are numbered by their beginning, then from left to right.
    times : (T,) seconds, rising: every frame looked at from the first to the last that shows the face.
    boxes : (T, 4) x, y, w, h in pixels; where the face was missed, on the line between its neighbours.
    faces : the T faces as found; None where it was missed.
    """

    person: int
    times: Array
    boxes: Array
    faces: tuple[Face | None, ...]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def score(self) -> float:
        """Mean of the finder's confidence where the face was found."""
        return float(np.mean([face.score for face in self.faces if face]))

    @property
    def size_px(self) -> float:
        """Median over time of the longer side of the box."""
        return float(np.median(self.boxes[:, 2:].max(axis=1)))

    @property
    def known(self) -> Boxes:
        """What the manifest's column `box` says of it (`verisight.data.boxes.format_boxes`)."""
        return Boxes(tuple((x, y, w, h) for x, y, w, h in self.boxes.tolist()), tuple(self.times.tolist()))

    def smoothed(self, window_s: float) -> Track:
        """The same track with every box the mean of those within half a window to either side.

        Towards the ends the window shrinks to stay centred, so that even motion is left as it is.
        """
        reach = np.minimum(window_s / 2, np.minimum(self.times - self.times[0], self.times[-1] - self.times)) + 1e-9
        first = np.searchsorted(self.times, self.times - reach)
        last = np.searchsorted(self.times, self.times + reach, side="right")
        total = np.vstack([np.zeros(4), np.cumsum(self.boxes, axis=0)])
        return replace(self, boxes=(total[last] - total[first]) / (last - first)[:, None])


@dataclass(frozen=True)
class Sighting:
    """The faces of one frame. cut : a new shot begins with it."""

    time_s: float
    faces: Sequence[Face]
    cut: bool = False


class Tracker:
    """Ties faces of one frame to the tracks before it, at least total cost (the Hungarian method).

    The cost of a face for a track is 1 - IoU of the boxes plus the distance of the landmarks (of the middles, where
    one has none) in box sides, both against where the track should be by now. A track keeps its motion for about
    KEEPS_S, so that two people can cross, and frames that are seconds apart are compared where they stand.

    Parameters
    ----------
    max_gap_s : a face that frames lack for longer begins a new track when it returns. Two frames with none between them
        are always compared, however far apart.
    """

    KEEPS_S = 0.5
    MAX_MOVE = 0.75  # box sides; a face further from where it should be is another
    MAX_GROWTH = 2.0

    def __init__(self, max_gap_s: float = 1.0) -> None:
        self.max_gap_s = max_gap_s
        self._times: list[float] = []
        self._open: list[_Path] = []
        self._closed: list[_Path] = []

    def add(self, sighting: Sighting) -> None:
        """The next frame.

        Raises
        ------
        ValueError : it is not later than the one before.
        """
        now = sighting.time_s
        if self._times and now <= self._times[-1]:
            raise ValueError(f"frames come in time order: {now} s after {self._times[-1]} s")
        before = self._times[-1] if self._times else now
        self._times.append(now)
        kept = [] if sighting.cut else [p for p in self._open if p.last_s == before or now - p.last_s <= self.max_gap_s]
        self._closed += [path for path in self._open if path not in kept]
        faces = sorted(sighting.faces, key=lambda face: (face.box, -face.score))
        pairs = self._assign(kept, faces, now)
        for path, face in pairs:
            kept[path].add(len(self._times) - 1, now, faces[face])
        taken = {face for _, face in pairs}
        self._open = kept + [
            _Path([len(self._times) - 1], [now], [face]) for i, face in enumerate(faces) if i not in taken
        ]

    def tracks(self) -> list[Track]:
        """The tracks of all frames so far."""
        paths = sorted([*self._closed, *self._open], key=lambda path: (path.times[0], path.faces[0].box))
        return [self._track(person, path) for person, path in enumerate(paths)]

    def _assign(self, paths: list[_Path], faces: list[Face], now: float) -> list[tuple[int, int]]:
        never = 1e3
        cost = np.full((len(paths), len(faces)), never)
        for i, path in enumerate(paths):
            expected = path.expected(now, self.KEEPS_S)
            for j, face in enumerate(faces):
                away = _distance(expected, face)
                growth = face.size_px / max(expected.size_px, 1e-9)
                if away <= self.MAX_MOVE and 1 / self.MAX_GROWTH <= growth <= self.MAX_GROWTH:
                    cost[i, j] = 1 - iou(expected.box, face.box) + away
        if cost.size == 0:
            return []
        if min(cost.shape) == 1:  # the cheapest pair is the best assignment, and scipy takes half a second to import
            rows, columns = np.unravel_index([cost.argmin()], cost.shape)
        else:
            from scipy.optimize import linear_sum_assignment

            rows, columns = linear_sum_assignment(cost)
        return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < never]

    def _track(self, person: int, path: _Path) -> Track:
        span = slice(path.numbers[0], path.numbers[-1] + 1)
        times = np.array(self._times[span])
        found = dict(zip(path.numbers, path.faces, strict=True))
        sides = np.array([face.box for face in path.faces], np.float64).T
        boxes = np.stack([np.interp(times, path.times, side) for side in sides], axis=1)
        return Track(person, times, boxes, tuple(found.get(n) for n in range(span.start, span.stop)))


def tracks(sightings: Iterable[Sighting], *, max_gap_s: float = 1.0) -> list[Track]:
    """The tracks of a whole clip, numbered by their beginning: see `Tracker`."""
    tracker = Tracker(max_gap_s)
    for sighting in sightings:
        tracker.add(sighting)
    return tracker.tracks()


def find_tracks(frames: Iterable[Frame], finder: FaceFinder, *, max_gap_s: float = 1.0) -> list[Track]:
    """Look for faces in every frame (of `open_media`, say) and tie them together; no track crosses a cut."""
    begins = CutFinder()
    tracker = Tracker(max_gap_s)
    last_s = -1.0
    for frame in frames:
        time_s = frame.time_s or 0.0
        if time_s > last_s:  # a frame of two overlapping clips comes twice
            tracker.add(Sighting(time_s, finder(frame.rgb), begins(frame.rgb)))
        last_s = time_s
    return tracker.tracks()


# --- choosing among the people of a clip ---


def largest(tracks: Sequence[Track]) -> Track:
    """The track with the largest face; of equal ones the first."""
    return max(tracks, key=lambda track: track.size_px)


def longest(tracks: Sequence[Track]) -> Track:
    """The track over most frames; of equal ones the one with the larger face."""
    return max(tracks, key=lambda track: (len(track), track.size_px))


def present(tracks: Sequence[Track], frames: int, *, share: float = 0.25) -> list[Track]:
    """The tracks over at least this share of the frames looked at: who is in the clip, not who passes by."""
    return [track for track in tracks if len(track) >= share * frames]


# --- geometry ---


@dataclass(eq=False)
class _Path:
    """A track that may go on: number of the frame, time and face of every sighting."""

    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    @property
    def last_s(self) -> float:
        return self.times[-1]

    def add(self, number: int, time_s: float, face: Face) -> None:
        self.numbers.append(number)
        self.times.append(time_s)
        self.faces.append(face)

    def expected(self, now: float, keeps_s: float) -> Face:
        """The last face, moved on as over its last three sightings; the speed fades by exp(-t / keeps_s)."""
        last = self.faces[-1]
        back = min(3, len(self.faces))
        elapsed = self.times[-1] - self.times[-back]
        if elapsed <= 0:
            return last
        then = self.faces[-back]
        ahead_s = keeps_s * (1 - np.exp(-(now - self.times[-1]) / keeps_s))
        shift = (_middle(last) - _middle(then)) / elapsed * ahead_s * np.exp(-elapsed / keeps_s)  # old news counts less
        x, y, w, h = last.box
        moved = (x + float(shift[0]), y + float(shift[1]), w, h)
        return Face(moved, last.score, None if last.landmarks is None else last.landmarks + shift.astype(np.float32))


def iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes x, y, w, h; 0 where they do not overlap."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(0.0, across) * max(0.0, down)
    return both / (a[2] * a[3] + b[2] * b[3] - both) if both > 0 else 0.0


def _middle(face: Face) -> Array:
    x, y, w, h = face.box
    return np.array([x + w / 2, y + h / 2])


def _distance(a: Face, b: Face) -> float:
    """Mean distance of the landmarks, or that of the middles, over the mean of the longer sides."""
    if a.landmarks is None or b.landmarks is None:
        apart = float(np.linalg.norm(_middle(a) - _middle(b)))
    else:
        apart = float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean())
    return apart / max(1e-9, (a.size_px + b.size_px) / 2)
