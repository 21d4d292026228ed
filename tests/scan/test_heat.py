"""Heat maps against closed forms, their words on drawn faces, and the test that they depend on what was learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.checkpoint import Card, load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector, checkpoint_path
from verisight.core.errors import InputError
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face, box_in_crop, crop_face, face_finder
from verisight.data.preprocess import normalise
from verisight.scan.heat import (
    BLUR,
    FAINT,
    HOTTEST,
    REGIONS,
    Heat,
    heat_map,
    heats_of,
    overlay,
    palette,
    sanity,
    upright,
)
from verisight.scan.verdict import FaceVerdict, Person, Verdict

SIZE = 56
PREPROCESS = Preprocess(size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
CARD = Card(
    name="tiny",
    method="user",
    task="deepfake",
    positive="fake",
    recipe={},
    preprocess=PREPROCESS,
    aggregate="mean-of-faces",
)
# A face in eye distances of 20 px: eyes, nose tip and mouth corners in a crop of 60 px.
POINTS = np.array([[20, 20], [40, 20], [30, 31], [22, 43], [38, 43]], np.float32)


def detector(scorer: Callable[[np.ndarray], np.ndarray], preprocess: Preprocess = PREPROCESS) -> Detector:
    return Detector(CARD.model_copy(update={"preprocess": preprocess}), scorer)


def noise(seed: int = 0, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def linear(weights: np.ndarray) -> Detector:
    """weights : (3, S, S)."""
    return detector(lambda batch: np.einsum("nchw,chw->n", batch.astype(np.float64), weights))


def hot(*places: tuple[float, float], size: int = 60, radius: int = 4, height: float = 2.0) -> Heat:
    """Heat of one height in discs about places (x, y)."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    discs = [np.hypot(x - u, y - v) <= radius for u, v in places]
    return Heat((height * np.any(discs, axis=0)).astype(np.float32))


# --- the map ---


def test_a_linear_detector_has_the_heat_of_the_closed_form() -> None:
    crop, cells = noise(), 4
    weights = np.random.default_rng(1).normal(size=(3, SIZE, SIZE)) / SIZE
    blurred = cv2.GaussianBlur(crop, (0, 0), BLUR * SIZE, borderType=cv2.BORDER_REFLECT)
    std = np.array(PREPROCESS.std).reshape(3, 1, 1) * 255
    evidence = (weights * (crop.astype(float) - blurred).transpose(2, 0, 1) / std).sum(axis=0)

    expected, falls = np.zeros((SIZE, SIZE)), 0.0
    for row in range(cells):
        for column in range(cells):
            window = np.outer(bump(row, cells), bump(column, cells))
            falls += float((window * evidence).sum())
            expected += window * (window * evidence).sum()
    assert_allclose(heat_map(crop, linear(weights), cells=cells), expected, atol=1e-4)
    assert falls == pytest.approx(evidence.sum(), abs=1e-9)  # nothing lost, nothing counted twice


def bump(cell: int, cells: int) -> np.ndarray:
    """A raised cosine about the middle of a cell, pixel by pixel; beyond the outermost middles it is 1."""
    step, values = SIZE / cells, []
    for pixel in range(SIZE):
        place = min(max(pixel + 0.5, step / 2), SIZE - step / 2)
        distance = abs(place - (cell + 0.5) * step) / step
        values.append(np.cos(np.pi * distance / 2) ** 2 if distance < 1 else 0.0)
    return np.array(values)


@pytest.mark.parametrize(("x", "y"), [(4, 4), (28, 28), (44, 12), (20, 52)])
def test_a_detector_of_one_patch_is_hottest_there_and_cold_far_away(x: int, y: int) -> None:
    crop = np.full((SIZE, SIZE, 3), 20, np.uint8)
    crop[y - 2 : y + 3, x - 2 : x + 3] = 240
    heat = heat_map(crop, detector(lambda batch: batch[:, :, y - 2 : y + 3, x - 2 : x + 3].mean(axis=(1, 2, 3))))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert heat.max() > 0.2
    assert abs(row - y) <= 4
    assert abs(column - x) <= 4  # half of a window of 8
    far = np.hypot(*(np.indices(heat.shape) - np.array([y, x]).reshape(2, 1, 1))) > 25
    assert np.abs(heat[far]).max() == 0


