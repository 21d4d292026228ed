"""From files to verdicts: open, sample, find faces, crop, score, aggregate, calibrate, judge."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verisight.core.aggregate import aggregate
from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.detector import Detector
from verisight.core.errors import InputError, VerisightError, one_line
from verisight.data.faces import Face, FaceFinder, crop_face, face_finder, judgeable
from verisight.data.media import LIMITS, Limits, open_media
from verisight.data.preprocess import normalise
from verisight.scan.ledger import Ledger, content_hash
from verisight.scan.verdict import FaceVerdict, Verdict

log = logging.getLogger(__name__)
BATCH = 64  # crops scored at once: bounds the memory of a picture with a thousand faces


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
    workers = os.cpu_count() or 1
    waiting: deque[Future[Verdict]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for path in paths:
            waiting.append(pool.submit(scanner.remembered, path, ledger, force))
            if len(waiting) > 2 * workers:
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
        self.detector, self.finder, self.limits = detector, finder, limits
        self.key = f"{detector.name}@{detector.fingerprint}"
        self._combine = aggregate(detector.card.aggregate)

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
            facts = {"status": "failed", "reason": f"a fault of ours ({type(error).__name__}: {one_line(error)})"}
        seconds = round(time.perf_counter() - start, 4)
        threshold = self.detector.threshold.value
        return Verdict(path=shown(path), threshold=threshold, detector=self.key, seconds=seconds, **facts)

    def _judge(self, path: Path) -> dict[str, object]:
        media = open_media(path, frames=self.detector.preprocess.frames, limits=self.limits)
        crops: list[NDArray[np.uint8]] = []
        faces: list[tuple[Face, float | None]] = []
        pictures, largest_px = 0, 0.0
        for frame in media:
            pictures += 1
            for face in self.finder(frame.rgb):
                if face.score >= self.detector.preprocess.min_face_score:
                    largest_px = max(largest_px, face.size_px)
                if judgeable(face, self.detector.preprocess):
                    crops.append(crop_face(frame.rgb, face, self.detector.preprocess))
                    faces.append((face, frame.time_s))
        if not faces:
            return {"status": "abstained", "reason": _why_none(pictures, largest_px, self.detector, media.notes)}

        batches = (normalise(crops[i : i + BATCH], self.detector.preprocess) for i in range(0, len(crops), BATCH))
        scores = np.concatenate([self.detector.score(batch) for batch in batches]).astype(np.float64)
        total = self._combine(scores.tolist(), [time_s or 0.0 for _, time_s in faces])
        probability = float(self.detector.calibrator.probability(total))
        by_face = self.detector.calibrator.probability(scores)
        return {
            "status": "scored",
            "label": self.detector.card.positive if probability >= self.detector.threshold.value else "real",
            "probability": probability,
            "reason": "; ".join(media.notes) or None,
            "faces": tuple(
                FaceVerdict(box=face.box, score=float(p), time_s=time_s)
                for (face, time_s), p in zip(faces, by_face, strict=True)
            ),
        }


def shown(path: str | Path) -> str:
    """A path as text that any format can carry; bytes that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _why_none(pictures: int, largest_px: float, detector: Detector, notes: list[str]) -> str:
    where = "the picture" if pictures == 1 else f"{pictures} pictures of the clip"
    if largest_px > 0:
        why = f"the largest face is {largest_px:.0f} px; at least {detector.preprocess.min_face_px:.0f} px are needed"
    else:
        why = f"no face found in {where}"
    return "; ".join([why, *notes])
