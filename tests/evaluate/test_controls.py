"""Controls find the shortcut that was planted, and nothing where nothing was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from verisight.core.errors import DataError
from verisight.core.recipe import EvaluateSpec
from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest
from verisight.data.quality import blurred
from verisight.evaluate.controls import (
    CONTROLS,
    Part,
    Parts,
    colour_moments,
    controls,
    image_size,
    jpeg_quality,
    quality_of,
    sharpness_and_bytes,
)
from verisight.evaluate.protocol import Protocol

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, dict[str, object]]]  # (label) -> picture, how it is saved


def noise(rng: np.random.Generator, side: int = 32) -> np.ndarray:
    """Blocks of 8 px, whose Laplacian is nearly that of their edges."""
    coarse = rng.integers(60, 180, (side // 8, side // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)


def plain(rng: np.random.Generator, label: int) -> tuple[np.ndarray, dict[str, object]]:
    return noise(rng), {"quality": 90}


def tinted(rng: np.random.Generator, label: int) -> tuple[np.ndarray, dict[str, object]]:
    picture = noise(rng)
    picture[..., 0] += np.uint8(60 * label)
    return picture, {"quality": 90}


def sharp(rng: np.random.Generator, label: int) -> tuple[np.ndarray, dict[str, object]]:
    picture = noise(rng).astype(int)
    picture[::2, ::2] += 8 * (1 + 2 * label)
    return picture.clip(0, 255).astype(np.uint8), {"quality": 100}


def encoded(rng: np.random.Generator, label: int) -> tuple[np.ndarray, dict[str, object]]:
    return noise(rng), {"quality": int(rng.choice([70, 75] if label else [85, 90]))}


def sized(rng: np.random.Generator, label: int) -> tuple[np.ndarray, dict[str, object]]:
    return noise(rng, 40 if label else 32), {"quality": 90}


def parts(folder: Path, draw: Draw, files: int = 24) -> list[Part]:
    """Splits train, val and test of JPEGs; the crop is the upper left 32 px of the picture."""
    rng = np.random.default_rng(0)
    out = []
    for split in ("train", "val", "test"):
        names, labels, crops = [], [], []
        for i in range(files):
            picture, how = draw(rng, i % 2)
            names.append(f"{split}{i}.jpg")
            labels.append(i % 2)
            Image.fromarray(picture).save(folder / names[-1], **how)
            crops.append(np.asarray(Image.open(folder / names[-1]))[:32, :32])
        manifest = Manifest.from_columns({"path": names, "label": labels, "split": [split] * files}, folder)
        out.append(Part(manifest, crop_set(np.stack(crops), np.arange(files))))
    return out


def plain_parts(split: Sequence[Part]) -> list[Parts]:
    """As the files are."""
    return [{"": part} for part in split]


def crop_set(images: np.ndarray, row: np.ndarray) -> CropSet:
    points = np.full((len(row), 5, 2), np.nan, np.float32)
    return CropSet(images=images, row=row, time_s=np.zeros(len(row)), landmarks=points, skipped=())


PROTOCOL = Protocol(EvaluateSpec(resamples=100))


@pytest.mark.parametrize(
    ("draw", "found"),
    [
        (tinted, "colour moments"),
        (sharp, "sharpness and file size"),
        (encoded, "JPEG quality"),
        (sized, "image size"),
    ],
)
def test_a_planted_shortcut_is_found_by_its_control(tmp_path: Path, draw: Draw, found: str) -> None:
    figures = controls(*plain_parts(parts(tmp_path, draw)), PROTOCOL)
    assert list(figures) == [*CONTROLS, "random score"]
    assert figures[found]["all"]["auc"].value > 0.95
    assert 0.2 < figures["random score"]["all"]["auc"].value < 0.8


def test_where_nothing_was_planted_no_control_knows_anything(tmp_path: Path) -> None:
    figures = controls(*plain_parts(parts(tmp_path, plain, files=60)), PROTOCOL)
    for name, by_scope in figures.items():
        assert by_scope["all"]["auc"].low < 0.5 < by_scope["all"]["auc"].high or by_scope["all"]["auc"].value == 0.5, (
            name
        )
    assert figures["JPEG quality"]["all"]["auc"].value == 0.5  # all alike: exactly at chance
    assert figures["image size"]["all"]["auc"].value == 0.5


def test_controls_repeat_themselves(tmp_path: Path) -> None:
    split = plain_parts(parts(tmp_path, encoded, files=12))
    assert controls(*split, PROTOCOL) == controls(*split, PROTOCOL)


def test_report_data_do_not_move_the_fit(tmp_path: Path) -> None:
    """The colours of fake and real exchanged in the report split alone: the control is wrong there, not refitted."""
    fit, select, report = parts(tmp_path, tinted)
    turned = 1 - report.manifest.column("label")
    columns = {"path": report.manifest.column("path").tolist(), "label": turned.tolist(), "split": ["test"] * 24}
    other = Part(Manifest.from_columns(columns, tmp_path), report.crops)
    assert controls(*plain_parts([fit, select, other]), PROTOCOL)["colour moments"]["all"]["auc"].value < 0.05


def test_facts_of_a_file_are_the_mean_over_its_crops(tmp_path: Path) -> None:
    _, _, report = parts(tmp_path, plain, files=4)
    images = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (10, 30, 200)])
    images[2, ::2] = 100
    part = Part(report.manifest, crop_set(images, np.array([1, 1, 3])))
    assert part.rows().tolist() == [1, 3]
    assert [path.name for path in part.paths()] == ["test1.jpg", "test3.jpg"]
    assert_allclose(colour_moments(part), [[20] * 3 + [0] * 3, [150] * 3 + [50] * 3])
    assert_allclose(sharpness_and_bytes(part)[0], [0, np.log((tmp_path / "test1.jpg").stat().st_size)])
    assert sharpness_and_bytes(part)[1, 0] > 5
    assert_allclose(image_size(part), np.log([[32, 32]] * 2))
    assert_allclose(jpeg_quality(part), [[1, 90]] * 2)


@pytest.mark.parametrize("quality", [1, 5, 30, 49, 50, 51, 75, 90, 95, 99, 100])
def test_the_quality_that_libjpeg_wrote_is_read_back(tmp_path: Path, quality: int) -> None:
    for mode in ("RGB", "L"):
        Image.new(mode, (16, 16), 90).save(tmp_path / "x.jpg", quality=quality)
        assert quality_of(tmp_path / "x.jpg") == quality


def test_another_writer_with_the_standard_tables_is_read_too(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "x.jpg"), noise(np.random.default_rng(0)), [cv2.IMWRITE_JPEG_QUALITY, 83])
    assert quality_of(tmp_path / "x.jpg") == 83


def test_what_is_no_jpeg_has_no_quality_whatever_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    (tmp_path / "y.jpg").write_bytes(b"\xff\xd8\xff no more")
    assert quality_of(tmp_path / "x.jpg") is None
    assert quality_of(tmp_path / "y.jpg") is None
    assert quality_of(tmp_path / "absent.jpg") is None


def test_frames_have_the_score_of_their_file(tmp_path: Path) -> None:
    fit, select, report = parts(tmp_path, encoded, files=12)
    three = Part(report.manifest, crop_set(np.repeat(report.crops.images, 3, axis=0), np.repeat(np.arange(12), 3)))
    by_file, by_frame = (controls(*plain_parts([fit, select, part]), PROTOCOL, unit=unit) for part, unit in
                         ((report, "file"), (three, "frame")))  # fmt: skip
    assert by_frame["JPEG quality"]["all"]["auc"].value == by_file["JPEG quality"]["all"]["auc"].value


def test_one_regression_serves_all_qualities_and_each_has_a_scope(tmp_path: Path) -> None:
    """Reals are blurred at one quality: sharpness tells the classes there, and not as they are."""
    split = parts(tmp_path, plain, files=24)

    def soft(part: Part) -> Part:
        label = part.manifest.column("label")
        images = np.stack([blurred(c, 3.0) if y == 0 else c for c, y in zip(part.crops.images, label, strict=True)])
        return Part(part.manifest, replace(part.crops, images=images))

    found = controls(*({"raw": part, "blur:3": soft(part)} for part in split), PROTOCOL)["sharpness and file size"]
    assert set(found) == {"all", "quality raw", "quality blur:3", "fake vs all reals"}
    assert found["quality blur:3"]["auc"].value > 0.95 > found["quality raw"]["auc"].value


def test_a_wrong_split_or_one_class_is_refused(tmp_path: Path) -> None:
    fit, select, report = parts(tmp_path, plain, files=6)
    with pytest.raises(DataError, match="rows of split 'val' among fit data"):
        controls(*plain_parts([select, select, report]), PROTOCOL)
    with pytest.raises(DataError, match="rows of split 'test' among select data"):
        controls(*plain_parts([fit, report, report]), PROTOCOL)
    reals = fit.manifest.where(fit.manifest.column("label") == 0)
    only = Part(reals, crop_set(fit.crops.images[::2], np.arange(3)))
    with pytest.raises(DataError, match="controls: the 3 rows hold no positives"):
        controls(*plain_parts([only, select, report]), PROTOCOL)
