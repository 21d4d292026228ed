"""What a person gets for one file. The JSON form is the stable contract of `verisight scan --format jsonl`."""

from __future__ import annotations

from typing import Literal

from verisight.core.value import Value

Box = tuple[float, float, float, float]
FAULT = "a fault of ours"  # begins a reason that does not lie in the file


class FaceVerdict(Value):
    """One face in one picture.

    box : x, y, width, height in pixels of the upright picture.
    score : calibrated probability that this face is fake, 0..1.
    time_s : seconds from the start of the clip; null for a picture.
    person : number of the `Person` that this face belongs to.
    """

    box: Box
    score: float
    time_s: float | None
    person: int = 0


class Person(Value):
    """One face over time (a track), within one shot of a clip; in a picture every face is its own person.

    person : number, in order of first appearance, then from left to right.
    probability : calibrated probability of fake, 0..1, from all scored faces of this person.
    faces : how many of them were scored.
    start_s, end_s : of the first and the last of them; null in a picture.
    counted : whether the verdict looked at this person; passers-by in a clip are shown but not counted.
    """

    person: int
    probability: float
    faces: int
    start_s: float | None = None
    end_s: float | None = None
    counted: bool = True


class Quality(Value):
    """What a file is made of, as far as it can be read or measured; null where it cannot.

    codec : such as `jpeg`, `png`, `h264`, `hevc`. width, height : pixels, upright.
    fps, duration_s, kbit_s : of a clip; kbit_s of its pictures.
    jpeg_quality : 1..100 of the nearest libjpeg table; of a JPEG.
    crf : estimated constant rate factor of H.264, 0..51, as x264 counts.
    face_px : median longer side of the scored faces.
    detail : effective resolution: the share 0..1 of `face_px` that the content fills; 0.5 means that the face
        holds no more detail than one of half the size.
    screen : how likely a picture of no screen has a pattern as regular as this one, 0..1; small where one was
        photographed.
    monochrome : whether the pictures have one tint all over.
    """

    codec: str
    width: int
    height: int
    fps: float | None = None
    duration_s: float | None = None
    kbit_s: float | None = None
    jpeg_quality: int | None = None
    crf: float | None = None
    face_px: float | None = None
    detail: float | None = None
    screen: float | None = None
    monochrome: bool | None = None


class Caution(Value):
    """Something that makes a verdict worth less.

    code : short and stable, for programs, such as `small-face`, `heavy-compression`, `unlike-training`.
    text : one sentence for people: what was seen, and what it means for the verdict.
    """

    code: str
    text: str


class Provenance(Value):
    """What a file says of its own origin: read only, never believed blindly, and not part of the score.

    c2pa : state of a C2PA manifest: `absent`, `unread` (present, but verisight[provenance] is not installed),
        `valid`, `invalid`; `untrusted` is a valid signature of somebody on no trust list.
    claims : what the manifest states, one short sentence each: signer, tool, actions, AI generation.
    made_with : camera, software and encoder traces, one short text each, as the file spells them.
    taken : date and time of capture as the file states it.
    """

    c2pa: Literal["absent", "unread", "valid", "untrusted", "invalid"] = "absent"
    claims: tuple[str, ...] = ()
    made_with: tuple[str, ...] = ()
    taken: str | None = None


class Verdict(Value):
    """One file.

    path : as it was given.
    status : `scored`; `abstained`, the file was read but cannot be judged; `failed`, it could not be read.
    label : `fake` or `real`; null unless scored.
    probability : calibrated probability of fake, 0..1; null where nothing was scored. An abstained file has one
        when it lies in the detector's zone of doubt.
    interval : 95 % interval of the probability: what the calibration leaves open and, in a clip, how its frames differ.
    threshold : the probability from which on the label is `fake`.
    reason : one line: why there is no score, or what to keep in mind about it; null when there is nothing to say.
    novelty : share 0..1 of the faces of the selection split that look more usual to the detector than the most unusual
        person that decides here; null where the detector cannot say.
    people : everybody who was scored; the verdict is that of the most suspicious person counted.
    faces : every face that was scored, in time order.
    quality, warnings, provenance : see there.
    detector : name and fingerprint of the weights.
    seconds : that the file took.
    """

    path: str
    status: Literal["scored", "abstained", "failed"]
    label: Literal["fake", "real"] | None = None
    probability: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float
    reason: str | None = None
    novelty: float | None = None
    people: tuple[Person, ...] = ()
    faces: tuple[FaceVerdict, ...] = ()
    quality: Quality | None = None
    warnings: tuple[Caution, ...] = ()
    provenance: Provenance | None = None
    detector: str
    seconds: float

    @property
    def suspect(self) -> Person | None:
        """The person that this is about: of those counted, the most suspicious; the first of several."""
        return max((p for p in self.people if p.counted), key=lambda p: p.probability, default=None)
