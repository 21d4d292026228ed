"""A verdict in words for people who are no experts: what was decided, how sure that is, and what to do next.

Chances are told as natural frequencies, "5 of 100", which people reason about better than about probabilities
(Gigerenzer, Hoffrage, "How to improve Bayesian reasoning without instruction", Psychological Review 102, 1995).
Nothing here says that a file is genuine: a detector can find no forgery, and that is all.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from verisight.core.checkpoint import Calibration, Card, Threshold
from verisight.core.errors import one_line
from verisight.scan.cautions import LONG
from verisight.scan.heat import NO_PLACE, REGIONS, FaceHeat, listed
from verisight.scan.provenance import facts
from verisight.scan.verdict import Person, Verdict

RARE = 0.01  # share of forged files for which the chance is told as well: where people meet files, most are not forged


def explain(verdict: Verdict, card: Card, heats: Sequence[FaceHeat] = ()) -> str:
    """The explanation as plain text: a paragraph a question, with an empty line between them.

    verdict : of any status. card : of the detector that gave it. heats : of its faces, by `heats_of`; may be left out.
    """
    return "\n\n".join(f"{question} {answer}" for question, answer in answers(verdict, card, heats))


def answers(verdict: Verdict, card: Card, heats: Sequence[FaceHeat] = ()) -> list[tuple[str, str]]:
    """Questions and their answers, in reading order; a question that a verdict does not raise is left out.

    Answers may hold words of the file and of the card, without line breaks and control characters.
    """
    asked = [
        ("What was decided?", _decided(verdict, card)),
        ("How sure is that?", _how_sure(verdict, card)),
        ("What was looked at?", _looked_at(verdict)),
        ("Where does it show?", _where(verdict, heats)),
        ("What makes this worth less?", _worth_less(verdict)),
        ("What does the file say of its origin?", facts(verdict.provenance) if verdict.provenance else ()),
        ("What can the detector not do?", _limits(card) if verdict.status != "failed" else ()),
        ("What to do next?", _next(verdict)),
    ]
    told = [(question, " ".join(map(one_line, sentences))) for question, sentences in asked]
    return [(question, answer) for question, answer in told if answer]


def of_100(share: float) -> str:
    """A share 0..1 as a natural frequency; what is not certain never reads as none or all."""
    if 0 < share < 0.01:
        return "fewer than 1 of 100"
    if 0.99 < share < 1:
        return "more than 99 of 100"
    return f"{100 * share:.0f} of 100"


def _decided(verdict: Verdict, card: Card) -> Iterator[str]:
    if verdict.status == "failed":
        yield f"Nothing: the file could not be read ({verdict.reason or 'no reason is known'})."
        yield "That says nothing about it, neither good nor bad."
        return
    if verdict.probability is None:
        yield f"Nothing: there was no face that can be judged ({verdict.reason or 'no reason is known'})."
        yield "What is no face is not judged, so the file may be forged or not."
        return
    figure, threshold = _apart(verdict.probability, verdict.threshold)
    scale = f"The detector gives it {figure}, where more is more suspicious"
    if verdict.status == "abstained":
        yield "No verdict: the detector is in doubt."
        low = f"below {of_100(card.clear.value)} it finds no forgery, " if card.clear else ""
        yield f"{scale}; {low}from {threshold} on it says fake, and here it does not decide."
    elif verdict.label == "fake":
        yield "The detector says: fake."
        yield f"{scale}; from {threshold} on it says fake."
    else:
        yield "No forgery found."
        clear = (
            f"below {of_100(card.clear.value)} it finds none"
            if card.clear
            else f"only from {threshold} on it says fake"
        )
        yield f"{scale}; {clear}."
        yield "That proves nothing: it knows some traces of forgery, and not all that there are."


def _how_sure(verdict: Verdict, card: Card) -> Iterator[str]:
    """Error rates of the kind that this verdict can be, the interval, and what the numbers take for granted."""
    if verdict.probability is None:
        return
    false_alarms, missed = _share(card.threshold, "fpr"), _share(card.clear, "fnr")
    if verdict.label == "fake" and false_alarms is not None:
        some, all_ = _counted(false_alarms)
        yield f"Of {all_} files that nobody forged, about {some} are called fake all the same."
    elif verdict.label == "real" and missed is not None:
        some, all_ = _counted(missed)
        yield f"Of {all_} forged files, about {some} pass as this one did."
    elif verdict.label is not None:
        yield "How often a verdict like this one is wrong was not stated for this detector."
    low, high = verdict.interval or (0.0, 0.0)
    if low < high:  # older cards know nothing of a picture's
        yield f"The figure is not exact: anything {_between(low, high)} fits what was seen as well."
        if low < verdict.threshold <= high and verdict.label:
            yield "That reaches over to the other verdict, so this one was close."
    common = _forged_share(card.calibration)
    if common is not None and verdict.label != "real":
        rare = _moved(verdict.probability, common, RARE)
        yield (
            f"If {of_100(common)} files are forged, as among those that the detector was set with, then so are about"
            f" {of_100(verdict.probability)} with this figure; if only {of_100(RARE)} is, then about {of_100(rare)}."
        )
    yield "On kinds of files that the detector has not met, all of this can be worse."


def _between(low: float, high: float) -> str:
    """An interval, rounded outwards."""
    first, last = math.floor(100 * low + 1e-9), math.ceil(100 * high - 1e-9)
    return f"from {first} to {last} of 100"


def _looked_at(verdict: Verdict) -> Iterator[str]:
    if not verdict.faces:
        return
    person, counted = verdict.suspect, sum(p.counted for p in verdict.people)
    times = sorted({face.time_s for face in verdict.faces if face.time_s is not None})
    if times:
        span = f", from {times[0]:.1f} to {times[-1]:.1f} seconds" if len(times) > 1 else f", at {times[0]:.1f} seconds"
        yield f"{_number(len(verdict.faces), 'face')} in {_number(len(times), 'picture')} of the clip{span}."
        yield "What lies between these pictures was not looked at, and nothing was heard."
    else:
        yield f"{_number(len(verdict.faces), 'face')} in the picture."
    if person is not None and len(verdict.people) > 1:
        yield f"They are of {len(verdict.people)} people; the verdict is about the most suspicious, {_which(person)}."
        if passing := len(verdict.people) - counted:
            yield f"{_number(passing, 'person', 'people')} in the background or passing by did not count."
        if counted > 1 and verdict.label == "fake":
            yield "The more people a file shows, the likelier it is that one of them is called fake by mistake."


def _which(person: Person) -> str:
    """A person as one finds them in the file."""
    if person.start_s is None or person.end_s is None:
        return f"number {person.person + 1} from the left"
    if person.start_s == person.end_s:
        return f"the one seen at {person.start_s:.1f} seconds"
    return f"the one seen from {person.start_s:.1f} to {person.end_s:.1f} seconds"


def _where(verdict: Verdict, heats: Sequence[FaceHeat]) -> Iterator[str]:
    if not heats:
        return
    what = "What speaks for a forgery" if verdict.label == "fake" else "What little speaks for a forgery"
    places = Counter(heat.where for heat in heats).most_common()
    if len(places) == 1:
        faces = "the face" if len(heats) == 1 else f"each of the {len(heats)} most suspicious faces"
        yield f"{what} in {faces} lies {places[0][0]}."
    else:
        each = [f"{place} in {_number(number, 'face')}" for place, number in places]
        yield f"{what} lies {listed(each)}, of the {len(heats)} that are most suspicious."
    words = " ".join(place for place, _ in places)
    if "left" in words or "right" in words:
        yield "Left and right are those of the picture."
    if words == NO_PLACE:
        yield "Cover any one part, and the figure hardly changes."
    if all(place == REGIONS[0] for place, _ in places):
        yield "A forged face should betray itself in the face, so take this with care."
    yield "This shows what the detector reacts to, which need not be what was changed."


def _worth_less(verdict: Verdict) -> Iterator[str]:
    if verdict.status == "scored" and verdict.reason:
        yield f"Note: {verdict.reason}."
    for caution in verdict.warnings:
        yield caution.text
        if caution.code in LONG:
            yield LONG[caution.code]


def _limits(card: Card) -> Iterator[str]:
    yield "It judges faces and nothing else: no sound, no text, no place, and not whether a true picture tells a lie."
    yield "Forgeries made in ways that it was not trained on may pass."
    if card.notes:
        yield f"Its makers say: {card.notes}"


def _next(verdict: Verdict) -> Iterator[str]:
    if verdict.status == "failed":
        yield "See whether another program opens it; if not, get it again from where it came from."
        yield "If one does, save it there as JPEG, PNG or MP4 and scan that, or better the original."
        return
    if verdict.probability is None:
        yield "If it shows a face, get a larger or sharper version, or the part of the clip in which the face is near."
    if verdict.label == "fake":
        yield "Do not accuse anybody on this alone."
    yield "Get the original file, from whoever made it, not a copy from a chat or a network, and scan that."
    yield "Look for the same scene from other sources: who published it first, when, and what else was seen there."
    yield "If something depends on it, ask a person who examines such files, and those whom it shows."


def _counted(share: float) -> tuple[int, int]:
    """How many of how many: of 100, or of the power of ten at which a small share is a whole file or more."""
    total = 100
    while 0 < share * total < 1 and total < 1_000_000:
        total *= 10
    return round(share * total), total


def _apart(figure: float, threshold: float) -> tuple[str, str]:
    """Both of 100, with as many decimals as it takes to see which is higher."""
    for digits in range(4):
        one, other = (f"{100 * value:.{digits}f} of 100" for value in (figure, threshold))
        if one != other:
            break
    return (of_100(figure), other) if digits == 0 else (one, other)


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _share(threshold: Threshold | None, kind: str) -> float | None:
    """The X of a rule `kind@X`."""
    name, _, text = (threshold.rule if threshold else "").partition("@")
    return float(text) if name == kind and re.fullmatch(r"\d*\.?\d+(e-\d+)?", text) else None


def _forged_share(calibration: Calibration) -> float | None:
    """Share of forged files among those that the calibration was fitted on, as it states."""
    stated = re.search(r"(\d+)% positive", calibration.fitted_on)
    share = int(stated[1]) / 100 if stated else 0.0
    return share if 0 < share < 1 else None


def _moved(probability: float, share: float, other: float) -> float:
    """A probability that holds where `share` of the files are forged, moved to where `other` are (Bayes, in odds)."""
    for_fake = probability * other / share
    against = (1 - probability) * (1 - other) / (1 - share)
    return for_fake / (for_fake + against)
