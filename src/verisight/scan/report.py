"""A self-contained HTML page of a scan: what was found, where one sees it, and what it is worth."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from verisight.core.checkpoint import Card
from verisight.core.errors import InputError
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face, crop_face
from verisight.data.media import open_media
from verisight.evaluate.record import now
from verisight.scan.output import word
from verisight.scan.verdict import FaceVerdict, Verdict

MOST_CARDS = 500
MOST_FACES = 6
EVIDENCE_PX = 144
TIMELINE = (600.0, 90.0)  # width and height of the SVG's user space


@dataclass(frozen=True)
class Evidence:
    """One face as it is shown. jpeg : a data URI."""

    face: FaceVerdict
    jpeg: str


@dataclass(frozen=True)
class FileCard:
    """What the page says of one file."""

    verdict: Verdict
    word: str
    evidence: Sequence[Evidence]
    timeline: Sequence[tuple[float, float]]  # x, y of each picture's highest face in TIMELINE's space
    threshold_y: float
    duration_s: float


def write_report(
    path: Path,
    verdicts: Sequence[Verdict],
    card: Card,
    *,
    command: str,
    evidence: Callable[[Verdict], Sequence[Evidence]],
) -> None:
    """Write the page atomically: fakes first, by probability; at most MOST_CARDS files get a card.

    evidence : gives the faces to show of a verdict; `evidence_of` reads the file again.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    ordered = sorted(verdicts, key=_rank)
    template = Environment(
        loader=PackageLoader("verisight", "scan"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
    page = template.render(
        cards=[_card(verdict, evidence(verdict)) for verdict in ordered[:MOST_CARDS]],
        left_out=max(0, len(ordered) - MOST_CARDS),
        counts=[(name, sum(word(v) == name for v in verdicts)) for name in WORD_ORDER],
        card=card,
        detector=verdicts[0].detector if verdicts else card.name,
        timeline=TIMELINE,
        command=command,
        version=version("verisight"),
        created=now(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(page, encoding="utf-8")
    os.replace(part, path)


WORD_ORDER = ("fake", "no forgery found", "abstained", "failed")


def evidence_of(verdict: Verdict, preprocess: Preprocess) -> list[Evidence]:
    """The faces of a verdict with the highest scores, in time order, cut from the file again; none if it has gone."""
    chosen = sorted(sorted(verdict.faces, key=lambda f: -f.score)[:MOST_FACES], key=lambda f: (f.time_s or 0.0, f.box))
    shown = preprocess.model_copy(update={"size": EVIDENCE_PX, "margin": 1.6, "align": False, "jpeg_quality": None})
    found: dict[FaceVerdict, Evidence] = {}
    try:
        for frame in open_media(Path(verdict.path), frames=preprocess.frames):
            for face in chosen:
                if face.time_s == frame.time_s:
                    crop = crop_face(frame.rgb, Face(face.box, 1.0), shown)
                    _, code = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
                    found[face] = Evidence(
                        face, "data:image/jpeg;base64," + base64.b64encode(np.asarray(code).tobytes()).decode()
                    )
    except InputError:
        return []
    return [found[face] for face in chosen if face in found]


def _rank(verdict: Verdict) -> tuple[int, float]:
    return WORD_ORDER.index(word(verdict)), -(verdict.probability or 0.0)


def _card(verdict: Verdict, evidence: Sequence[Evidence]) -> FileCard:
    highest: dict[float, float] = {}
    for face in verdict.faces:
        if face.time_s is not None:
            highest[face.time_s] = max(face.score, highest.get(face.time_s, 0.0))
    duration_s = max(highest, default=0.0)
    width, height = TIMELINE
    points = [(width * t / duration_s if duration_s else 0.0, height * (1 - p)) for t, p in sorted(highest.items())]
    return FileCard(verdict, word(verdict), evidence, points, height * (1 - verdict.threshold), duration_s)