def test_what_speaks_against_is_negative() -> None:
    weights = np.random.default_rng(2).normal(size=(3, SIZE, SIZE))
    assert_allclose(heat_map(noise(), linear(-weights)), -heat_map(noise(), linear(weights)), rtol=1e-4, atol=1e-3)


def test_a_blind_detector_and_an_empty_picture_have_no_heat() -> None:
    assert not heat_map(noise(), detector(lambda batch: np.full(len(batch), 7.0))).any()
    grey = np.full((SIZE, SIZE, 3), 90, np.uint8)
    assert not heat_map(grey, detector(lambda batch: batch[:, 0].mean(axis=(1, 2)))).any()


def test_large_crops_are_scored_in_parts_to_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def scorer(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return (batch**2).mean(axis=(1, 2, 3))

    whole = heat_map(noise(), detector(scorer))
    assert sizes == [1, 49]
    monkeypatch.setattr("verisight.scan.heat.PIXELS_AT_ONCE", 10 * SIZE**2)
    sizes.clear()
    assert_allclose(heat_map(noise(), detector(scorer)), whole, atol=1e-6)
    assert sizes == [1, 10, 10, 10, 10, 9]
    assert whole.dtype == np.float32
    assert whole.shape == (SIZE, SIZE)


def test_a_crop_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="tiny: expects a batch"):
        heat_map(noise(size=40), detector(lambda batch: batch[:, 0, 0, 0]))


# --- what it comes to ---


@given(st.floats(0.02, 1))
def test_even_heat_over_a_share_of_the_area_is_as_concentrated_as_it_is_small(share: float) -> None:
    values = np.zeros(10_000, np.float32)
    covered = round(share * values.size)
    values[np.random.default_rng(0).permutation(values.size)[:covered]] = 3
    heat = Heat(values.reshape(100, 100))
    assert heat.concentration == pytest.approx(min(1, HOTTEST * values.size / covered))


def test_cold_is_no_evidence_and_changes_no_concentration() -> None:
    heat = hot((30, 43))
    cooled = Heat(np.where(heat.map > 0, heat.map, -5).astype(np.float32))
    assert cooled.concentration == heat.concentration == 1
    assert cooled.where(POINTS) == heat.where(POINTS)
    assert Heat(np.full((60, 60), -1, np.float32)).concentration == 0


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(30, 43)], "around the mouth"),
        ([(20, 20)], "around the left eye"),
        ([(40, 20)], "around the right eye"),
        ([(30, 30)], "around the nose"),
        ([(19, 33)], "around the left cheek"),
        ([(41, 33)], "around the right cheek"),
        ([(30, 8)], "around the forehead"),
        ([(30, -1)], "around the hairline"),
        ([(30, 53)], "around the chin"),
        ([(9, 30)], "around the left edge of the face"),
        ([(30, 43), (40, 20)], "around the right eye and the mouth"),
        ([(2, 57)], "outside the face"),
        ([(30, 43), (4, 55)], "around the mouth and outside the face"),
    ],
)
def test_places_are_named_by_the_landmarks(places: list[tuple[float, float]], words: str) -> None:
    assert set(named(hot(*places).where(POINTS))) == set(named(words))


def named(words: str) -> list[str]:
    """Regions that a text names, whatever their order."""
    return [region for region in REGIONS if region in words]


def test_words_follow_a_face_that_is_turned_and_moved() -> None:
    turn = cv2.getRotationMatrix2D((30, 30), 35, 0.8)
    turn[:, 2] += (3, -2)
    points = cv2.transform(POINTS[None], turn)[0].astype(np.float32)
    for index, words in enumerate(["the left eye", "the right eye", "the nose"]):
        assert hot(tuple(points[index]), radius=3).where(points) == f"around {words}"
    assert hot(tuple(points[3:].mean(axis=0)), radius=3).where(points) == "around the mouth"


