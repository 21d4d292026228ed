"""When a verdict is worth less, and whether a person is told so in one plain sentence."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.checkpoint import Card
from verisight.core.preprocess import Preprocess
from verisight.scan.cautions import LONG, cautions
from verisight.scan.verdict import Person, Quality

SEEN = "resize:0.35..1?0.35 blur:0.3..1.5?0.2 h264:18..42?0.15 jpeg:35..95?0.5"
PHOTO = {"codec": "jpeg", "width": 800, "height": 600, "jpeg_quality": 90, "face_px": 200.0, "detail": 0.9}
CLIP = {
    "codec": "h264",
    "width": 800,
    "height": 600,
    "fps": 25.0,
    "duration_s": 8.0,
    "crf": 23.0,
    "face_px": 200.0,
    "detail": 0.9,
}


def card(augment: dict[str, Any] | None = None, **preprocess: Any) -> Card:
    return Card(
        name="mine",
        method="user",
        task="deepfake",
        positive="fake",
        recipe={} if augment is None else {"augment": augment},
        preprocess=Preprocess(size=160, margin=1.25, **preprocess),
        aggregate="mean-of-frame-max",
    )


def people(*faces: int, counted: bool = True) -> tuple[Person, ...]:
    return tuple(Person(person=i, probability=0.5, faces=n, counted=counted) for i, n in enumerate(faces))


def found(
    base: dict[str, Any] | None = PHOTO,
    *,
    novelty: float | None = None,
    of: Card | None = None,
    by: tuple[Person, ...] = people(16),
    **changes: Any,
) -> dict[str, str]:
    """Code -> sentence."""
    quality = None if base is None else Quality(**{"codec": "jpeg", **base}).model_copy(update=changes)
    seen = cautions(quality, novelty=novelty, card=of or card({"quality": SEEN}), people=by)
    return {caution.code: caution.text for caution in seen}


WORST = {
    "novelty": 0.9987,
    "screen": 1e-9,
    "jpeg_quality": 20,
    "face_px": 50.0,
    "duration_s": 0.4,
    "monochrome": True,
    "by": people(1, 1, 1, 1, 1),
}


def test_an_ordinary_photo_or_clip_has_none() -> None:
    assert found(PHOTO, novelty=0.5) == {}
    assert found(CLIP, novelty=0.99) == {}
    assert found(None) == {}


def test_what_was_not_measured_gives_none() -> None:
    assert found({"codec": "png", "width": 9, "height": 9}) == {}


def test_where_nobody_was_judged_there_is_no_verdict_to_warn_of() -> None:
    assert found(PHOTO, **{**WORST, "by": ()}) == {}


def test_the_most_serious_comes_first() -> None:
    codes = [*found(PHOTO, **WORST), *found(PHOTO, detail=0.1)]
    assert codes == [
        "unlike-training",
        "screen",
        "small-face",
        "heavy-compression",
        "few-pictures",
        "short-clip",
        "many-people",
        "monochrome",
        "low-detail",
    ]
    assert set(codes) == set(LONG)
    order = [code for code in LONG if code in found(PHOTO, **WORST)]
    assert order == list(found(PHOTO, **WORST))


@pytest.mark.parametrize("of", [card({"quality": SEEN}), card()])
def test_every_caution_is_one_plain_sentence(of: Card) -> None:
    every = {**found(PHOTO, of=of, **WORST), **found(PHOTO, of=of, detail=0.1), **found(CLIP, of=of, crf=48.0)}
    for text in every.values():
        assert re.fullmatch(r"[A-Z0-9][^\n]*[^.]\.", text)
        assert not re.search(r"[.!?] ", text)  # one sentence
        assert len(text) < 200
        assert not re.search(r"nan|None|p-value|logit|e-\d", text)


@pytest.mark.parametrize("code", LONG)
def test_the_longer_words_say_what_can_be_done(code: str) -> None:
    assert 2 <= len(re.findall(r"[.;](?= |$)", LONG[code])) <= 5
    assert re.search(r"\b([Gg]et|[Ll]ook|[Aa]sk|[Ss]can|[Tt]ake)\b", LONG[code])
    assert "  " not in LONG[code]
    assert "- " not in LONG[code]


@pytest.mark.parametrize(("novelty", "told"), [(None, False), (0.5, False), (0.99, False), (0.991, True), (1.0, True)])
def test_novelty_from_099_on(novelty: float | None, told: bool) -> None:
    assert ("unlike-training" in found(novelty=novelty)) == told


def test_novelty_is_never_rounded_up_to_all() -> None:
    assert " 99.4 %" in found(novelty=0.99499)["unlike-training"]
    assert " 99.9 %" in found(novelty=1.0)["unlike-training"]


def test_a_face_of_less_than_half_the_pixels_of_the_input_is_small() -> None:
    assert "small-face" not in found(face_px=64.0)  # 160 / 1.25 / 2
    text = found(face_px=63.0)["small-face"]
    assert "63 px" in text
    assert "128 px" in text
    assert "small-face" in found(face_px=79.0, of=card(None).model_copy(update={"preprocess": Preprocess(size=200)}))


def test_detail_is_held_against_the_range_of_resizing_that_training_saw() -> None:
    """128 px in the input, down to 0.35 of them: 44.8 px."""
    assert "low-detail" not in found(face_px=200.0, detail=0.23)
    assert "about 43 px" in found(face_px=200.0, detail=0.215)["low-detail"]
    assert "low-detail" in found(face_px=200.0, detail=0.23, of=card())  # states none: 64 px
    sides = card({"quality": "resize:40..160"})  # in pixels of the crop: a quarter
    assert "low-detail" in found(face_px=200.0, detail=0.15, of=sides)
    assert "low-detail" not in found(face_px=200.0, detail=0.17, of=sides)


def test_a_small_face_is_not_blamed_twice() -> None:
    assert list(found(face_px=50.0, detail=0.2)) == ["small-face"]


@pytest.mark.parametrize(
    ("augment", "least"),
    [
        ({"quality": SEEN}, 40),
        ({"quality": "blur:1 jpeg:70"}, 70),
        ({"quality": "blur:0.3..1.5"}, 40),
        ({}, 40),
        (None, 40),
        ({"quality": None}, 40),
    ],
)
def test_jpeg_under_40_or_under_what_training_saw_is_heavy(augment: dict[str, Any] | None, least: int) -> None:
    of = card(augment)
    assert "heavy-compression" not in found(jpeg_quality=least, of=of)
    text = found(jpeg_quality=least - 1, of=of)["heavy-compression"]
    assert f"quality {least - 1} of 100" in text
    assert ("training" in text) == (least != 40)  # nothing is compared with what is not known


@pytest.mark.parametrize(
    ("quality", "most"), [(SEEN, 30), ("c23", 23), ("h264:18..26", 26), ("jpeg:40..95", 30), ("", 30)]
)
def test_a_crf_over_30_or_over_what_training_saw_is_heavy(quality: str, most: int) -> None:
    of = card({"quality": quality})
    assert "heavy-compression" not in found(CLIP, crf=float(most), of=of)
    text = found(CLIP, crf=most + 1.0, of=of)["heavy-compression"]
    assert f"CRF {most + 1}" in text
    assert ("training" in text) == (most != 30)


def test_far_beyond_the_limit_the_sentence_says_what_training_saw() -> None:
    assert "anything in the detector's training (35)" in found(jpeg_quality=34)["heavy-compression"]
    assert "42 the most in the detector's training" in found(CLIP, crf=43.0)["heavy-compression"]


def test_a_screen_needs_a_small_p() -> None:
    assert "screen" not in found(screen=1e-4)
    assert "screen" not in found(screen=None)
    assert "screen" in found(screen=9e-5)


def test_few_pictures_are_counted_by_the_best_seen_person_of_a_clip() -> None:
    assert "a single picture" in found(CLIP, by=people(1))["few-pictures"]
    assert "3 pictures" in found(CLIP, by=people(1, 3))["few-pictures"]
    assert "few-pictures" not in found(CLIP, by=people(1, 4))
    assert "few-pictures" not in found(PHOTO, by=people(1))  # a photo has no more
    assert "few-pictures" in found(CLIP, by=(*people(2), *people(9, counted=False)))


def test_a_clip_under_a_second_is_short() -> None:
    assert "0.99 s" in found(CLIP, duration_s=0.99)["short-clip"]
    assert "short-clip" not in found(CLIP, duration_s=1.0)
    assert "short-clip" not in found(PHOTO)


def test_many_people_are_those_who_count() -> None:
    assert found(by=people(1, 1, 1, 1))["many-people"].startswith("4 people")
    assert "many-people" not in found(by=people(1, 1, 1))
    assert "many-people" not in found(by=people(*[1] * 30, counted=False))


def test_monochrome_is_told_where_it_is_known() -> None:
    assert "monochrome" in found(monochrome=True)
    assert "monochrome" not in found(monochrome=False)


@given(
    quality=st.fixed_dictionaries(
        {},
        optional={
            "duration_s": st.floats(0, 1e6),
            "jpeg_quality": st.integers(1, 100),
            "crf": st.floats(0, 51),
            "face_px": st.floats(0, 1e5),
            "detail": st.floats(0, 1),
        },
    ),
    novelty=st.none() | st.floats(0, 1) | st.just(float("nan")),
    augment=st.none() | st.fixed_dictionaries({"quality": st.text(max_size=20)}),
)
def test_any_measure_and_any_card_give_cautions_in_order(
    quality: dict[str, Any], novelty: float | None, augment: dict[str, Any] | None
) -> None:
    base = {"codec": "h264", "width": 1, "height": 1, **quality}
    codes = list(found(base, novelty=novelty, of=card(augment)))
    assert codes == [code for code in LONG if code in codes]
