"""Finding faces, and cutting them out the same way every time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import RecipeError
from verisight.core.places import WEIGHTS
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face, YuNet, crop_face, face_finder, finish, similarity
from verisight.data.quality import jpeg

PORTRAIT_BOX = (178.1, 65.0, 91.4, 111.4)


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet()


# --- finding ---


def test_the_portrait_has_one_face_where_it_is_known_to_be(yunet: YuNet, portrait: np.ndarray) -> None:
    (face,) = yunet(portrait)
    assert face.box == pytest.approx(PORTRAIT_BOX, abs=0.1)
    assert face.score == pytest.approx(0.936, abs=1e-3)
    assert face.size_px == pytest.approx(111.4, abs=0.1)
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_it_agrees_with_opencvs_own_decoding_of_the_same_network(yunet: YuNet, portrait: np.ndarray) -> None:
    if not hasattr(cv2, "FaceDetectorYN"):
        pytest.skip("this OpenCV has no FaceDetectorYN")
    two = np.vstack([portrait[:320], portrait[:320, ::-1]])  # 640 x 512: no resizing on either side
    theirs = cv2.FaceDetectorYN.create(str(WEIGHTS / "yunet.onnx"), "", (512, 640), 0.6, 0.3)
    _, rows = theirs.detect(np.ascontiguousarray(two[:, :, ::-1]))
    ours = yunet(two)
    assert len(ours) == len(rows) == 2
    for face, row in zip(sorted(ours, key=lambda f: f.box[1]), sorted(rows, key=lambda r: r[1]), strict=True):
        np.testing.assert_allclose(face.box, row[:4], atol=1)
        np.testing.assert_allclose(face.landmarks.ravel(), row[4:14], atol=1)
        assert face.score == pytest.approx(row[14], abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (31, 33), (2000, 300), (300, 2000), (640, 640)])
@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_picture_of_any_size_has_no_face(yunet: YuNet, shape: tuple[int, int], value: int) -> None:
    assert yunet(np.full((*shape, 3), value, np.uint8)) == []


def test_a_face_in_a_tall_picture_is_found_in_its_own_pixels(yunet: YuNet, portrait: np.ndarray) -> None:
    tall = np.zeros((2000, 300, 3), np.uint8)
    tall[900:1200] = portrait[:300, 80:380]  # scanned at 640 / 2000 of its size
    (face,) = yunet(tall)
    x, y, w, h = PORTRAIT_BOX
    assert face.box == pytest.approx((x - 80, y + 900, w, h), abs=6)


def test_a_grey_picture_has_the_same_face(yunet: YuNet, portrait: np.ndarray) -> None:
    grey = np.repeat(portrait.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    (face,) = yunet(grey)
    assert face.box == pytest.approx(PORTRAIT_BOX, abs=4)


def test_the_best_face_comes_first_and_no_two_are_the_same(yunet: YuNet, portrait: np.ndarray) -> None:
    blurred = cv2.GaussianBlur(portrait, (0, 0), 4)
    faces = yunet(np.hstack([blurred, portrait]))
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    assert len(faces) == 2
    assert faces[0].box[0] > 512 > faces[1].box[0]


def test_a_finder_that_wants_more_finds_less(portrait: np.ndarray) -> None:
    assert YuNet(min_score=0.95)(portrait) == []


def test_a_finder_goes_by_its_catalogue_id() -> None:
    assert isinstance(face_finder(), YuNet)
    with pytest.raises(RecipeError, match=r"did you mean 'yunet'\?"):
        face_finder("yunett")


# --- cutting ---


def ramp(height: int, width: int) -> np.ndarray:
    """A picture whose red is x and whose green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "box", "margin", "left", "top", "side"),
    [
        ((200, 200), (50, 60, 40, 20), 1.25, 45, 45, 50),  # centre (70, 70), side 1.25 * 40
        ((200, 200), (50, 60, 20, 40), 2.0, 20, 40, 80),  # the longer side counts, whichever it is
        ((200, 200), (50, 60, 40, 40), 1.0, 50, 60, 40),  # margin 1 is the box itself
        ((200, 200), (0, 0, 40, 40), 1.25, 0, 0, 50),  # moved in from the upper left
        ((200, 200), (160, 155, 40, 40), 1.25, 150, 150, 50),  # moved in from the lower right
        ((200, 200), (-20, 80, 40, 40), 1.25, 0, 75, 50),  # reaches over the border
        ((200, 200), (300, -300, 40, 40), 1.25, 150, 0, 50),  # lies outside altogether
        ((100, 200), (20, 10, 160, 80), 1.25, 50, 0, 100),  # larger than the picture is high: shrunk
        ((200, 100), (-50, -100, 400, 400), 1.25, 0, 50, 100),  # larger than the picture
    ],
)
def test_the_square_has_the_margin_then_moves_then_shrinks(
    shape: tuple[int, int], box: tuple[float, float, float, float], margin: float, left: int, top: int, side: int
) -> None:
    crop = crop_face(ramp(*shape), Face(box, 1.0), Preprocess(size=side, margin=margin))
    np.testing.assert_array_equal(crop, ramp(*shape)[top : top + side, left : left + side])


