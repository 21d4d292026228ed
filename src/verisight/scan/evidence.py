"""What a person sees of a file that was judged: its faces, cut from it again, and where they are in their pictures."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import cv2

from verisight.core.errors import InputError
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face, crop_face
from verisight.data.media import Frame, open_media
from verisight.data.quality import Picture
from verisight.scan.verdict import FaceVerdict, Verdict

MOST_FACES = 6  # of one file
FRAME_PX = (440, 200)  # longer side of the whole picture: with the face that decides, and in the strip
FACE_PX = (224, 160)


@dataclass(frozen=True)
class Cut:
    """One face as it is shown.

    number : on the card, from 1. uri : the face and its surroundings, as a data URI.
    """

    face: FaceVerdict
    number: int
    uri: str


@dataclass(frozen=True)
class Evidence:
    """One whole picture and the faces of it that are shown.

    uri : the picture, small, as a data URI. size : its width and height before that, the space of the boxes.
    """

    uri: str
    size: tuple[int, int]
    time_s: float | None
    cuts: tuple[Cut, ...]


def evidence_of(verdict: Verdict, preprocess: Preprocess) -> list[Evidence]:
    """The faces that matter most, cut from the file again, picture by picture; empty if the file has gone or changed.

    The picture with the face that decides comes first, the others in time order. Faces are cut wider than the detector
    sees them, and without its JPEG step: a person needs the surroundings.
    """
    best = _chosen(verdict)
    if not best:
        return []
    number = {id(face): n for n, face in enumerate(sorted(best, key=lambda f: (f is not best[0], f.time_s or 0.0)), 1)}
    found: list[Evidence] = []
    try:
        for frame in frames_of(Path(verdict.path), {face.time_s for face in best}, preprocess):
            faces = [face for face in best if face.time_s == frame.time_s]
            lead = faces[0] is best[0]
            found.append(_evidence(frame, faces, [number[id(f)] for f in faces], preprocess, lead=lead))
    except InputError:  # the file has changed or gone since: what was cut before is no longer evidence of it
        return []
    return sorted(found, key=lambda e: e.cuts[0].number)


def frames_of(path: Path, times_s: Set[float | None], preprocess: Preprocess) -> Iterator[Frame]:
    """The pictures of a file at the times of its faces, as the scan came by them: at its first look, or later."""
    media, missing = open_media(path, frames=preprocess.frames), set(times_s)
    for frame in media:
        if frame.time_s in missing:
            missing.remove(frame.time_s)
            yield frame
        if not missing:
            return
    later = media.at([time_s for time_s in missing if time_s is not None]) if media.kind == "video" else ()
    yield from (frame for frame in later if frame.time_s in missing)


def _chosen(verdict: Verdict) -> list[FaceVerdict]:
    """At most MOST_FACES faces; the one that decides first, then the highest of each person, and so on in turn.

    Passers-by, at whom the verdict did not look, come last.
    """
    decisive = verdict.suspect
    passing = {person.person for person in verdict.people if not person.counted}
    turns: Counter[int] = Counter()
    ranked = []
    for face in sorted(verdict.faces, key=lambda face: -face.score):
        turn = turns[face.person]
        turns[face.person] += 1
        first = decisive is None or face.person == decisive.person
        ranked.append(((face.person in passing, turn, not first, -face.score), face))
    return [face for _, face in sorted(ranked, key=lambda pair: pair[0])][:MOST_FACES]


def _evidence(
    frame: Frame, faces: Sequence[FaceVerdict], numbers: Sequence[int], preprocess: Preprocess, *, lead: bool
) -> Evidence:
    """A picture with some of its faces. lead : the first of them is the one that decides: it is shown larger."""
    size = (frame.rgb.shape[1], frame.rgb.shape[0])
    plain = {"align": False, "jpeg_quality": None, "margin": 1.6}
    cuts: list[Cut] = []
    for n, face in zip(numbers, faces, strict=True):
        wider = preprocess.model_copy(update=plain | {"size": FACE_PX[not lead or bool(cuts)]})
        cuts.append(Cut(face, n, data_uri(crop_face(frame.rgb, Face(face.box, 1.0), wider))))
    scale = min(1.0, FRAME_PX[not lead] / max(size))
    small = cv2.resize(frame.rgb, [max(1, round(scale * side)) for side in size], interpolation=cv2.INTER_AREA)
    return Evidence(data_uri(small), size, frame.time_s, tuple(cuts))


def data_uri(picture: Picture) -> str:
    """WebP needs a third less than JPEG, and browsers have read it since 2020."""
    _, code = cv2.imencode(".webp", picture[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, 80])
    return "data:image/webp;base64," + base64.b64encode(code.tobytes()).decode("ascii")
