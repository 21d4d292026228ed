"""The forgery changes the face and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from verisight.data.faces import Face, face_finder
from verisight.data.synthetic import blended_forgery


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> Face:
    return face_finder()(portrait)[0]


def test_only_pixels_inside_the_face_box_change(portrait: np.ndarray, face: Face) -> None:
    forged = blended_forgery(portrait, face)
    assert forged.shape == portrait.shape
    assert forged.dtype == np.uint8
    rows, columns = np.nonzero((forged != portrait).any(axis=2))
    x, y, w, h = (round(v) for v in face.box)
    assert x <= columns.min()
    assert columns.max() < x + w
    assert y <= rows.min()
    assert rows.max() < y + h
    assert len(rows) > 0.3 * w * h


def test_it_is_strongest_in_the_middle_and_fades_to_the_edge(portrait: np.ndarray, face: Face) -> None:
    change = np.abs(blended_forgery(portrait, face).astype(int) - portrait).mean(axis=2)
    x, y, w, h = (round(v) for v in face.box)
    inner, edge = change[y + h // 3 : y + 2 * h // 3, x + w // 3 : x + 2 * w // 3], change[y : y + 3, x : x + w]
    assert inner.mean() > 5 > edge.mean() + 4


def test_it_is_still_a_face_where_it_was(portrait: np.ndarray, face: Face) -> None:
    (found,) = face_finder()(blended_forgery(portrait, face))
    assert found.box == pytest.approx(face.box, abs=10)


def test_it_is_the_same_every_time_and_leaves_the_original_alone(portrait: np.ndarray, face: Face) -> None:
    before = portrait.copy()
    np.testing.assert_array_equal(blended_forgery(portrait, face), blended_forgery(portrait, face))
    np.testing.assert_array_equal(portrait, before)


@pytest.mark.parametrize("box", [(-30.4, -20.2, 90, 110), (470, 450, 91, 111), (-5, -5, 600, 600), (10, 10, 3, 3)])
def test_a_box_over_the_border_is_cut_there(portrait: np.ndarray, box: tuple[float, float, float, float]) -> None:
    forged = blended_forgery(portrait, Face(box, 1.0))
    assert forged.shape == portrait.shape
    assert (forged != portrait).any()
