"""What an explanation says, what it never says, and that its figures are those of the verdict and the card."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.checkpoint import Calibration, Card, Threshold
from verisight.core.preprocess import Preprocess
from verisight.scan.cautions import LONG
from verisight.scan.explain import answers, explain, of_100
from verisight.scan.heat import FaceHeat, Heat
from verisight.scan.verdict import Caution, FaceVerdict, Person, Provenance, Verdict

CARD = Card(
    name="tiny",
    method="user",
    task="deepfake",
    positive="fake",
    recipe={},
    preprocess=Preprocess(size=16),
    aggregate="mean-of-faces",
    calibration=Calibration(fitted_on="select abc, 400 files, 50% positive"),
    threshold=Threshold(value=0.8, rule="fpr@0.05", fitted_on="select abc"),
    clear=Threshold(value=0.3, rule="fnr@0.1", fitted_on="select abc"),
    notes="Trained on nine generators.",
)
PICTURE = (FaceVerdict(box=(1, 2, 3, 4), score=0.9, time_s=None),)
CLIP = tuple(FaceVerdict(box=(1, 2, 3, 4), score=0.9, time_s=t / 2, person=t % 2) for t in range(6))
PEOPLE = (
    Person(person=0, probability=0.9, faces=3, start_s=0.0, end_s=2.0),
    Person(person=1, probability=0.4, faces=3, start_s=0.5, end_s=2.5),
    Person(person=2, probability=0.99, faces=1, start_s=1.0, end_s=1.0, counted=False),
)


def verdict(**facts: object) -> Verdict:
    given = {"status": "scored", "label": "fake", "probability": 0.9, "threshold": 0.8, "faces": PICTURE}
    return Verdict.model_validate({"path": "a.jpg", "detector": "d@1", "seconds": 0.25, **given, **facts})


FAKE = verdict(interval=(0.84, 0.95))
FINE = verdict(label="real", probability=0.1)
DOUBT = verdict(status="abstained", label=None, probability=0.5, reason="in doubt: 0.50")
FACELESS = verdict(status="abstained", label=None, probability=None, faces=(), reason="no face found in the picture")
FAILED = verdict(status="failed", label=None, probability=None, faces=(), reason="cut off")
ALL = {"fake": FAKE, "fine": FINE, "doubt": DOUBT, "faceless": FACELESS, "failed": FAILED}


def told(question: str, of: Verdict, *, card: Card = CARD, heats: Sequence[FaceHeat] = ()) -> str:
    return dict(answers(of, card, heats)).get(question, "")


def heats(*where: str) -> list[FaceHeat]:
    nothing = Heat(np.zeros((4, 4), np.float32))
    return [FaceHeat(PICTURE[0], np.zeros((4, 4, 3), np.uint8), nothing, words) for words in where]


def decided(of: Verdict, card: Card = CARD) -> str:
    return told("What was decided?", of, card=card)


def how_sure(of: Verdict, card: Card = CARD) -> str:
    return told("How sure is that?", of, card=card)


# --- every verdict ---


@pytest.mark.parametrize("name", ALL)
def test_no_verdict_is_told_as_a_proof_or_in_the_jargon_of_the_trade(name: str) -> None:
    text = explain(ALL[name], CARD, heats("around the mouth"))
    for word in (
        "real",
        "authentic",
        "genuine",
        "logit",
        "probability",
        "calibrat",
        "threshold",
        "AUC",
        "score",
    ):
        assert not re.search(rf"\b{word}", text, re.IGNORECASE), word
    assert "None" not in text


@pytest.mark.parametrize("name", ALL)
def test_every_explanation_begins_with_the_decision_ends_with_what_to_do_and_repeats_itself(name: str) -> None:
    questions = [question for question, _ in answers(ALL[name], CARD)]
    assert questions[0] == "What was decided?"
    assert questions[-1] == "What to do next?"
    text = explain(ALL[name], CARD)
    assert text == explain(ALL[name], CARD)
    assert len(text.split("\n\n")) == len(questions)
    assert "  " not in text


@pytest.mark.parametrize("name", ALL)
def test_sentences_are_short_and_whole(name: str) -> None:
    for _, answer in answers(ALL[name], CARD, heats("around the mouth", "spread over the whole face")):
        assert answer.endswith(".")
        for sentence in re.split(r"(?<=[.:;]) ", answer):
            assert len(sentence.split()) <= 32, sentence


def test_the_decision_is_told_in_words_of_its_own() -> None:
    assert decided(FAKE).startswith("The detector says: fake. The detector gives it 90 of 100")
    assert decided(FINE).startswith("No forgery found.")
    assert "below 30 of 100 it finds none. That proves nothing" in decided(FINE)
    assert decided(DOUBT).startswith("No verdict: the detector is in doubt.")
    assert "below 30 of 100 it finds no forgery, from 80 of 100 on it says fake" in decided(DOUBT)
    assert "no face found in the picture" in decided(FACELESS)
    assert "could not be read (cut off)" in decided(FAILED)


def test_a_file_without_figures_is_not_given_any() -> None:
    for blank in (FACELESS, FAILED):
        assert "of 100" not in explain(blank, CARD)
        assert not how_sure(blank)


# --- figures ---


@given(st.floats(0, 1))
def test_only_certainty_reads_as_none_or_all(share: float) -> None:
    said = of_100(share)
    assert (said == "0 of 100") == (share == 0)
    assert (said == "100 of 100") == (share == 1)
    number = int(re.search(r"(\d+) of 100", said)[1])  # type: ignore[index]
    assert abs(number - 100 * share) <= 1


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_the_figure_and_the_limit_never_read_as_if_the_decision_were_wrong(figure: float, limit: float) -> None:
    label = "fake" if figure >= limit else "real"
    text = decided(verdict(probability=figure, threshold=limit, label=label), CARD.model_copy(update={"clear": None}))
    first, second = (float(number) for number in re.findall(r"([\d.]+) of 100", text)[:2])
    assert first >= second if label == "fake" else first <= second
    if abs(figure - limit) > 1e-4:
        assert first != second or "fewer" in text or "more than" in text


def test_error_rates_are_those_of_the_rules_of_the_card() -> None:
    assert "Of 100 files that nobody forged, about 5 are called fake all the same." in how_sure(FAKE)
    assert "Of 100 forged files, about 10 pass as this one did." in how_sure(FINE)
    strict = CARD.model_copy(update={"threshold": Threshold(value=0.8, rule="fpr@0.002", fitted_on="")})
    assert "Of 1000 files that nobody forged, about 2 are called fake" in how_sure(FAKE, strict)
    unstated = CARD.model_copy(update={"threshold": Threshold(value=0.8, rule="balanced", fitted_on=""), "clear": None})
    for of in (FAKE, FINE):
        assert "was not stated" in how_sure(of, unstated)


def test_the_interval_is_rounded_outwards_and_told_to_be_close_where_it_reaches_over() -> None:
    assert "anything from 84 to 95 of 100 fits" in how_sure(FAKE)
    assert "close" not in how_sure(FAKE)
    assert "exact" not in how_sure(verdict(interval=(0.9, 0.9)))  # no width is no knowledge
    wide = verdict(interval=(0.712, 0.951))
    assert "anything from 71 to 96 of 100 fits" in how_sure(wide)
    assert "reaches over to the other verdict" in how_sure(wide)


def test_where_forgeries_are_rare_the_chance_is_that_of_bayes() -> None:
    # 100 000 files, 1000 forged. At odds of 9 where half are forged, a figure of 0.9 has a likelihood ratio of 9.
    expected = 100 * 1000 * 9 / (1000 * 9 + 99_000)
    assert f"if only 1 of 100 is, then about {expected:.0f} of 100." in how_sure(FAKE)
    common = CARD.model_copy(update={"calibration": Calibration(fitted_on="select abc, 400 files, 75% positive")})
    assert f"{100 * 3 / (3 + 99):.0f} of 100." in how_sure(FAKE, common)  # 9 to 1 where 3 to 1 are forged: a ratio of 3
    unstated = CARD.model_copy(update={"calibration": Calibration()})
    assert "if only" not in how_sure(FAKE, unstated)


# --- what was looked at, and where ---


def test_the_people_of_a_clip_are_counted_and_the_suspect_is_named_by_when_he_is_seen() -> None:
    text = told("What was looked at?", verdict(faces=CLIP, people=PEOPLE))
    assert text.startswith("6 faces in 6 pictures of the clip, from 0.0 to 2.5 seconds.")
    assert "3 people; the verdict is about the most suspicious, the one seen from 0.0 to 2.0 seconds." in text
    assert "1 person in the background or passing by did not count." in text
    assert "The more people" in text
    assert "The more people" not in told("What was looked at?", FINE.model_copy(update={"people": PEOPLE}))


def test_a_person_in_a_picture_is_counted_from_the_left() -> None:
    people = tuple(Person(person=i, probability=p, faces=1) for i, p in enumerate((0.2, 0.3, 0.9)))
    faces = tuple(FaceVerdict(box=(9 * i, 2, 3, 4), score=0.9, time_s=None, person=i) for i in range(3))
    text = told("What was looked at?", verdict(faces=faces, people=people))
    assert text.startswith("3 faces in the picture.")
    assert "number 3 from the left" in text
    assert told("What was looked at?", FAKE) == "1 face in the picture."


def test_places_of_the_heat_are_told_with_what_they_do_not_mean() -> None:
    def where(*words: str, of: Verdict = FAKE) -> str:
        return told("Where does it show?", of, heats=heats(*words))

    assert where() == ""
    assert where("around the mouth").startswith("What speaks for a forgery in the face lies around the mouth.")
    assert where("around the mouth").endswith("which need not be what was changed.")
    assert where("around the mouth", of=FINE).startswith("What little speaks for a forgery")
    assert "in each of the 2 most suspicious faces lies around" in where("around the mouth", "around the mouth")
    three = where("around the left eye", "around the left eye", "spread over the whole face")
    assert "lies around the left eye in 2 faces and spread over the whole face in 1 face, of the 3" in three
    assert "Left and right are those of the picture." in three
    assert "Left and right" not in where("around the mouth")
    assert "Cover any one part" in where("in no single place")
    assert "Cover any one part" not in where("in no single place", "around the mouth")
    assert "with care" in where("outside the face")
    assert "with care" not in where("around the mouth and outside the face")


# --- what comes from elsewhere ---


@pytest.mark.parametrize("code", LONG)
def test_cautions_are_told_with_their_long_form(code: str) -> None:
    text = told("What makes this worth less?", verdict(warnings=(Caution(code=code, text="Seen thus."),)))
    assert text == f"Seen thus. {LONG[code]}"


def test_an_unknown_caution_and_a_remark_are_told_as_they_are() -> None:
    odd = verdict(warnings=(Caution(code="of-next-year", text="Something new."),), reason="its last part is missing")
    assert told("What makes this worth less?", odd) == "Note: its last part is missing. Something new."
    assert told("What makes this worth less?", FAKE) == ""


def test_origin_and_makers_words_are_told_on_one_line_each() -> None:
    provenance = Provenance(c2pa="invalid", made_with=("software:\n\x1b[31mEvil",))
    text = told("What does the file say of its origin?", verdict(provenance=provenance))
    assert "invalid" in text
    assert "\x1b" not in text
    assert "\n" not in text
    assert told("What does the file say of its origin?", verdict(provenance=Provenance())) == ""
    assert "Its makers say: Trained on nine generators." in told("What can the detector not do?", FAKE)
    assert "makers" not in told("What can the detector not do?", FAKE, card=CARD.model_copy(update={"notes": ""}))


def test_what_to_do_next_depends_on_what_came_out() -> None:
    after = {name: told("What to do next?", of) for name, of in ALL.items()}
    assert after["fake"].startswith("Do not accuse anybody on this alone.")
    assert "larger or sharper" in after["faceless"]
    assert "another program" in after["failed"]
    for name in ("fake", "fine", "doubt", "faceless"):
        assert "original file" in after[name]
        assert "other sources" in after[name]
        assert "ask a person" in after[name]
