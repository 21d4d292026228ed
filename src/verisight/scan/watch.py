"""One file under examination: what was looked at so far, whom it shows, and what the detector says of their faces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import cv2

from verisight.core.detector import Measured
from verisight.core.errors import InputError
from verisight.core.frames import FramePolicy
from verisight.core.preprocess import Preprocess
from verisight.data.decode.files import Frame, Media, Picture
from verisight.data.faces import Face, crop_face, judgeable
from verisight.data.tracks import CutFinder
from verisight.scan.looks import HUNTS, RARE, around, between, hunting, whereabouts
from verisight.scan.people import Glance, Scored, Somebody, people_of_clip, people_of_picture
from verisight.scan.stages import BATCH, Finding, Scoring

KEPT = 4  # full pictures at hand for measures of quality


@dataclass(frozen=True)
class Shown:
    """A full picture and the judgeable faces in it, best first."""

    picture: Picture
    faces: tuple[Face, ...]


class Watch:
    """What is known of one file.

    pictures : how many were looked at. largest_px : longer side of the largest face that the finder is sure of.
    faces : all that were scored, in time order.
    shown : up to KEPT pictures with faces, spread over the looks; the first picture of all while there is no face.
    """

    def __init__(self, media: Media, preprocess: Preprocess, finding: Finding, scoring: Scoring) -> None:
        self.media, self.preprocess = media, preprocess
        self.finding, self.scoring = finding, scoring
        self.pictures, self.largest_px = 0, 0.0
        self.faces: list[Scored] = []
        self.shown: list[Shown] = []
        self._glances: list[Glance] = []
        self._seen: set[float] = set()
        self._rare = False
        policy = FramePolicy.parse(preprocess.frames)
        self._wanted = (policy.count or 0) * policy.length  # pictures of the first look; 0: as many as there are
        self._again = media.kind == "video" and 0 < self._wanted < (media.frames or float("inf"))
        self._every = 1  # of the pictures with faces, how many stand for one that is kept
        self._passed = 0

    # --- looking ---

    def first_look(self) -> None:
        """The detector's own; in a clip without a face then two closer ones, and one at a face that is seldom seen."""
        self._look(self.media)
        for wanted in HUNTS:
            if not self.faces and self._may_look_again:
                self._look_again(hunting(self._duration_s, wanted, self._times))
        self._rare = bool(self.faces) and sum(self._shows) < RARE * len(self._glances)
        if self._rare and self._may_look_again:
            missing = self._wanted - sum(self._shows)
            self._look_again(around(self._times, self._shows, self._wanted, self._duration_s), enough=missing)

    def second_look(self) -> bool:
        """Once more as many pictures, between those that show a face; whether that brought any new face to light."""
        before = len(self.faces)
        if self._may_look_again:
            self._look_again(between(self._times, self._shows))
        return len(self.faces) > before

    def _look_again(self, times_s: Sequence[float], enough: int | None = None) -> None:
        if times_s:
            self._look(_sound(self.media.at(times_s, nearby=True)), enough)

    def _look(self, frames: Iterable[Frame], enough: int | None = None) -> None:
        """enough : pictures with a face after which no more is looked at."""
        begins = CutFinder()
        asked = deque[tuple[float | None, Sequence[Face], Future[Measured]]]()
        for frame, found in self.finding.over(self._unseen(frames)):
            self.pictures += 1
            sure = [face.size_px for face in found if face.score >= self.preprocess.min_face_score]
            self.largest_px = max([self.largest_px, *sure])
            if frame.time_s is not None:
                small = cv2.resize(frame.rgb, (64, 64), interpolation=cv2.INTER_AREA)
                cut = begins(small)
                self._glances.append(Glance(frame.time_s, small if self._again else None, cut))
            faces = [face for face in found if judgeable(face, self.preprocess)]
            self._keep(Shown(frame.rgb, tuple(faces)))
            for start in range(0, len(faces), BATCH):
                part = faces[start : start + BATCH]
                crops = [crop_face(frame.rgb, face, self.preprocess) for face in part]
                asked.append((frame.time_s, part, self.scoring.submit(crops)))
                while sum(len(of) for _, of, _ in asked) > BATCH:
                    self._take(*asked.popleft())
            if enough is not None and faces:
                enough -= 1
                if enough <= 0:
                    break
        while asked:
            self._take(*asked.popleft())
        self._glances.sort(key=lambda glance: glance.time_s)
        self.faces.sort(key=lambda scored: scored.time_s or 0.0)

    def _take(self, time_s: float | None, faces: Sequence[Face], said: Future[Measured]) -> None:
        score, novelty = said.result()
        for i, face in enumerate(faces):
            self.faces.append(Scored(face, time_s, float(score[i]), None if novelty is None else float(novelty[i])))

    def _unseen(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            if frame.time_s is None or frame.time_s not in self._seen:
                if frame.time_s is not None:
                    self._seen.add(frame.time_s)
                yield frame

    def _keep(self, shown: Shown) -> None:
        """Every picture with a face at first; when there are too many, every second goes, and half as many come in."""
        if not shown.faces:
            self.shown = self.shown or [shown]
            return
        if not self.shown or not self.shown[0].faces:
            self.shown = []
        if self._passed % self._every == 0:
            if len(self.shown) == KEPT:
                del self.shown[1::2]
                self._every *= 2  # KEPT is even, so that this picture is one of those that come in
            self.shown.append(shown)
        self._passed += 1

    # --- what is known ---

    @property
    def _times(self) -> list[float]:
        return [glance.time_s for glance in self._glances]

    @property
    def _shows(self) -> list[bool]:
        with_face = {scored.time_s for scored in self.faces}
        return [glance.time_s in with_face for glance in self._glances]

    @property
    def _duration_s(self) -> float:
        return self.media.duration_s or 0.0

    @property
    def _may_look_again(self) -> bool:
        """Whether this is a clip with more frames than were seen, of which the detector wants a number."""
        return self._again and len(self._glances) < (self.media.frames or float("inf"))

    def people(self) -> list[Somebody]:
        """Everybody who was scored; there is a face."""
        if self.media.kind == "image":
            return people_of_picture(self.faces)
        return people_of_clip(self.faces, self._glances)

    def remarks(self) -> list[str]:
        """What to say about how much was seen, a phrase each."""
        return [whereabouts(self._times, self._shows)] if self._rare else []


def _sound(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames up to damage that the first look did not meet: what was seen before stands."""
    try:
        yield from frames
    except InputError:
        return
