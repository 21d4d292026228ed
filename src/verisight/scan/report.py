"""A self-contained HTML page of a scan: what was found, where one sees it, and what it is worth."""

from __future__ import annotations

import base64
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.checkpoint import Card
from verisight.core.errors import InputError, VerisightError
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face, crop_face
from verisight.data.media import open_media
from verisight.evaluate.record import now
from verisight.scan.output import percent, visible, word
from verisight.scan.verdict import FaceVerdict, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

MOST_CARDS = 500
MOST_FACES = 6
EVIDENCE_PX = 160
BINS = 20  # of the histogram of probabilities: 5 % each

# What a reader must see first comes first. The anchor names the section; `mark` says the same without colour.
SECTIONS = (
    ("fake", "fake", "▲"),
    ("failed", "failed", "✕"),
    ("abstained", "abstained", "?"),
    ("no forgery found", "fine", "○"),
)


@dataclass(frozen=True)
class Evidence:
    """One face as it is shown. jpeg : a data URI."""

    face: FaceVerdict
    jpeg: str


@dataclass(frozen=True)
class Timeline:
    """The highest face of each picture of a clip. points : (seconds, probability), in time order."""

    points: tuple[tuple[float, float], ...]

    @property
    def duration_s(self) -> float:
        return self.points[-1][0]

    @property
    def line(self) -> str:
        """SVG points in a space of 100 x 100: time from left to right, probability upwards."""
        return " ".join(f"{100 * t / self.duration_s:.2f},{100 * (1 - p):.2f}" for t, p in self.points)

    @property
    def dots(self) -> str:
        """SVG path of strokes without length at the same places: round caps draw them as dots."""
        return " ".join(f"M{place}h0" for place in self.line.split())


@dataclass(frozen=True)
class FileCard:
    """What the page says of one file."""

    verdict: Verdict
    evidence: Sequence[Evidence]
    timeline: Timeline | None

    @property
    def name(self) -> str:
        """The path without its folders."""
        return os.path.basename(self.verdict.path) or self.verdict.path


@dataclass(frozen=True)
class Section:
    """The files of one verdict. number : of all of them; `cards` may be fewer."""

    word: str
    anchor: str
    mark: str
    number: int
    cards: Sequence[FileCard]


def write_report(
    path: Path,
    verdicts: Sequence[Verdict],
    card: Card,
    *,
    command: str,
    evidence: Callable[[Verdict], Sequence[Evidence]],
) -> None:
    """Write the page atomically: fakes first, by probability; at most MOST_CARDS files get a card.

    command : that made the verdicts. evidence : gives the faces to show of one; `evidence_of` reads the file again.

    Raises
    ------
    VerisightError : the page cannot be written.
    """
    page = _template().render(
        sections=_sections(verdicts, evidence),
        files=len(verdicts),
        left_out=max(0, len(verdicts) - MOST_CARDS),
        most=MOST_CARDS,
        bars=_histogram(verdicts),
        card=card,
        metrics={name: f"{value:.3f}" for name, value in card.metrics.items()},
        detector=visible(verdicts[0].detector if verdicts else card.name),
        command=command,
        versions={"verisight": version("verisight"), "python": platform.python_version()},
        created=now(),
    )
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise VerisightError(path, f"the report cannot be written ({error.strerror})", "name another file") from error


def evidence_of(verdict: Verdict, preprocess: Preprocess) -> list[Evidence]:
    """The faces of a verdict with the highest scores, in time order, cut from the file again; none if it has gone.

    They are cut wider than the detector sees them, and without its JPEG step: a person needs the surroundings.
    """
    best = sorted(verdict.faces, key=lambda face: -face.score)[:MOST_FACES]
    wider = preprocess.model_copy(update={"size": EVIDENCE_PX, "margin": 1.6, "align": False, "jpeg_quality": None})
    found: list[Evidence] = []
    if not best:
        return found
    try:
        for frame in open_media(Path(verdict.path), frames=preprocess.frames):
            for face in best:
                if face.time_s == frame.time_s:
                    crop = crop_face(frame.rgb, Face(face.box, 1.0), wider)
                    found.append(Evidence(face, _jpeg_uri(crop)))
            if len(found) == len(best):
                break
    except InputError:  # the file has changed or gone since: what was cut before is no longer evidence of it
        return []
    return found


def _jpeg_uri(picture: NDArray[np.uint8]) -> str:
    _, code = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(code.tobytes()).decode("ascii")


def _sections(verdicts: Sequence[Verdict], evidence: Callable[[Verdict], Sequence[Evidence]]) -> list[Section]:
    """One section for each verdict that occurs; cards until MOST_CARDS are used up."""
    sections, room = [], MOST_CARDS
    for name, anchor, mark in SECTIONS:
        files = sorted((v for v in verdicts if word(v) == name), key=lambda v: -(v.probability or 0.0))
        cards = [FileCard(v, evidence(v), _timeline(v)) for v in files[:room]]
        room -= len(cards)
        sections.append(Section(name, anchor, mark, len(files), cards))
    return sections


def _timeline(verdict: Verdict) -> Timeline | None:
    """None for a picture, and for a clip of which one picture was judged."""
    highest: dict[float, float] = {}
    for face in verdict.faces:
        if face.time_s is not None:
            highest[face.time_s] = max(face.score, highest.get(face.time_s, 0.0))
    return Timeline(tuple(sorted(highest.items()))) if len(highest) > 1 else None


def _histogram(verdicts: Sequence[Verdict]) -> list[int]:
    """How many scored files fall into each of BINS equal steps of probability."""
    probabilities = [v.probability for v in verdicts if v.probability is not None]
    return [int(n) for n in np.histogram(probabilities, bins=BINS, range=(0, 1))[0]]


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("verisight", "scan"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "percent": percent}
    return environment.get_template("report.html.j2")
