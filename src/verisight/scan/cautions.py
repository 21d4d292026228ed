"""What makes a verdict worth less, in words for people who are no experts.

A caution changes no number. It is drawn where a file leaves the range that the detector's card states of its training
(`recipe.augment`, `preprocess`), and at the limits below whatever the card states; the sentence then claims no
comparison.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from verisight.core.checkpoint import Card
from verisight.data.quality import QUALITIES
from verisight.scan.verdict import Caution, Person, Quality

UNUSUAL = 0.99  # novelty above which a face is unlike the faces that a detector was set up with
SCREEN_P = 1e-4  # see `quality.screen_p`: one false alarm in 1500 face crops
LEAST_SHARE = 0.5  # of the pixels of a face in the detector's input that the file itself has to hold
LEAST_DETAIL = 0.5  # of the same, for detail; a card that states a range of resizing has its own
LEAST_JPEG, MOST_CRF = 40, 30  # beyond these compression is heavy, whatever training saw
FEW_PICTURES = 4  # of one person in a clip
SHORT_S = 1.0
MANY_PEOPLE = 4

LONG = {  # from the most serious on; `cautions` keeps this order
    "unlike-training": (
        "A detector answers for every face, also for kinds of pictures that it has never met: paintings, masks, "
        "make-up, odd lenses, filters, other generators. Here the face lies outside of nearly all that it was set up "
        "with, and nobody has measured how often it errs there. Take the probability as no evidence either way; look "
        "for the origin of the file instead."
    ),
    "screen": (
        "When a screen is filmed or photographed, its raster of pixels leaves a fine regular pattern, and the traces "
        "of a forgery that was shown on it are mostly lost. Printed pages, brick walls and fine cloth can leave such "
        "a pattern, too, so look at the picture. Ask for the file that was shown, not for a picture of it; a real "
        "face shown on a screen may be called fake, and a fake one real."
    ),
    "small-face": (
        "A face is enlarged to the size at which the detector looks at it, and what enlarging adds is no evidence. "
        "Look for a larger version of the picture, for the original file, or for a moment of the clip in which the "
        "face comes closer. Do not enlarge the file yourself: that adds no evidence."
    ),
    "low-detail": (
        "The face fills more pixels than its detail needs. The file may have been enlarged, put through a messenger "
        "or a filter, be out of focus, or moving. All of these may be harmless, and all of them blur the traces "
        "that forgeries leave. Get the version that stands nearest to the camera: the original file, from whoever "
        "took it."
    ),
    "heavy-compression": (
        "Saving with strong compression throws fine traces away and draws blocks of its own. Social networks and "
        "messengers do it to every upload, and what stood before the last saving cannot be told from the file. Get "
        "the original file, sent as a file, by mail or on a drive, and not as a picture in a chat; copies that were "
        "passed on many times are worth the least."
    ),
    "few-pictures": (
        "A verdict on a clip rests on many pictures, so that a blink, a blur or a turned head weighs little. Here the "
        "face was seen too seldom for that. Cut the part of the clip in which the face shows and scan it alone, or "
        "scan a longer version of the clip."
    ),
    "short-clip": (
        "Pictures a few hundredths of a second apart show the same face in the same light: they agree because they "
        "are nearly the same picture, not because the verdict is sure. Scan the longest version of the clip that you "
        "can find."
    ),
    "many-people": (
        "The verdict on a file is that of its most suspicious person. If one real face in twenty is called fake by "
        "mistake, then among twenty real faces there is one such on average. Look at each person's own probability, "
        "and whether the suspicious one matters to what the picture is said to show; cut that person out of the best "
        "version of the picture, with some room around the face, and scan it alone."
    ),
    "monochrome": (
        "Some forgeries betray themselves in their colours, and a file without colours cannot. Grey or tinted "
        "pictures are also rare among those that detectors are trained on. If a version in colour exists, scan that "
        "one."
    ),
}


def cautions(
    quality: Quality | None, *, novelty: float | None, card: Card, people: Sequence[Person]
) -> tuple[Caution, ...]:
    """What to keep in mind about a verdict, the most serious first; nothing for an ordinary file or without a face.

    quality : of the file; None where it was not measured. What it does not know gives no caution.
    novelty : as in `Verdict`. card : of the detector. people : everybody who was scored.
    """
    if not people:
        return ()
    found = {"unlike-training": _unlike(novelty), "many-people": _many(people)}
    if quality is not None:
        seen = _seen_by(card)
        found |= {
            "screen": _screen(quality),
            "small-face": _small(quality, seen),
            "heavy-compression": _compressed(quality, seen),
            "few-pictures": _few(quality, people),
            "short-clip": _short(quality),
            "monochrome": _monochrome(quality),
        }
        found["low-detail"] = None if found["small-face"] else _coarse(quality, seen)
    return tuple(Caution(code=code, text=text) for code in LONG if (text := found.get(code)))


class _Seen(NamedTuple):
    """What a detector was trained on, as its card states; None where it does not.

    face_px : longer side of a face in the detector's input. resize : smallest factor, jpeg : lowest quality,
    crf : highest rate factor that training put its pictures through.
    """

    face_px: float
    resize: float | None = None
    jpeg: float | None = None
    crf: float | None = None


def _seen_by(card: Card) -> _Seen:
    augment = card.recipe.get("augment")
    stated = dict(_ranges(augment)) if isinstance(augment, dict) else {}
    face_px = card.preprocess.size / card.preprocess.margin
    resize = stated.get("resize", (None, None))[0]
    if resize is not None and resize > 1:  # given as a side in pixels
        resize = min(1.0, resize / card.preprocess.size)
    return _Seen(face_px, resize, stated.get("jpeg", (None, None))[0], stated.get("h264", (None, None))[1])


def _ranges(augment: dict[str, Any]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Name, least and greatest value of every operation of training."""
    text = " ".join(QUALITIES.get(token, token) for token in str(augment.get("quality", "")).split())
    for name, low, high in re.findall(r"(\w+):(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?", text):
        yield name, (float(low), float(high or low))


