"""The crops of a manifest: cut as scanning cuts them, kept whole or not at all, and cut again when a file changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verisight.core.errors import DataError
from verisight.core.places import cache_folder
from verisight.core.preprocess import Preprocess
from verisight.data import crops as crops_module
from verisight.data.crops import face_crops
from verisight.data.faces import crop_face, face_finder, finish
from verisight.data.manifest import Manifest
from verisight.data.quality import write_h264

PREPROCESS = Preprocess(size=64, frames=3)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VERISIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "crops"


def save(picture: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def listed(root: Path, *names: str) -> Manifest:
    return Manifest.from_columns({"path": names, "label": [i % 2 for i in range(len(names))]}, root)


@pytest.fixture
def scene(portrait: np.ndarray, tmp_path: Path) -> Manifest:
    """Broken, portrait, blank, a clip of six frames, portrait mirrored."""
    root = tmp_path / "scene"
    save(portrait, root / "portrait.png")
    save(np.full((80, 80, 3), 128, np.uint8), root / "blank.png")
    save(portrait[:, ::-1], root / "mirrored.png")
    (root / "broken.png").write_bytes((root / "portrait.png").read_bytes()[:1000])
    write_h264((portrait[:300, x : x + 300] for x in range(60, 120, 10)), root / "clip.mp4", crf=20, fps=6)
    return listed(root, "broken.png", "portrait.png", "blank.png", "clip.mp4", "mirrored.png", "gone.png")


def test_every_face_is_cut_and_every_file_without_one_is_named_with_the_reason(
    scene: Manifest, portrait: np.ndarray
) -> None:
    made = face_crops(scene, PREPROCESS)
    assert made.row.tolist() == [1, 3, 3, 3, 4]
    assert made.images.shape == (5, 64, 64, 3)
    assert made.images.dtype == np.uint8
    assert [line.split(":")[0] for line in made.skipped] == ["broken.png", "blank.png", "gone.png"]
    assert made.skipped[1] == "blank.png: no face found"
    (face,) = face_finder()(portrait)
    np.testing.assert_array_equal(made.images[0], crop_face(portrait, face, PREPROCESS))


def test_clips_carry_times_and_pictures_time_zero(scene: Manifest) -> None:
    made = face_crops(scene, PREPROCESS)
    assert made.time_s[[0, 4]].tolist() == [0, 0]
    assert 0 <= made.time_s[1] < made.time_s[2] < made.time_s[3] <= 1


def test_landmarks_are_in_pixels_of_the_crop(scene: Manifest) -> None:
    made = face_crops(scene, PREPROCESS)
    assert made.landmarks.shape == (5, 5, 2)
    assert made.landmarks.dtype == np.float32
    assert ((made.landmarks > 0) & (made.landmarks < 64)).all()
    assert (made.landmarks[:, 0, 0] < made.landmarks[:, 1, 0]).all()


def test_the_largest_trusted_face_of_a_picture_is_cut(portrait: np.ndarray, tmp_path: Path) -> None:
    small = np.asarray(Image.fromarray(portrait).resize((256, 256)))
    both = np.zeros((512, 800, 3), np.uint8)
    both[:256, :256], both[:, 288:] = small, portrait
    save(both, tmp_path / "both.png")
    faces = face_finder()(both)
    assert len(faces) == 2
    expected = crop_face(both, max(faces, key=lambda f: f.size_px), PREPROCESS)
    made = face_crops(listed(tmp_path, "both.png"), PREPROCESS)
    np.testing.assert_array_equal(made.images, expected[None])


def test_whole_pictures_are_taken_as_they_are(scene: Manifest, portrait: np.ndarray) -> None:
    made = face_crops(scene, PREPROCESS, whole=True)
    assert made.row.tolist() == [1, 2, 3, 3, 3, 4]
    np.testing.assert_array_equal(made.images[0], finish(portrait, PREPROCESS))
    assert np.isnan(made.landmarks[1]).all()  # blank: no face in it
    assert np.isfinite(made.landmarks[[2, 3, 4]]).all()


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    opened: list[Path] = []
    real = crops_module.open_media

    def watched(path: Path, **kwargs: Any) -> Any:
        opened.append(path)
        return real(path, **kwargs)

    monkeypatch.setattr(crops_module, "open_media", watched)
    return opened


def test_a_second_call_decodes_nothing_and_gives_the_same(scene: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    first = face_crops(scene, PREPROCESS)
    opened = counting(monkeypatch)
    again = face_crops(scene, PREPROCESS)
    assert opened == []
    for name in ("images", "row", "time_s", "landmarks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert again.skipped == first.skipped


def test_other_preprocessing_other_rows_or_other_pixels_are_cut_anew(
    scene: Manifest, monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray
) -> None:
    first = face_crops(scene, PREPROCESS)
    opened = counting(monkeypatch)
    assert face_crops(scene, Preprocess(size=32, frames=3)).images.shape[1] == 32
    assert len(opened) == 6
    reverse = Manifest(scene.table.take(list(range(5, -1, -1))), scene.root)
    assert face_crops(reverse, PREPROCESS).row.tolist() == [1, 2, 2, 2, 4]
    assert len(opened) == 12
    save(portrait[:, ::-1], scene.root / "portrait.png")  # the same path, other content
    assert not np.array_equal(face_crops(scene, PREPROCESS).images[0], first.images[0])
    assert len(opened) == 18


def test_a_call_that_was_cut_short_leaves_nothing_that_the_next_one_uses(
    scene: Manifest, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def stop(_: Path, target: Path) -> None:
        real(_, target)
        if Path(target).name == "images.u8":
            raise KeyboardInterrupt

    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            face_crops(scene, PREPROCESS)
    assert not list(cache.rglob("facts.json"))
    opened = counting(monkeypatch)
    assert len(face_crops(scene, PREPROCESS).row) == 5
    assert len(opened) == 6
    assert cache_folder() / "crops" == cache


def test_a_set_without_a_single_face_is_refused_with_a_reason(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(np.full((80, 80, 3), 128, np.uint8), tmp_path / name)
    for _ in range(2):  # from the cache too
        with pytest.raises(DataError, match=r"not one file gave a face; a\.png: no face found"):
            face_crops(listed(tmp_path, "a.png", "b.png"), PREPROCESS)
