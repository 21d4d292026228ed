"""The road from a file to a verdict: what is judged, what is abstained from, what fails, and that all roads agree."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from verisight.core.checkpoint import Calibration, Card, Threshold
from verisight.core.detector import Detector
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face
from verisight.data.quality import write_h264
from verisight.scan.ledger import Ledger
from verisight.scan.pipeline import Scanner, scan_files


def brightness_detector(**preprocess: object) -> Detector:
    """Score = mean of the normalised crop: a closed form for every picture of one grey value."""
    card = Card(
        name="brightness",
        method="test",
        task="deepfake",
        positive="fake",
        recipe={},
        preprocess=Preprocess(size=32, **preprocess),
        aggregate="mean-of-frame-max",
        calibration=Calibration(temperature=2.0),
        threshold=Threshold(value=0.6, rule="test", fitted_on="test"),
    )
    return Detector(card, lambda batch: 4 * batch.mean(axis=(1, 2, 3)), "f00d")


def everywhere(picture: np.ndarray) -> list[Face]:
    """A finder that sees one face of half the picture's size in its middle."""
    height, width = picture.shape[:2]
    return [Face((width / 4, height / 4, width / 2, height / 2), 0.9)]


def grey(folder: Path, value: int, size: int = 200) -> Path:
    path = folder / f"grey{value}.png"
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(path)
    return path


def judge(paths: list[Path], finder=everywhere, detector: Detector | None = None, ledger: Ledger | None = None):
    return list(scan_files(paths, detector=detector or brightness_detector(), finder=finder, ledger=ledger))


@pytest.mark.parametrize("value", [0, 100, 200, 255])
def test_probability_is_the_calibrated_score_and_the_label_follows_the_threshold(tmp_path: Path, value: int) -> None:
    (verdict,) = judge([grey(tmp_path, value)])
    expected = 1 / (1 + np.exp(-4 * ((value / 255 - 0.5) / 0.5) / 2.0))
    assert verdict.status == "scored"
    assert verdict.probability == pytest.approx(expected, abs=1e-6)
    assert verdict.label == ("fake" if expected >= 0.6 else "real")
    assert verdict.detector == "brightness@f00d"
    (face,) = verdict.faces
    assert face.box == (50, 50, 100, 100)
    assert face.score == pytest.approx(expected, abs=1e-6)
    assert face.time_s is None