coordinate = st.floats(-300, 300)
length = st.floats(0, 500)


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.tuples(coordinate, coordinate, length, length))
def test_a_crop_of_any_box_in_any_picture_is_full_and_holds_nothing_from_outside(shape, box) -> None:
    crop = crop_face(np.full((*shape, 3), 100, np.uint8), Face(box, 1.0), Preprocess(size=24, margin=1.5))
    assert crop.shape == (24, 24, 3)
    assert (crop == 100).all()  # a padded border would be darker


def test_shrinking_averages_areas() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[::4, ::4] = 160  # one pixel in sixteen; interpolation between the middle ones would miss it
    assert (finish(picture, Preprocess(size=32)) == 10).all()


def test_growing_is_bicubic(portrait: np.ndarray) -> None:
    small = np.ascontiguousarray(portrait[:40, :40])
    expected = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(finish(small, Preprocess(size=64)), expected)


def test_the_jpeg_encoding_is_the_last_step(portrait: np.ndarray) -> None:
    plain = finish(portrait, Preprocess(size=96))
    np.testing.assert_array_equal(finish(portrait, Preprocess(size=96, jpeg_quality=30)), jpeg(plain, 30))


def test_a_crop_of_the_right_size_is_left_alone(portrait: np.ndarray) -> None:
    crop = portrait[:96, :96]
    np.testing.assert_array_equal(finish(crop, Preprocess(size=96)), crop)


# --- aligning ---

points = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=3, max_size=7).map(np.array)
motions = st.tuples(st.floats(-np.pi, np.pi), st.floats(0.1, 10), st.floats(-50, 50), st.floats(-50, 50))


def motion(angle: float, scale: float, dx: float, dy: float) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, dx], [s, c, dy]])


def moved(matrix: np.ndarray, source: np.ndarray) -> np.ndarray:
    return source @ matrix[:, :2].T + matrix[:, 2]


def spread(source: np.ndarray) -> bool:
    return bool(np.linalg.svd(source - source.mean(axis=0), compute_uv=False)[-1] > 1)


@given(points.filter(spread), motions)
def test_similarity_recovers_a_known_rotation_scale_and_shift(source: np.ndarray, parameters) -> None:
    expected = motion(*parameters)
    np.testing.assert_allclose(similarity(source, moved(expected, source)), expected, atol=1e-8 * parameters[1] + 1e-8)


@given(points.filter(spread), motions, st.integers(0, 2**32 - 1))
def test_moving_the_source_first_changes_nothing_in_the_end(source: np.ndarray, parameters, seed: int) -> None:
    target = source + np.random.default_rng(seed).normal(0, 5, source.shape)
    direct = moved(similarity(source, target), source)
    elsewhere = moved(motion(*parameters), source)
    np.testing.assert_allclose(moved(similarity(elsewhere, target), elsewhere), direct, atol=1e-6)