def _unlike(novelty: float | None) -> str | None:
    if novelty is None or not novelty > UNUSUAL:
        return None
    share = math.floor(1000 * novelty) / 10
    return (
        f"The deciding face is more unusual to the detector than {min(share, 99.9):.1f} % of the faces that it was set"
        " up with, so nobody knows how often it errs on such a file."
    )


def _screen(quality: Quality) -> str | None:
    if quality.screen is None or quality.screen >= SCREEN_P:
        return None
    return (
        "The picture carries a fine regular pattern, as a photographed screen does, which hides how the picture on"
        " that screen was made, so the verdict may be wrong either way."
    )


def _small(quality: Quality, seen: _Seen) -> str | None:
    if quality.face_px is None or quality.face_px >= LEAST_SHARE * seen.face_px:
        return None
    return (
        f"The face is {quality.face_px:.0f} px large and the detector looks at {seen.face_px:.0f} px, so more than half"
        " of what it sees was made up by enlarging and is no evidence."
    )


def _coarse(quality: Quality, seen: _Seen) -> str | None:
    if quality.face_px is None or quality.detail is None:
        return None
    holds_px = quality.face_px * quality.detail
    if holds_px >= (seen.resize or LEAST_DETAIL) * seen.face_px:
        return None
    return (
        f"The face is {quality.face_px:.0f} px large but holds the detail of one of about {holds_px:.0f} px, as after"
        " enlarging or blurring, so traces of a forgery may be missing."
    )


def _compressed(quality: Quality, seen: _Seen) -> str | None:
    """Heavy whatever training saw, for what is gone is gone; and outside of what it saw the sentence says so."""
    if quality.jpeg_quality is not None:
        unseen = seen.jpeg is not None and quality.jpeg_quality < seen.jpeg
        beyond = unseen or quality.jpeg_quality < LEAST_JPEG
        what = f"The picture was saved at JPEG quality {quality.jpeg_quality} of 100"
        versus = f", lower than anything in the detector's training ({seen.jpeg:.0f})" if unseen else ""
    elif quality.crf is not None:
        unseen = seen.crf is not None and quality.crf > seen.crf
        beyond = unseen or quality.crf > MOST_CRF
        what = f"The clip is compressed to about CRF {quality.crf:.0f} of H.264, where 51 is the worst"
        versus = f" and {seen.crf:.0f} the most in the detector's training" if unseen else ""
    else:
        return None
    return f"{what}{versus}, so traces of a forgery may be gone and others have come in." if beyond else None


def _few(quality: Quality, people: Sequence[Person]) -> str | None:
    most = max((person.faces for person in people if person.counted), default=0)
    if quality.duration_s is None or not 0 < most < FEW_PICTURES:
        return None
    pictures = "a single picture" if most == 1 else f"{most} pictures"
    return f"Nobody in this clip was judged on more than {pictures}, so a blink or a blur may have decided."


def _short(quality: Quality) -> str | None:
    if quality.duration_s is None or quality.duration_s >= SHORT_S:
        return None
    return (
        f"The clip is {quality.duration_s:.2f} s long, so its pictures are nearly alike and agree with each other more"
        " than they prove."
    )


def _many(people: Sequence[Person]) -> str | None:
    counted = sum(person.counted for person in people)
    if counted < MANY_PEOPLE:
        return None
    return (
        f"{counted} people were judged and the most suspicious one decides, so a false alarm is likelier than with a"
        " single face."
    )


def _monochrome(quality: Quality) -> str | None:
    if not quality.monochrome:
        return None
    return (
        "The picture has no colours but shades of one, so the detector lacks the traces that forgeries leave in"
        " colours, and has met few such pictures."
    )
