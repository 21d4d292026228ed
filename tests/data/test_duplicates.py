"""Copies are known again, strangers are not, and the search compares every pair."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from verisight.data import duplicates
from verisight.data.duplicates import (
    GREY_SIDE,
    MAX_BITS,
    MIN_CORRELATION,
    Seen,
    close_pairs,
    correlation,
    difference_hash,
    look_at,
)
from verisight.data.quality import jpeg, write_h264
from verisight.data.synthetic import synthetic_face


def looked(folder: Path, picture: np.ndarray, name: str = "a.png") -> Seen:
    Image.fromarray(picture).save(folder / name)
    (seen,) = look_at([folder / name])
    return seen


def alike(a: Seen, b: Seen) -> bool:
    assert a.bits is not None
    assert a.grey is not None
    assert b.bits is not None
    assert b.grey is not None
    return any(len(i) for i, _ in close_pairs((a.bits, a.grey), (b.bits, b.grey)))


def test_the_bits_are_the_signs_of_horizontal_steps() -> None:
    rng = np.random.default_rng(0)
    grey = rng.uniform(0, 255, (16, 17)).astype(np.float32)  # already of the size that the hash shrinks to
    bits = np.unpackbits(difference_hash(grey).view(np.uint8)).reshape(16, 16)
    np.testing.assert_array_equal(bits, np.diff(grey, axis=1) > 0)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 4), st.floats(-50, 50))
def test_brightness_and_contrast_change_no_bit(seed: int, gain: float, offset: float) -> None:
    grey = np.random.default_rng(seed).uniform(0, 255, (34, 32)).astype(np.float32).round()
    changed = difference_hash((gain * grey + offset).astype(np.float32))
    assert np.bitwise_count(changed ^ difference_hash(grey)).sum() <= 2  # ties within float32's rounding


def test_correlation_is_numpys() -> None:
    a, b = np.random.default_rng(1).integers(0, 256, (2, 5, GREY_SIDE**2)).astype(np.uint8)
    expected = [np.corrcoef(x.astype(float), y.astype(float))[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlation(a, b), expected)


def test_every_pair_is_compared_across_the_borders_of_blocks() -> None:
    """Against the plain definition, with planted pairs in the corners of the blocks of 512 and 4096."""
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**63, (4200, 4)).astype(np.uint64)
    grey = rng.integers(0, 256, (4200, GREY_SIDE**2)).astype(np.uint8)
    first = (bits[:600].copy(), grey[:600].copy())
    planted = {(0, 4199), (511, 4095), (512, 4096), (599, 700)}
    for i, j in planted:
        flipped = rng.permutation(256)[:MAX_BITS]
        mask = np.zeros(256, np.uint8)
        mask[flipped] = 1
        first[0][i], first[1][i] = bits[j] ^ np.packbits(mask).view(np.uint64), grey[j]
    second = (bits[600:], grey[600:])
    found = {(int(i), int(j) + 600) for a, b in close_pairs(first, second) for i, j in zip(a, b, strict=True)}
    assert found == planted
    one_more = first[0].copy()
    for i, j in planted:  # one bit more than allowed
        mask = np.zeros(256, np.uint8)
        mask[rng.permutation(256)[: MAX_BITS + 1]] = 1
        one_more[i] = bits[j] ^ np.packbits(mask).view(np.uint64)
    assert not list(close_pairs((one_more, first[1]), second))


def test_equal_bits_without_correlation_are_no_copies() -> None:
    bits = np.zeros((1, 4), np.uint64)
    ramp = np.arange(GREY_SIDE**2, dtype=np.float64)
    a = (ramp * 255 / ramp.max()).astype(np.uint8)[None]
    b = (255 * (ramp / ramp.max()) ** 9).astype(np.uint8)[None]
    assert correlation(a, b)[0] < MIN_CORRELATION
    assert list(close_pairs((bits, a), (bits, a)))
    assert not list(close_pairs((bits, a), (bits, b)))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: jpeg(p, 40),
        lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda p: cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
        lambda p: np.clip(0.85 * p.astype(float) + 20, 0, 255).astype(np.uint8),
        lambda p: cv2.GaussianBlur(p, (0, 0), 1.0),
    ],
    ids=["jpeg", "half", "double", "brighter", "blurred"],
)
def test_a_changed_copy_is_known_again(tmp_path: Path, portrait: np.ndarray, change) -> None:
    for picture in (portrait[::2, ::2], synthetic_face(0, 96).picture, synthetic_face(1, 96).picture):
        assert alike(looked(tmp_path, picture), looked(tmp_path, change(picture), "b.png"))


def test_other_people_other_shots_and_mirrored_pictures_are_not(tmp_path: Path, portrait: np.ndarray) -> None:
    pictures = [synthetic_face(i, 96, shot=j).picture for i in range(4) for j in range(2)]
    pictures += [portrait, portrait[:, ::-1]]
    seen = [looked(tmp_path, p, f"{i}.png") for i, p in enumerate(pictures)]
    assert not any(alike(seen[i], seen[j]) for i in range(len(seen)) for j in range(i))


def test_flat_pictures_have_no_hash(tmp_path: Path) -> None:
    grey = np.full((40, 40, 3), 90, np.uint8)
    noise = np.random.default_rng(0).normal(0, 2, grey.shape)
    for picture in (grey, (grey + noise).astype(np.uint8)):
        seen = looked(tmp_path, picture)
        assert seen.bits is not None
        assert seen.bits.shape == (0, 4)
        assert seen.fault == ""


def test_a_file_is_what_its_content_says(tmp_path: Path, portrait: np.ndarray) -> None:
    Image.fromarray(portrait).save(tmp_path / "photo.png", "JPEG", quality=90)
    (tmp_path / "text.jpg").write_text("not a picture")
    photo, text, gone = look_at([tmp_path / name for name in ("photo.png", "text.jpg", "gone.png")])
    assert (photo.format, photo.width, photo.height) == ("JPEG", 512, 512)
    assert photo.bytes == (tmp_path / "photo.png").stat().st_size
    assert text.fault
    assert gone.fault == "no such file"


def test_of_a_clip_three_pictures_are_kept_and_a_reencoded_one_is_known_again(tmp_path: Path) -> None:
    pictures = [synthetic_face(i, 64).picture for i in (0, 0, 1, 1, 2, 2)]
    write_h264(pictures, tmp_path / "a.mp4", crf=12)
    write_h264(pictures, tmp_path / "b.mp4", crf=30)
    write_h264([synthetic_face(i, 64).picture for i in (5, 6, 7)], tmp_path / "c.mp4", crf=12)
    a, b, c = look_at([tmp_path / f"{name}.mp4" for name in "abc"])
    assert a.bits is not None
    assert len(a.bits) == 3
    assert a.digest != b.digest
    assert alike(a, b)
    assert not alike(a, c)


def test_one_candidate_block_of_many_equal_hashes_stays_small_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    plain = duplicates.correlation
    monkeypatch.setattr(duplicates, "AT_ONCE", 100)
    monkeypatch.setattr(duplicates, "correlation", lambda a, b: (sizes.append(len(a)), plain(a, b))[1])
    bits, grey = np.zeros((30, 4), np.uint64), np.tile(np.arange(GREY_SIDE**2) % 256, (30, 1)).astype(np.uint8)
    assert sum(len(i) for i, _ in close_pairs((bits, grey), (bits, grey))) == 900
    assert max(sizes) == 100
