"""Drawn faces against the face finder and the laws of their landmarks; forgeries change the face and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.faces import Face, face_finder
from verisight.data.layouts import read_layout
from verisight.data.synthetic import (
    KINDS,
    Kind,
    SyntheticFace,
    blended_forgery,
    plant,
    synthetic_clip,
    synthetic_face,
    synthetic_folder,
)


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


# --- drawn faces ---

SIDE = 128


@pytest.fixture(scope="module")
def drawn() -> list[SyntheticFace]:
    return [synthetic_face(seed, SIDE) for seed in range(24)]


def test_a_face_is_a_function_of_its_seed_shot_and_size() -> None:
    first, again = synthetic_face(7, 96), synthetic_face(7, 96)
    np.testing.assert_array_equal(first.picture, again.picture)
    np.testing.assert_array_equal(first.landmarks68, again.landmarks68)
    assert first.picture.shape == (96, 96, 3)
    assert first.picture.dtype == np.uint8
    for other in (synthetic_face(8, 96), synthetic_face(7, 96, shot=1)):
        assert np.abs(other.picture.astype(int) - first.picture).mean() > 8


def test_the_face_finder_sees_every_face_where_we_say_that_it_is(drawn: list[SyntheticFace]) -> None:
    finder = face_finder()
    gaps = []
    for made in drawn:
        found = finder(made.picture)
        assert len(found) == 1
        assert overlap(found[0].box, made.box) > 0.6
        eyes = np.linalg.norm(made.landmarks5[1] - made.landmarks5[0])
        assert found[0].landmarks is not None
        gaps.append(np.linalg.norm(found[0].landmarks - made.landmarks5, axis=1) / eyes)
    assert (np.median(gaps, axis=0) < [0.1, 0.1, 0.15, 0.15, 0.15]).all()


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inner = max(width, 0) * max(height, 0)
    return inner / (a[2] * a[3] + b[2] * b[3] - inner)


def test_the_points_stand_in_ibug_order(drawn: list[SyntheticFace]) -> None:
    for made in drawn:
        x, y = made.landmarks68.astype(float).T
        assert made.landmarks68.shape == (68, 2)
        assert x[0] < x[8] < x[16]  # the jaw from left to right, the chin in its middle
        assert y[8] > max(y[0], y[16])
        assert x[17] < x[21] < x[22] < x[26]  # brows, over the eyes
        assert y[17:22].mean() < y[36:42].mean()
        assert y[22:27].mean() < y[42:48].mean()
        assert (np.diff(y[27:31]) > 0).all()  # the bridge downwards
        assert x[31] < x[33] < x[35]
        assert x[36] < x[39] < x[42] < x[45]  # outer, inner; inner, outer corner
        for upper, lower in (((37, 38), (41, 40)), ((43, 44), (47, 46))):
            assert (y[list(upper)] < y[list(lower)]).all()
            assert (np.diff(x[list(upper)]) > 0).all()
        assert x[48] < x[51] < x[54]
        assert y[51] < y[57]
        assert y[62] <= y[66]
        assert x[60] < x[64]
        np.testing.assert_allclose(made.landmarks5[0], made.landmarks68[36:42].mean(0), rtol=1e-5)
        np.testing.assert_array_equal(made.landmarks5[2:], made.landmarks68[[30, 48, 54]])


def test_the_points_lie_on_what_is_drawn(drawn: list[SyntheticFace]) -> None:
    """Eyes are darker than the cheeks below them, brows than the skin above; the jaw is where skin ends."""
    darker = []
    for made in drawn:
        grey = made.picture.mean(axis=2)
        at = made.landmarks68

        def level(point: np.ndarray, grey: np.ndarray = grey) -> float:
            x, y = np.round(point).astype(int)
            return float(grey[y - 1 : y + 2, x - 1 : x + 2].mean())

        cheek = level((at[36:42].mean(0) + at[48]) / 2)
        darker.append([level(at[36:42].mean(0)) < cheek, level(at[19]) < cheek, level(at[[62, 66]].mean(0)) < cheek])
    assert (np.mean(darker, axis=0) > [0.9, 0.9, 0.7]).all()  # an open mouth shows teeth


def test_skin_is_smooth_under_white_sensor_noise(drawn: list[SyntheticFace]) -> None:
    """The second difference of white noise of deviation s has deviation s sqrt(6); a smooth surface adds little."""
    for made in drawn[:10]:
        x, y = np.round((made.landmarks68[36:42].mean(0) + made.landmarks68[48]) / 2).astype(int)
        patch = made.picture[y - 5 : y + 6, x - 5 : x + 6].astype(float)
        second = patch[:, 2:] - 2 * patch[:, 1:-1] + patch[:, :-2]
        assert 1.5 < np.median(np.abs(second)) / 0.6745 / np.sqrt(6) < 8
        rows = np.corrcoef(second[..., 0].ravel(), second[..., 1].ravel())[0, 1]
        assert abs(rows) < 0.6  # the channels' noises are drawn apart


def test_a_small_picture_shows_the_same_face() -> None:
    large, small = synthetic_face(3, 256), synthetic_face(3, 64)
    np.testing.assert_allclose(small.landmarks68, (large.landmarks68 + 0.5) / 4 - 0.5, atol=1e-3)


# --- planted forgeries ---


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_mask_not_a_bit_differs_and_inside_it_the_face_does(drawn: list[SyntheticFace], kind: Kind) -> None:
    for i, made in enumerate(drawn[:8]):
        before = made.picture.copy()
        planted = plant(made, kind, np.random.default_rng(i))
        np.testing.assert_array_equal(made.picture, before)
        assert planted.picture.dtype == np.uint8
        assert planted.mask.shape == (SIDE, SIDE)
        assert 0 <= planted.mask.min() <= planted.mask.max() <= 1
        np.testing.assert_array_equal(planted.picture[planted.mask == 0], before[planted.mask == 0])
        assert (planted.mask == 0).mean() > 0.3
        changed = (planted.picture != before).any(axis=2)
        assert changed[planted.mask > 0.9].mean() > 0.6
        x, y = np.round(made.landmarks5[2]).astype(int)
        assert planted.mask[y, x] > 0.9
        np.testing.assert_array_equal(plant(made, kind, np.random.default_rng(i)).picture, planted.picture)


def test_a_swap_shows_the_donor_and_keeps_the_background(drawn: list[SyntheticFace]) -> None:
    made, donor = drawn[0], drawn[1]
    own = plant(made, "swap", np.random.default_rng(0), made).picture
    np.testing.assert_allclose(own, made.picture, atol=1)  # the person swapped with himself
    other = plant(made, "swap", np.random.default_rng(0), donor).picture
    assert np.abs(other.astype(int) - made.picture).max() > 20
    assert len(face_finder()(other)) == 1


def test_upsampling_leaves_peaks_at_half_the_sampling_rate(drawn: list[SyntheticFace]) -> None:
    def peak(picture: np.ndarray, made: SyntheticFace) -> float:
        """Power at the three corners of the spectrum over its median above half of that frequency."""
        x, y = np.round(made.landmarks5[2]).astype(int)
        patch = picture[y - 16 : y + 16, x - 16 : x + 16].mean(axis=2)
        power = np.abs(np.fft.fft2(patch - patch.mean())) ** 2
        return float(max(power[16, 16], power[0, 16], power[16, 0]) / np.median(power[8:25, 8:25]))

    real = [peak(made.picture, made) for made in drawn]
    fake = [peak(plant(made, "upsample", np.random.default_rng(i)).picture, made) for i, made in enumerate(drawn)]
    assert np.median(fake) > 20 * np.median(real)


def test_an_unknown_kind_is_answered_with_the_nearest(drawn: list[SyntheticFace]) -> None:
    with pytest.raises(DataError, match=r"swp: no such kind.*did you mean 'swap'"):
        plant(drawn[0], "swp", np.random.default_rng(0))  # type: ignore[arg-type]


# --- data sets and clips ---


def test_a_folder_is_the_same_to_the_byte_and_read_by_both_layouts(tmp_path: Path) -> None:
    made = [synthetic_folder(tmp_path / name, 6, 3, seed=2, size=48) for name in "ab"]
    files = [sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file()) for root in made]
    assert files[0] == files[1]
    assert len(files[0]) == 2 * 6 * 3 + 1
    for name in files[0]:
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes()

    folder = read_layout(DataSpec(path=str(made[0])))
    pack = read_layout(DataSpec(path=str(made[0]), layout="pack"))
    assert folder.column("path").tolist() == sorted(pack.column("path"))
    for manifest in (folder, pack):
        assert Counter(zip(manifest.column("split"), manifest.column("label"), strict=True)) == {
            (split, label): count for split, count in (("train", 12), ("val", 3), ("test", 3)) for label in (0, 1)
        }
    fakes = pack.where(pack.column("label") == 1)
    assert Counter(fakes.column("generator")) == {f"synthetic-{kind}": 6 for kind in KINDS}
    assert set(pack.column("group")) == set(pack.column("subject")) == {f"person{i:03d}" for i in range(6)}
    donors = fakes.column("donor")[fakes.column("generator") == "synthetic-swap"].tolist()
    assert len(set(donors)) == 6
    assert not set(donors) & set(pack.column("subject"))
    assert set(Counter(pack.column("pair")).values()) == {2}


def test_jpeg_is_written_for_both_classes_alike(tmp_path: Path) -> None:
    root = synthetic_folder(tmp_path, 3, 1, ("blend",), size=48, jpeg_quality=90)
    assert sorted({p.suffix for p in root.rglob("*.*")}) == [".csv", ".jpg"]
    assert all(p.read_bytes()[:3] == b"\xff\xd8\xff" for p in root.rglob("*.jpg"))


def test_fewer_people_than_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 people cannot fill 3 splits"):
        synthetic_folder(tmp_path, 2, 1, size=48)


def test_a_clip_moves_smoothly_and_its_person_stays() -> None:
    clip = synthetic_clip(5, frames=8, size=96)
    still = synthetic_face(5, 96)
    points = np.stack([f.landmarks68 for f in clip])
    step = np.abs(np.diff(points, axis=0)).max(axis=(1, 2))
    assert 0 < step.min() <= step.max() < 6
    np.testing.assert_allclose(points[:, 27].mean(0), still.landmarks68[27], atol=8)
    corner = np.stack([f.picture[:8, :8].astype(int) for f in clip])
    assert (corner[0] != corner[1]).any()  # the noise is new
    assert np.abs(corner[0] - corner[1]).mean() < 12  # the backdrop is not