def test_the_highest_face_of_each_frame_counts_and_frames_are_averaged(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    half = np.zeros((128, 256, 3), np.uint8)
    half[:, 128:] = 255
    write_h264([half] * 12, clip, crf=10, fps=12)

    def two_faces(picture: np.ndarray) -> list[Face]:
        return [Face((16, 16, 96, 96), 0.9), Face((144, 16, 96, 96), 0.8)]

    (verdict,) = judge([clip], finder=two_faces, detector=brightness_detector(frames=4))
    assert len(verdict.faces) == 8
    assert [face.time_s for face in verdict.faces] == sorted(face.time_s for face in verdict.faces)
    assert verdict.probability == pytest.approx(1 / (1 + np.exp(-2)), abs=0.02)  # all frames: the white face


def test_no_face_is_an_abstention_with_its_reason(tmp_path: Path) -> None:
    (verdict,) = judge([grey(tmp_path, 9)], finder=lambda picture: [])
    assert (verdict.status, verdict.label, verdict.probability) == ("abstained", None, None)
    assert verdict.reason == "no face found in the picture"


def test_a_small_face_is_an_abstention_that_names_both_sizes(tmp_path: Path) -> None:
    (verdict,) = judge([grey(tmp_path, 9, size=60)])
    assert verdict.status == "abstained"
    assert verdict.reason == "the largest face is 30 px; at least 40 px are needed"


def test_a_file_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    good = grey(tmp_path, 200)
    first, second, third = judge([good, broken, good])
    assert [v.status for v in (first, second, third)] == ["scored", "failed", "scored"]
    assert second.reason
    assert "\n" not in second.reason


def test_a_fault_of_ours_is_named_and_ends_nothing(tmp_path: Path) -> None:
    def buggy(picture: np.ndarray) -> list[Face]:
        raise ZeroDivisionError("oh")

    (verdict,) = judge([grey(tmp_path, 9)], finder=buggy)
    assert verdict.status == "failed"
    assert verdict.reason == "a fault of ours (ZeroDivisionError: oh)"


def test_verdicts_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = [grey(tmp_path, value) for value in range(0, 250, 10)]
    assert [v.path for v in judge(paths)] == [str(p) for p in paths]


def test_a_file_scores_the_same_alone_and_among_others(tmp_path: Path, tiny_checkpoint: Path) -> None:
    rng = np.random.default_rng(3)
    paths = []
    for i in range(12):
        paths.append(tmp_path / f"{i:02d}.png")
        Image.fromarray(rng.integers(0, 256, (90 + 7 * i, 120, 3)).astype(np.uint8)).save(paths[-1])
    clip = tmp_path / "clip.mp4"
    write_h264(rng.integers(0, 256, (20, 96, 96, 3)).astype(np.uint8), clip, crf=10, fps=12)
    paths[5:5] = [clip]
    detector = Detector.load(tiny_checkpoint)
    together = judge(paths, detector=detector)
    alone = [judge([path], detector=detector)[0] for path in paths]
    assert [v.model_copy(update={"seconds": 0}) for v in together] == [
        v.model_copy(update={"seconds": 0}) for v in alone
    ]
    assert len({v.probability for v in together}) == len(paths)  # so that a mix-up would show


def test_a_verdict_says_what_the_file_is_made_of_and_where_it_says_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Acme", "Lens 3"
    colours = np.full((300, 200, 3), (170, 120, 90), np.uint8)
    colours[150:] = (60, 120, 200)
    Image.fromarray(colours).save(path, quality=20, exif=exif)
    for finder in (everywhere, lambda picture: []):
        (verdict,) = judge([path], finder=finder)
        assert (verdict.quality.codec, verdict.quality.width, verdict.quality.height) == ("jpeg", 200, 300)
        assert verdict.quality.jpeg_quality == 20
        assert [warning.code for warning in verdict.warnings] == ["heavy-compression"] * (finder is everywhere)
        assert verdict.quality.face_px == (150 if finder is everywhere else None)
        assert verdict.provenance.c2pa == "absent"
        assert any("Acme" in trace for trace in verdict.provenance.made_with)


def test_paths_are_read_as_they_are_consumed(tmp_path: Path) -> None:
    path, handed = grey(tmp_path, 9), 0

    def endless():
        nonlocal handed
        while True:
            handed += 1
            yield path

    verdicts = scan_files(endless(), detector=brightness_detector(), finder=everywhere)
    for _ in range(3):
        next(verdicts)
    verdicts.close()
    assert handed < 100


def test_the_ledger_is_asked_before_the_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = grey(tmp_path, 77)
    copy = tmp_path / "copy.png"
    copy.write_bytes(path.read_bytes())
    opened: list[Path] = []
    examine = Scanner.examine
    monkeypatch.setattr(Scanner, "examine", lambda self, p: (opened.append(Path(p)), examine(self, p))[1])
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as ledger:
        (first,) = judge([path], ledger=ledger)
        (again,) = judge([path], ledger=ledger)
        (renamed,) = judge([copy], ledger=ledger)
        assert opened == [path]
        assert again == first
        assert renamed == first.model_copy(update={"path": str(copy)})
        list(scan_files([path], detector=brightness_detector(), finder=everywhere, ledger=ledger, force=True))
        assert opened == [path, path]
        path.write_bytes(grey(tmp_path, 78).read_bytes())  # changed content is judged anew
        (changed,) = judge([path], ledger=ledger)
        assert changed.probability != first.probability


def test_another_detector_judges_anew(tmp_path: Path) -> None:
    path = grey(tmp_path, 77)
    other = brightness_detector()
    other.fingerprint = "beef"
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as ledger:
        judge([path], ledger=ledger)
        (verdict,) = judge([path], detector=other, ledger=ledger)
        assert verdict.detector == "brightness@beef"
        assert len(list(ledger.rows())) == 2


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_scan_that_is_dropped_while_workers_run_waits_for_none_of_them(tmp_path: Path) -> None:
    """The last reference goes away inside a worker while another needs that worker to go on: once a deadlock."""
    calls, held = itertools.count(), list[object]()
    dropped, closed = threading.Event(), threading.Event()

    def dropping(picture: np.ndarray) -> list[Face]:
        if picture[0, 0, 0] == 9:  # the first file, which need not be the first to be looked at
            return everywhere(picture)
        if next(calls) == 0:
            dropped.wait(20)
            held.clear()
            closed.set()
        else:
            closed.wait(20)
        return everywhere(picture)

    files = itertools.chain([grey(tmp_path, 9)], itertools.repeat(grey(tmp_path, 10)))
    held.append(scan_files(files, detector=brightness_detector(), finder=dropping))
    next(held[0])
    dropped.set()
    assert closed.wait(10)
