"""From files to verdicts: open, sample, find faces, crop, score, aggregate, calibrate, judge.

What a single file goes through stands here in order; how files share the machine in `stages`, what is seen of one in
`watch`, where a clip is looked at again in `looks`, and what its faces say together in `people`.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from verisight.core.aggregate import evidence
from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.detector import Detector
from verisight.core.errors import InputError, VerisightError, one_line
from verisight.data.faces import FaceFinder, face_finder
from verisight.data.media import LIMITS, Limits, open_media
from verisight.scan.cautions import cautions
from verisight.scan.ledger import Ledger, content_hash
from verisight.scan.people import Judgement, Somebody, judge
from verisight.scan.provenance import provenance_of
from verisight.scan.quality import measure_quality
from verisight.scan.stages import CORES, Finding, Scoring
from verisight.scan.verdict import FAULT, FaceVerdict, Person, Verdict
from verisight.scan.watch import Watch

log = logging.getLogger(__name__)
FILES = CORES + 1  # in hand at once: one may wait for its faces or scores; twice as many are no faster, and need memory


def scan_files(
    paths: Iterable[str | Path],
    *,
    detector: Detector | str | Path = DEFAULT_DETECTOR,
    ledger: Ledger | None = None,
    force: bool = False,
    finder: FaceFinder | None = None,
    limits: Limits = LIMITS,
) -> Generator[Verdict, None, None]:
    """Judge files one after the other; a verdict a file, in the order given, as soon as it is ready.

    paths : files; a generator is read as it is consumed, so a million of them need no memory.
    detector : or the name or path to load one from.
    ledger : where verdicts are remembered; a file whose content this detector has judged is not opened again.
    force : judge anew what the ledger knows.
    finder : any callable from a picture (H, W, 3) uint8 RGB to faces; by default the shipped one.
    limits : what a file may ask of the decoder.

    A file that cannot be read gives a verdict with status `failed`; nothing is raised for it.
    """
    loaded = detector if isinstance(detector, Detector) else Detector.load(detector)
    if ledger is not None and loaded.fingerprint == Detector.NO_FINGERPRINT:
        raise VerisightError(
            loaded.name, "has no fingerprint, so a ledger could not tell it from another", "give it one"
        )
    scanner = Scanner(loaded, finder or face_finder(), limits)
    waiting: deque[Future[Verdict]] = deque()
    pool = ThreadPoolExecutor(FILES)
    try:
        for path in paths:
            waiting.append(pool.submit(scanner.remembered, path, ledger, force))
            if len(waiting) > 2 * FILES:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # An interrupted scan starts no further file. It must not wait for those in hand either: a generator that nobody
        # holds is closed by whatever thread collects garbage, which may be one of the pool's, and that would wait for
        # itself.
        pool.shutdown(wait=False, cancel_futures=True)


class Scanner:
    """A detector, a face finder and limits: what `scan_files` does to a single file. Safe to use from many threads."""

    def __init__(self, detector: Detector, finder: FaceFinder, limits: Limits = LIMITS) -> None:
        self.detector, self.limits = detector, limits
        self.key = f"{detector.name}@{detector.fingerprint}"
        self._finding, self._scoring = Finding(finder), Scoring(detector)
        self._rule = evidence(detector.card.aggregate)

    def remembered(self, path: str | Path, ledger: Ledger | None, force: bool = False) -> Verdict:
        """The verdict of the ledger when it has one for this content, else a new one, which the ledger keeps."""
        if ledger is None:
            return self.examine(path)
        try:
            content = content_hash(Path(path))
        except InputError:
            content = ""  # the new verdict says why
        known = None if force or not content else ledger.lookup(content, self.key)
        verdict = known.model_copy(update={"path": shown(path)}) if known else self.examine(path)
        ledger.record(Path(path), content, self.key, verdict)
        return verdict

    def examine(self, path: str | Path) -> Verdict:
        """Judge one file, whatever it is."""
        start = time.perf_counter()
        try:
            facts = self._judge(Path(path))
        except InputError as error:
            facts = {"status": "failed", "reason": error.reason}
        except Exception as error:  # one file must not end a scan of a million
            log.exception("fault on %s", path)
            facts = {"status": "failed", "reason": f"{FAULT} ({type(error).__name__}: {one_line(error)})"}
        seconds = round(time.perf_counter() - start, 4)
        threshold = self.detector.threshold.value
        return Verdict(path=shown(path), threshold=threshold, detector=self.key, seconds=seconds, **facts)

    def _judge(self, path: Path) -> dict[str, Any]:
        media = open_media(path, frames=self.detector.preprocess.frames, limits=self.limits)
        watch = Watch(media, self.detector.preprocess, self._finding, self._scoring)
        watch.first_look()
        told: dict[str, Any] = {"status": "abstained", "reason": _why_none(watch, self.detector)}
        if watch.faces:
            told = self._faces(watch)
        reason = "; ".join([part for part in (told["reason"], *media.notes) if part])
        quality = measure_quality(
            path, media, pictures=[seen.picture for seen in watch.shown], faces=[seen.faces for seen in watch.shown]
        )
        warnings = cautions(
            quality, novelty=told.get("novelty"), card=self.detector.card, people=told.get("people", ())
        )
        provenance = provenance_of(path, limits=self.limits)
        return told | {"reason": reason or None, "quality": quality, "warnings": warnings, "provenance": provenance}

    def _faces(self, watch: Watch) -> dict[str, Any]:
        """What the faces of a file tell: there is one."""
        people = watch.people()
        judgement = judge(people, self._rule)
        if (self._doubtful(judgement) or self._torn(judgement)) and watch.second_look():
            people = watch.people()
            judgement = judge(people, self._rule)
        probability, card = self._probability(judgement.score), self.detector.card
        doubtful = self._doubtful(judgement)
        remarks = [self._doubt(judgement, watch.pictures)] if doubtful or self._torn(judgement) else []
        return self._figures(people, judgement) | {
            "status": "abstained" if doubtful else "scored",
            "label": None if doubtful else card.positive if probability >= card.threshold.value else "real",
            "reason": "; ".join([*remarks, *watch.remarks()]),
        }

    def _doubtful(self, judgement: Judgement) -> bool:
        """Whether it lies where this detector gives no verdict."""
        clear, threshold = self.detector.card.clear, self.detector.threshold
        return clear is not None and clear.value <= self._probability(judgement.score) < threshold.value

    def _torn(self, judgement: Judgement) -> bool:
        """Whether the pictures of a clip differ so much that its mean over all of its time may be on either side."""
        low, high = (self._probability(score) for score in (judgement.low, judgement.high))
        return low < self.detector.threshold.value <= high

    def _doubt(self, judgement: Judgement, pictures: int) -> str:
        card, looked = self.detector.card, f" after {pictures} pictures" if pictures > 1 else ""
        if card.clear is not None and self._doubtful(judgement):
            probability = self._probability(judgement.score)
            bounds = (card.clear.value, card.threshold.value)
            digits = 2 if all(f"{probability:.2f}" != f"{bound:.2f}" for bound in bounds) else 4
            return (
                f"in doubt{looked}: {probability:.{digits}f} is too high to call it real (under {bounds[0]:.{digits}f})"
                f" and too low to call it {card.positive} (from {bounds[1]:.{digits}f})"
            )
        low, high = (self._probability(score) for score in (judgement.low, judgement.high))
        over = f"{low:.2f} to {high:.2f} leaves both sides of {card.threshold.value:.2f} open"
        return f"its pictures disagree{looked}: {over}"

    def _probability(self, score: float) -> float:
        return float(self.detector.calibrator.probability(score))

    def _figures(self, people: list[Somebody], judgement: Judgement) -> dict[str, Any]:
        """Probability, interval, novelty, people and faces."""
        faces = [(scored, person.number) for person in people for scored in person.faces]
        return {
            "probability": self._probability(judgement.score),
            "interval": self.detector.calibrator.interval(judgement.low, judgement.high),
            "novelty": judgement.decides.novelty,
            "people": tuple(
                Person(
                    person=person.number,
                    probability=self._probability(person.score),
                    faces=len(person.faces),
                    start_s=person.faces[0].time_s,
                    end_s=person.faces[-1].time_s,
                    counted=person.counted,
                )
                for person in people
            ),
            "faces": tuple(
                FaceVerdict(
                    box=scored.face.box, score=self._probability(scored.score), time_s=scored.time_s, person=number
                )
                for scored, number in sorted(faces, key=lambda face: face[0].time_s or 0.0)
            ),
        }


def shown(path: str | Path) -> str:
    """A path as text that any format can carry; bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _why_none(watch: Watch, detector: Detector) -> str:
    if watch.largest_px > 0:
        least = detector.preprocess.min_face_px
        return f"the largest face is {watch.largest_px:.0f} px; at least {least:.0f} px are needed"
    where = "the picture" if watch.pictures == 1 else f"{watch.pictures} pictures of the clip"
    return f"no face found in {where}"
