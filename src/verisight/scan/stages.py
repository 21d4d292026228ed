"""What lets the stages of a scan overlap: work done ahead in order, and scoring gathered over files.

A file is judged by plain code that runs from top to bottom in a thread of its own. While it waits for its faces or its
scores, the threads of other files decode. Whatever waits between two stages is bounded, so memory does not grow with
the length of a clip or the number of files.

On two cores the stages of photographs and clips keep both busy, whatever their settings: photographs of 1536 x 1536,
clips of 720 x 720 and pictures of 12 faces go through at rates within a tenth of each other for 2 to 6 files in hand,
one or two batches, one or two threads a session. What the settings change is the time that a person waits for a
single clip (305 ms; 480 ms when its pictures are looked at one after the other) or a single picture of 12 faces (66 ms;
100 ms when one thread scores).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from verisight.core.detector import Detector, Measured
from verisight.data.decode.files import Frame, Picture
from verisight.data.faces import Face, FaceFinder
from verisight.data.preprocess import normalise

CORES = os.cpu_count() or 1
BATCH = 64  # crops scored at once: bounds the memory of a picture with a thousand faces
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def start(pool: ThreadPoolExecutor, deed: Callable[..., ResultT], *arguments: Any) -> Future[ResultT]:
    """Have it done by the pool; here and now when the pool takes nothing more, as at the end of the interpreter."""
    try:
        return pool.submit(deed, *arguments)
    except RuntimeError:
        done = Future[ResultT]()
        try:
            done.set_result(deed(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


def ahead(
    pool: ThreadPoolExecutor, deed: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, window: int
) -> Iterator[tuple[ItemT, ResultT]]:
    """Every item with what the deed makes of it, in order; while one is looked at, up to `window` more are in hand."""
    waiting = deque[tuple[ItemT, Future[ResultT]]]()
    for item in items:
        waiting.append((item, start(pool, deed, item)))
        if len(waiting) > window:
            first, result = waiting.popleft()
            yield first, result.result()
    while waiting:
        first, result = waiting.popleft()
        yield first, result.result()


class Finding:
    """Looks for faces in pictures of many files at once, one picture a core."""

    AHEAD = 4  # pictures of one file that wait or are worked on, at most

    def __init__(self, finder: FaceFinder) -> None:
        self.finder = finder
        self._pool = ThreadPoolExecutor(CORES)

    def over(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
        """Every frame with its faces, in order."""
        return ahead(self._pool, lambda frame: self.finder(frame.rgb), frames, window=min(CORES, self.AHEAD))


class Scoring:
    """Scores crops of many files in common batches: what comes in while one batch is scored makes up the next.

    An item's score does not depend on its batch, so a file scores the same alone and among others.
    """

    AT_ONCE = 2  # batches: one is made up while the other is scored

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._waiting = deque[tuple[Sequence[Picture], Future[Measured]]]()
        self._taking = threading.Lock()
        self._pool = ThreadPoolExecutor(self.AT_ONCE)

    def submit(self, crops: Sequence[Picture]) -> Future[Measured]:
        """What the detector says of 1 to BATCH crops (S, S, 3) uint8, once it has."""
        said = Future[Measured]()
        with self._taking:
            self._waiting.append((crops, said))
        start(self._pool, self._next_batch)
        return said

    def _next_batch(self) -> None:
        """Score what waits, up to BATCH crops; nothing, where an earlier call has taken it along."""
        taken, room = list[tuple[Sequence[Picture], Future[Measured]]](), BATCH
        with self._taking:
            while self._waiting and len(self._waiting[0][0]) <= room:
                taken.append(self._waiting.popleft())
                room -= len(taken[-1][0])
        if taken and not self._scored(taken):
            for each in taken:
                self._scored([each])  # what one file brings about must not fall on those beside it

    def _scored(self, taken: Sequence[tuple[Sequence[Picture], Future[Measured]]]) -> bool:
        """Whether these could be scored together; alone, a request is answered with its fault."""
        try:
            batch = [crop for crops, _ in taken for crop in crops]
            score, novelty = self.detector.measure(normalise(batch, self.detector.preprocess))
        except Exception as error:
            if len(taken) > 1:
                return False
            taken[0][1].set_exception(error)
            return True
        ends = np.cumsum([len(crops) for crops, _ in taken])
        for end, (crops, said) in zip(ends.tolist(), taken, strict=True):
            own = slice(end - len(crops), end)
            said.set_result(Measured(score[own], None if novelty is None else novelty[own]))
        return True