def test_no_other_similarity_is_closer() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(0, 10, (5, 2)), rng.normal(0, 10, (5, 2))
    best = similarity(source, target)

    def error(matrix: np.ndarray) -> float:
        return float(((moved(matrix, source) - target) ** 2).sum())

    angle, scale = np.arctan2(best[1, 0], best[0, 0]), np.hypot(best[1, 0], best[0, 0])
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 1e-3:
        assert error(motion(angle + step[0], scale + step[1], *(best[:, 2] + step[2:]))) > error(best)


def test_a_mirror_image_is_turned_not_mirrored() -> None:
    source = np.array([[0.0, 0], [2, 0], [0, 1]])
    assert np.linalg.det(similarity(source, source * [-1, 1])[:, :2]) > 0


TURNED = 20.0


def turned(portrait: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = cv2.getRotationMatrix2D((223, 120), TURNED, 1.0)
    return cv2.warpAffine(portrait, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE), matrix


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_the_aligned_crop_of_a_turned_portrait_is_that_of_the_upright_one(yunet: YuNet, portrait: np.ndarray) -> None:
    (face,) = yunet(portrait)
    picture, matrix = turned(portrait)
    aligned, boxed = Preprocess(size=112, align=True), Preprocess(size=112)
    upright = crop_face(portrait, face, aligned)
    turned_face = Face(face.box, 1.0, moved(matrix, face.landmarks).astype(np.float32))
    assert difference(crop_face(picture, turned_face, aligned), upright) < 3
    (found,) = yunet(picture)  # the finder turns its landmarks by half of the angle only
    gain = difference(crop_face(picture, found, boxed), crop_face(portrait, face, boxed))
    assert difference(crop_face(picture, found, aligned), upright) < 0.6 * gain


def test_aligned_landmarks_lie_on_the_template(yunet: YuNet, portrait: np.ndarray) -> None:
    """A face found in the aligned crop is upright, centred, and as large as the margin says."""
    (face,) = yunet(turned(portrait)[0])
    crop = crop_face(turned(portrait)[0], face, Preprocess(size=256, align=True, margin=1.5))
    (again,) = yunet(crop)
    eyes = again.landmarks[1] - again.landmarks[0]
    assert abs(np.degrees(np.arctan2(eyes[1], eyes[0]))) < TURNED / 2
    assert np.abs(again.landmarks.mean(axis=0) - 128).max() < 10
    assert eyes[0] == pytest.approx((73.53 - 38.29) * 256 / (84 * 1.5), rel=0.1)


@pytest.mark.parametrize("degrees", [-60, -30, -10, 0, 10, 30, 60, 180])
def test_the_eyes_of_a_turned_portrait_are_level_after_alignment(
    yunet: YuNet, portrait: np.ndarray, degrees: float
) -> None:
    (face,) = yunet(portrait)
    matrix = cv2.getRotationMatrix2D((223, 120), degrees, 1.0)
    picture = cv2.warpAffine(portrait, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    turned_face = Face(face.box, 1.0, moved(matrix, face.landmarks).astype(np.float32))  # as a perfect finder sees it
    crop = crop_face(picture, turned_face, Preprocess(size=256, align=True, margin=1.5))
    (again,) = yunet(crop)
    left, right = again.landmarks[:2]
    assert left[0] < right[0]
    assert abs(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))) < 3


def test_without_landmarks_the_box_is_cut(portrait: np.ndarray) -> None:
    face = Face(PORTRAIT_BOX, 1.0)
    aligned = crop_face(portrait, face, Preprocess(size=64, align=True))
    np.testing.assert_array_equal(aligned, crop_face(portrait, face, Preprocess(size=64)))
