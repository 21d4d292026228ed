"""Who is in a file, and what the faces of each say together.

In a clip, the faces of one person over time (a track, `verisight.data.tracks`) are one person's; after a cut, or when a
face was away for long, the same person is somebody else again: nobody is recognised. In a picture every face is its own
person.

The verdict looks at those who count. In a clip they appear in at least a quarter of the pictures that show a face at
all; where nobody does, everybody counts and their pictures are averaged, for the highest of many people who were seen
once or twice would nearly always look forged. In a picture their boxes have at least a quarter of the largest one's
side: among the specks of a background a finder takes some for faces, and one of those would decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verisight.core.aggregate import Evidence, draw_interval, highest_of_pictures, mean_interval
from verisight.data.decode.files import Picture
from verisight.data.faces import Face
from verisight.data.tracks import Sighting, Tracker, cuts

PRESENT = 0.25  # share of the pictures with a face that somebody who counts appears in
PROMINENT = 0.25  # side of a face that counts in a picture, over that of the largest
MISSED = 2.5  # spacings of the pictures looked at: a face that one picture lacks is the same person's after it


@dataclass(frozen=True)
class Glance:
    """One picture of a clip that was looked at.

    small : (64, 64, 3), by which cuts are told; None where no picture will come between it and the one before it, and
        `cut` says whether a shot begins with it.
    """

    time_s: float
    small: Picture | None
    cut: bool


@dataclass(frozen=True)
class Scored:
    """One face that the detector has scored: time_s is None in a picture, novelty where the detector has no idea."""

    face: Face
    time_s: float | None
    score: float
    novelty: float | None


@dataclass(frozen=True)
class Somebody:
    """One person: number, faces in time order, and whether the verdict looks at them."""

    number: int
    faces: tuple[Scored, ...]
    counted: bool

    @property
    def score(self) -> float:
        """Mean of the scores over time."""
        return float(np.mean([face.score for face in self.faces]))

    @property
    def novelty(self) -> float | None:
        """Mean over the faces."""
        known = [face.novelty for face in self.faces if face.novelty is not None]
        return float(np.mean(known)) if known else None


def people_of_picture(faces: Sequence[Scored]) -> list[Somebody]:
    """Everybody in a picture, from left to right."""
    largest = max(scored.face.size_px for scored in faces)
    in_order = sorted(faces, key=lambda scored: scored.face.box)
    return [
        Somebody(number, (scored,), scored.face.size_px >= PROMINENT * largest)
        for number, scored in enumerate(in_order)
    ]


def people_of_clip(faces: Sequence[Scored], glances: Sequence[Glance]) -> list[Somebody]:
    """Everybody in a clip, by first appearance.

    faces : in time order. glances : every picture looked at, in time order.
    """
    by_time: dict[float, list[Scored]] = {glance.time_s: [] for glance in glances}
    for scored in faces:
        by_time[scored.time_s or 0.0].append(scored)
    tracker = Tracker(max_gap_s=max(1.0, MISSED * _spacing(glances)))
    for glance, cut in zip(glances, _cuts(glances), strict=True):
        tracker.add(Sighting(glance.time_s, [scored.face for scored in by_time[glance.time_s]], cut))
    owner = {id(face): track.person for track in tracker.tracks() for face in track.faces if face}
    together: dict[int, list[Scored]] = {}
    for scored in faces:
        together.setdefault(owner[id(scored.face)], []).append(scored)
    shown = sum(1 for seen in by_time.values() if seen)
    often = {number for number, own in together.items() if len(own) >= PRESENT * shown}
    return [Somebody(number, tuple(own), number in often or not often) for number, own in sorted(together.items())]


def _spacing(glances: Sequence[Glance]) -> float:
    """Median time between pictures looked at, seconds."""
    return float(np.median(np.diff([glance.time_s for glance in glances]))) if len(glances) > 1 else 0.0


def _cuts(glances: Sequence[Glance]) -> list[bool]:
    """Whether each begins a new shot, seen from the one before it."""
    small = [glance.small for glance in glances if glance.small is not None]
    if len(small) < len(glances):
        return [glance.cut for glance in glances]
    begins = set(cuts(small))
    return [number in begins for number in range(len(glances))]


@dataclass(frozen=True)
class Judgement:
    """What the people who count say together: score and its 95 % interval, in logits, and who decides."""

    score: float
    low: float
    high: float
    decides: Somebody


def judge(people: Sequence[Somebody], rule: Evidence) -> Judgement:
    """The score of a file by the rule that its detector names, from the people who count.

    The interval is that of a mean over time (`mean_interval`); a picture has none. For somebody seen once in a clip the
    spread of all faces that count stands in. Where nobody was seen for long, the rule gives way to the mean over the
    pictures of the highest face. That the highest of several people is higher than one of them drawn at
    random is not in it. Who decides is the most suspicious of them, whatever the rule.
    """
    counted = [person for person in people if person.counted]
    faces = [(scored, person.number) for person in counted for scored in person.faces]
    pictures = len({scored.time_s for scored, _ in faces})
    if all(len(person.faces) < PRESENT * pictures for person in counted):
        rule = highest_of_pictures
    series = rule(
        [scored.score for scored, _ in faces],
        [scored.time_s or 0.0 for scored, _ in faces],
        [number for _, number in faces],
    )
    score = low = high = float(series.mean())
    if faces[0][0].time_s is not None:
        low, high = mean_interval(series) if len(series) > 1 else draw_interval(score, [f.score for f, _ in faces])
    return Judgement(score, low, high, max(counted, key=lambda person: person.score))