def test_even_heat_is_spread_and_faint_heat_is_in_no_place() -> None:
    assert Heat(np.full((60, 60), 1, np.float32)).where(POINTS) == "spread over the whole face"
    assert hot((30, 43), height=0.9 * FAINT).where(POINTS) == "in no single place"
    assert Heat(np.zeros((60, 60), np.float32)).where(POINTS) == "in no single place"


def test_a_box_stands_in_for_landmarks(portrait: np.ndarray) -> None:
    face = face_finder()(portrait)[0]
    assert face.landmarks is not None
    astray = np.linalg.norm(upright(face.box) - face.landmarks, axis=1)
    assert astray.max() < 0.15 * face.size_px  # she smiles and tilts her head
    x, y = upright((0, 0, 60, 60))[3:].mean(axis=0)
    assert hot((x, y)).where((0, 0, 60, 60)) == "around the mouth"


# --- the picture ---


def test_the_overlay_leaves_cold_places_alone_and_marks_both_signs() -> None:
    crop = np.full((60, 60, 3), 128, np.uint8)
    heat = Heat(hot((15, 15)).map - hot((45, 45)).map)
    shown = overlay(crop, heat).astype(int)
    assert_array_equal(shown[heat.map == 0], 128)
    (red, _, blue), (red_against, _, blue_against) = shown[15, 15], shown[45, 45]
    assert red > blue + 50  # yellow
    assert blue_against > red_against + 30  # blue


def test_the_range_of_colours_is_that_of_the_map_or_a_shared_larger_one() -> None:
    crop = np.full((60, 60, 3), 128, np.uint8)
    strong, weak = hot((30, 30), height=2), hot((30, 30), height=1)
    assert (strong.limit, weak.limit, hot((30, 30), height=0.01).limit) == (2, 1, FAINT)
    assert_array_equal(overlay(crop, strong), overlay(crop, weak))
    assert np.ptp(overlay(crop, weak, limit=strong.limit)) < np.ptp(overlay(crop, strong))
    assert_array_equal(overlay(crop, strong, limit=1), overlay(crop, strong))  # what is beyond the range is at its end


def test_the_palette_grows_lighter_all_the_way_and_needs_no_red_and_green() -> None:
    luminance = palette() @ np.array([0.2126, 0.7152, 0.0722])
    assert palette().shape == (256, 3)
    assert (np.diff(luminance) > -1).all()
    assert luminance[-1] - luminance[0] > 150
    blueness = palette()[:, 2].astype(int) - palette()[:, :2].mean(axis=1)
    assert blueness[40] > 20
    assert blueness[-20] < -50  # blue against yellow, which all weaknesses of red or green leave apart


# --- of a file ---


def mouth_looker(preprocess: Preprocess, points: np.ndarray) -> Detector:
    """Scores the contrast where the mouth is in the crop."""
    (left, _), (right, _) = points[3:]
    row, columns = int(points[3:, 1].mean()), slice(int(left), int(right))

    def scorer(batch: np.ndarray) -> np.ndarray:
        return 20 * batch[:, :, row - 4 : row + 4, columns].std(axis=(1, 2, 3))

    return detector(scorer, preprocess)


