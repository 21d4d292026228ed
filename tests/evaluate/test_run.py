"""Crops become scores of files or frames, and a detector on a data set becomes a record that says what its rows are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from verisight.core.checkpoint import Card, Threshold
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import DataSpec
from verisight.data.crops import CropSet
from verisight.data.manifest import Manifest
from verisight.evaluate.metrics import auc
from verisight.evaluate.protocol import Report, Select
from verisight.evaluate.record import Record
from verisight.evaluate.run import evaluate, natural_unit
from verisight.evaluate.score import score_crops

SIDE = 16


def detector(aggregate: str = "mean-of-faces") -> Detector:
    """Scores a crop by its mean, which is 0 for grey 127 and 1 for grey 255."""
    card = Card(
        name="brightness",
        method="user",
        task="deepfake",
        positive="fake",
        recipe={"seed": 3, "evaluate": {"resamples": 100, "aggregate": aggregate}},
        preprocess=Preprocess(size=SIDE, mean=(0.498039,) * 3, std=(0.501961,) * 3),
        aggregate=aggregate,
        threshold=Threshold(value=0.5, rule="by hand", fitted_on="nothing"),
    )
    return Detector(card, lambda batch: batch.mean(axis=(1, 2, 3)))


def grey(values: list[int]) -> np.ndarray:
    return np.stack([np.full((SIDE, SIDE, 3), value, np.uint8) for value in values])


def crop_set(values: list[int], row: list[int], time_s: list[float]) -> CropSet:
    points = np.full((len(row), 5, 2), np.nan, np.float32)
    return CropSet(images=grey(values), row=np.array(row), time_s=np.array(time_s), landmarks=points, skipped=())


MANIFEST = Manifest.from_columns(
    {
        "path": ["a.mp4", "b.mp4", "c.mp4"],
        "label": [0, 1, 1],
        "split": ["test"] * 3,
        "group": ["ann", "ann", "bob"],
        "video": ["a", "b", "c"],
        "subject": ["ann", "ann", ""],
    },
    Path("nowhere"),
)
CROPS = crop_set([127, 255, 0, 127, 255], [0, 0, 2, 2, 2], [0, 1, 0, 0, 1])


@pytest.mark.parametrize(
    ("rule", "last"), [("mean-of-faces", (-0.996 + 0 + 1) / 3), ("mean-of-frame-max", (0 + 1) / 2)]
)
def test_a_file_has_the_aggregate_of_its_crops_and_none_without_any(rule: str, last: float) -> None:
    scores = score_crops(detector(rule), MANIFEST, CROPS, Report)
    assert scores.path.tolist() == ["a.mp4", "c.mp4"]
    assert_allclose(scores.score, [0.5, last], atol=0.01)
    assert scores.label.tolist() == [0, 1]
    assert scores.video.tolist() == ["a", "c"]
    assert scores.subject.tolist() == ["ann", ""]


def test_frames_keep_a_row_each_and_average_to_their_files() -> None:
    frames = score_crops(detector(), MANIFEST, CROPS, Report, unit="frame")
    assert frames.path.tolist() == ["a.mp4", "a.mp4", "c.mp4", "c.mp4", "c.mp4"]
    assert_allclose(frames.score, [0, 1, -1, 0, 1], atol=0.01)
    assert_allclose(frames.by("file").score, score_crops(detector(), MANIFEST, CROPS, Report).score)


def test_rows_of_another_split_are_refused() -> None:
    with pytest.raises(DataError, match="rows of split 'test' among select data"):
        score_crops(detector(), MANIFEST, CROPS, Select)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos a split, of three frames each; fakes are brighter, single frames overlap."""
    root = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)
    lines = ["path,label,split,group,video,generator,source"]
    for split in ("train", "val", "test"):
        for v in range(8):
            label = v % 2
            for frame, shift in enumerate((-60, 0, 60)):
                name = f"{split}-{v}-{frame}.png"
                value = 110 + 30 * label + shift + int(rng.integers(-5, 6))
                Image.fromarray(np.full((SIDE, SIDE, 3), value, np.uint8)).save(root / name)
                kind = "swap," if label else "real,camera"
                lines.append(f"{name},{label},{split},{split}{v},{split}{v},{kind}")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def spec(pack: Path) -> DataSpec:
    return DataSpec(path=str(pack), layout="pack", faces="whole", matched={"swap": ("camera",)})


def test_videos_of_several_files_are_the_unit_unless_asked_otherwise(pack: Path, tmp_path: Path) -> None:
    record, scores = evaluate(detector(), spec(pack))
    assert record.unit == "video"
    assert record.metrics["all"]["auc"].value == 1.0  # the means of videos keep the classes apart
    assert len(scores) == 24  # files: what is stored is finer than what is reported
    record.save(tmp_path, scores)
    again = Record.load(tmp_path)
    assert again.protocol().report(
        again.scores(tmp_path), again.calibration, again.threshold, unit=again.unit
    ).keys() == {"all", "swap vs matched reals", "swap vs all reals"}

    by_file, scores = evaluate(detector(), spec(pack), unit="file")
    assert by_file.unit == "file"
    assert by_file.metrics["all"]["auc"].value == pytest.approx(auc(scores.label, scores.score), abs=1e-6)
    assert by_file.metrics["all"]["auc"].value < 0.9
    assert by_file.metrics["all"]["auc"].groups == 8
    frames, _ = evaluate(detector(), spec(pack), unit="frame")
    assert frames.metrics["all"]["auc"].value == by_file.metrics["all"]["auc"].value  # one crop a file


def test_controls_are_fitted_beside_where_they_are_asked_for(pack: Path) -> None:
    record, _ = evaluate(detector(), spec(pack), controls=True)
    assert list(record.controls)[-1] == "random score"
    assert record.controls["colour moments"]["all"]["auc"].value == 1.0
    assert record.controls["image size"]["swap vs matched reals"]["auc"].value == 0.5
    assert "**(control wins)**" in record.table()
    assert evaluate(detector(), spec(pack))[0].controls == {}


def test_controls_need_data_to_be_fitted_on(pack: Path, tmp_path: Path) -> None:
    for path in pack.glob("test-*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (pack / "index.csv").read_text().splitlines()
    (tmp_path / "index.csv").write_text("\n".join([lines[0], *[line for line in lines if ",test," in line]]) + "\n")
    with pytest.raises(DataError, match="controls: have no split 'train' to be fitted on; leave out --controls"):
        evaluate(detector(), spec(tmp_path), controls=True)


def test_files_are_the_unit_where_every_file_is_a_video() -> None:
    assert natural_unit(MANIFEST) == "file"
    twice = Manifest.from_columns({"path": ["a", "b"], "label": [0, 0], "video": ["v", "v"]}, Path("nowhere"))
    assert natural_unit(twice) == "video"