@pytest.mark.parametrize("align", [False, True])
def test_heat_of_a_file_is_that_of_the_crop_that_was_judged(portrait: np.ndarray, tmp_path: Path, align: bool) -> None:
    path, preprocess = tmp_path / "one.png", PREPROCESS.model_copy(update={"align": align})
    Image.fromarray(portrait).save(path)
    face = face_finder()(portrait)[0]
    assert face.landmarks is not None
    crop = crop_face(portrait, face, preprocess)
    x, y, w, h = box_in_crop(face, (512, 512), preprocess)
    points = upright((x, y, w, h)) if not align else np.array([[20, 19], [36, 19], [28, 28], [21, 38], [35, 38]])
    looker = mouth_looker(preprocess, points)
    seen = FaceVerdict(box=face.box, score=0.9, time_s=None)
    verdict = Verdict(path=str(path), status="scored", threshold=0.5, faces=(seen,), detector="d", seconds=0)

    (found,) = heats_of(verdict, looker)
    assert found.face == seen
    assert_array_equal(found.crop, crop)
    assert_array_equal(found.heat.map, heat_map(crop, looker))
    assert "the mouth" in found.where

    (unseen,) = heats_of(verdict, looker, finder=lambda picture: [Face((0, 0, 9, 9), 1.0)])
    if not align:  # the face is not found again: its box has to do
        assert_array_equal(unseen.crop, crop)
        assert "the mouth" in unseen.where
    path.unlink()
    assert heats_of(verdict, looker) == []


def test_heat_is_of_the_suspect_and_the_most_suspicious_faces_come_first(portrait: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "three.png"
    Image.fromarray(np.hstack([portrait, portrait, portrait])).save(path)
    boxes = [(178.0 + 512 * i, 65.0, 91.0, 111.0) for i in range(3)]
    people = tuple(Person(person=i, probability=p, faces=1, counted=i != 2) for i, p in enumerate((0.4, 0.6, 0.9)))
    faces = tuple(FaceVerdict(box=box, score=0.5 + i / 10, time_s=None, person=i) for i, box in enumerate(boxes))
    mean = detector(lambda batch: batch.mean(axis=(1, 2, 3)))

    def of(**facts: object) -> list[int]:
        verdict = Verdict(path=str(path), status="scored", threshold=0.5, detector="d", seconds=0, faces=faces, **facts)
        return [heat.face.person for heat in heats_of(verdict, mean, finder=lambda picture: [], most=2)]

    assert of(people=people) == [1]
    assert of() == [2, 1]
    assert Verdict(path="x", status="failed", threshold=0.5, detector="d", seconds=0).suspect is None


# --- sanity ---


def test_sanity_is_one_for_the_same_detector_and_minus_one_for_its_opposite() -> None:
    weights = np.random.default_rng(3).normal(size=(3, SIZE, SIZE))
    crops = [noise(0), noise(1)]
    assert sanity(crops, linear(weights), linear(weights)) == pytest.approx(1)
    assert sanity(crops, linear(weights), linear(-weights)) == pytest.approx(-1)
    assert sanity(crops, linear(weights), detector(lambda batch: np.zeros(len(batch)))) == 0


def test_the_map_of_the_shipped_detector_depends_on_what_it_learnt(portrait: np.ndarray, tmp_path: Path) -> None:
    """Adebayo et al. 2018: with its weights shuffled inside each tensor, which keeps their spread, the map changes."""
    path, rng = checkpoint_path(DEFAULT_DETECTOR), np.random.default_rng(0)
    tensors = load_tensors(path)
    shuffled = {n: rng.permuted(t.ravel()).reshape(t.shape) if "weight" in n else t for n, t in tensors.items()}
    save_checkpoint(tmp_path / "shuffled.safetensors", shuffled, load_card(path))
    trained = Detector.load(DEFAULT_DETECTOR, runtime="torch")
    randomised = Detector.load(tmp_path / "shuffled.safetensors", runtime="torch")

    face = face_finder()(portrait)[0]
    crops = [crop_face(picture, face, trained.preprocess) for picture in (portrait, portrait[:, :, ::-1])]
    batch = normalise(crops, trained.preprocess)
    assert np.abs(trained.score(batch) - randomised.score(batch)).max() > 0.1
    # Smooth maps of 16 cells correlate by chance with a spread of 0.26, means of two with 0.18: four of them are 0.7.
    assert abs(sanity(crops, trained, randomised, cells=4)) < 0.7
    assert sanity(crops[:1], trained, trained, cells=4) == pytest.approx(1)
