"""Preparing a data set: one set of boxes a pair, equal frames at every quality, the same end after a break."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import DataSpec
from verisight.data import cut as cut_module
from verisight.data import prepare as prepare_module
from verisight.data.faces import Face, YuNet, crop_face, face_finder
from verisight.data.layouts import read_layout
from verisight.data.media import open_media
from verisight.data.prepare import Prepared, Unfinished, prepare
from verisight.data.quality import h264, write_h264
from verisight.data.synthetic import blended_forgery

PREPROCESS = Preprocess(size=48, frames=3)
PAIR = ("same", "c40")


def window(picture: np.ndarray, nth: int, side: int = 192) -> np.ndarray:
    """A camera that drifts over the face."""
    return np.ascontiguousarray(picture[20 : 20 + side, 120 + 3 * nth : 120 + 3 * nth + side])


def write_pack(root: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = [{"split": "train", "pair": "", "quality": "", "box": "", **row} for row in rows]
    with open(root / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def scene(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original, its fake, one of other length and one of other size; a photo; a blank clip; a broken one."""
    root = tmp_path_factory.mktemp("scene")
    forged = blended_forgery(portrait, face_finder()(portrait)[0])
    write_h264([window(portrait, n) for n in range(8)], root / "a.mp4", crf=12, fps=8)
    write_h264([window(forged, n) for n in range(8)], root / "a-swap.mp4", crf=12, fps=8)
    write_h264([window(forged, n) for n in range(4)], root / "a-short.mp4", crf=12, fps=8)
    write_h264([window(forged, n, 176) for n in range(8)], root / "a-small.mp4", crf=12, fps=8)
    write_h264([np.full((192, 192, 3), 128, np.uint8)] * 8, root / "blank.mp4", crf=30, fps=8)
    Image.fromarray(portrait[:256, 100:356]).save(root / "photo.png")
    (root / "broken.mp4").write_bytes((root / "a.mp4").read_bytes()[:900])
    fake = {"label": 1, "pair": "a", "generator": "swap", "group": "a"}
    write_pack(
        root,
        [
            {"path": "a.mp4", "label": 0, "pair": "a", "generator": "real", "group": "a"},
            *({"path": f"a-{kind}.mp4", **fake} for kind in ("swap", "short", "small")),
            {"path": "blank.mp4", "label": 0, "generator": "real", "group": "blank"},
            {"path": "photo.png", "label": 0, "generator": "real", "group": "photo", "split": "val"},
            {"path": "broken.mp4", "label": 1, "generator": "swap", "group": "broken"},
        ],
    )
    return root


def run(scene: Path, out: Path, **options: Any) -> Prepared:
    options = {"preprocess": PREPROCESS, "qualities": PAIR, **options}
    return prepare(DataSpec(path=str(scene), layout="pack"), out, **options)


@pytest.fixture(scope="module")
def made(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return run(scene, tmp_path_factory.mktemp("made") / "out")


def index_of(out: Path) -> list[dict[str, str]]:
    with open(out / "index.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def picture_of(out: Path, row: dict[str, str]) -> np.ndarray:
    return cv2.imread(str(out / row["path"]))[:, :, ::-1]


def content(out: Path) -> dict[str, str]:
    """Every file but prepare.json, which holds the wall time, by its hash."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "prepare.json"
    }


# --- what comes out ---


def test_every_face_is_in_the_index_at_every_quality(made: Prepared) -> None:
    rows = index_of(made.out)
    assert len(rows) == made.crops == sum(made.counts.values()) == 26
    per_file = Counter((row["origin"], row["quality"]) for row in rows)
    clips = {(f"{name}.mp4", quality): 3 for name in ("a", "a-swap", "a-short", "a-small") for quality in ("", "c40")}
    assert per_file == {**clips, ("photo.png", ""): 1, ("photo.png", "c40"): 1}
    assert {row["applied"] for row in rows if row["quality"] == "c40"} == {"h264:40"}
    assert {row["applied"] for row in rows if row["quality"] == ""} == {""}
    assert all(picture_of(made.out, row).shape == (48, 48, 3) for row in rows)


def test_the_pack_layout_reads_it_with_all_that_the_data_set_said(made: Prepared, scene: Path) -> None:
    manifest = read_layout(DataSpec(path=str(made.out), layout="pack", faces="whole"))
    assert len(manifest) == made.crops
    before = {row["path"]: row for row in read_layout(DataSpec(path=str(scene), layout="pack")).table.to_pylist()}
    for row, index in zip(manifest.table.to_pylist(), index_of(made.out), strict=True):
        origin = before[index["origin"]]
        for name in ("label", "split", "group", "video", "pair", "generator", "subject", "source"):
            assert row[name] == origin[name], name


def test_files_without_crops_are_named_with_the_reason(made: Prepared) -> None:
    with open(made.out / "skipped.csv", newline="") as file:
        skipped = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert skipped.keys() == {"blank.mp4", "broken.mp4"}
    assert skipped["blank.mp4"] == "no face found"
    assert "broken" in skipped["broken.mp4"]
    assert made.failed == 1  # a clip without a face is no failure


def test_crops_are_those_of_the_clip_at_the_boxes_found_on_the_original(made: Prepared, scene: Path) -> None:
    finder = face_finder()
    original = [frame.rgb for frame in open_media(scene / "a.mp4", frames=3)]
    faces = [finder(picture)[0] for picture in original]
    rows = {(row["origin"], row["quality"], row["time_s"]): row for row in index_of(made.out)}
    times = sorted({time_s for origin, _, time_s in rows if origin == "a.mp4"})
    for name in ("a.mp4", "a-swap.mp4"):
        frames = [frame.rgb for frame in open_media(scene / name, frames=3)]
        for frame, face, time_s in zip(frames, faces, times, strict=True):
            cut = picture_of(made.out, rows[name, "", time_s])
            np.testing.assert_array_equal(cut, crop_face(frame, face, PREPROCESS))
    every = list(open_media(scene / "a-swap.mp4", frames="all"))
    encoded = dict(zip((f"{f.time_s:.3f}" for f in every), h264((f.rgb for f in every), 40, 8), strict=True))
    for face, time_s in zip(faces, times, strict=True):
        cut = picture_of(made.out, rows["a-swap.mp4", "c40", time_s])
        np.testing.assert_array_equal(cut, crop_face(encoded[time_s], face, PREPROCESS))


def test_a_fake_of_other_length_or_size_is_searched_itself_and_noted(made: Prepared) -> None:
    assert sum("faces found on itself (no original of its size and length" in note for note in made.notes) == 2
    assert {note.split(":")[0] for note in made.notes} == {"a-short.mp4", "a-small.mp4"}


def test_a_fake_one_frame_shorter_keeps_the_faces_of_its_original_and_is_noted(
    portrait: np.ndarray, tmp_path: Path
) -> None:
    root = tmp_path / "near"
    root.mkdir()
    blank = np.full((192, 192, 3), 90, np.uint8)
    write_h264([window(portrait, n) for n in range(8)], root / "real.mp4", crf=12, fps=50)
    write_h264([blank] * 7, root / "fake.mp4", crf=12, fps=50)  # no finder would see a face in it
    write_pack(root, [{"path": f"{n}.mp4", "label": int(n == "fake"), "pair": "a"} for n in ("real", "fake")])
    made = run(root, tmp_path / "out", qualities=("same",))
    assert made.notes == ("fake.mp4: -0.02 s against its original real.mp4",)
    assert made.crops == 6


def test_with_several_originals_to_choose_from_a_fake_is_searched_itself(portrait: np.ndarray, tmp_path: Path) -> None:
    root = tmp_path / "several"
    root.mkdir()
    for name in ("cut-1", "cut-2", "fake"):
        Image.fromarray(window(portrait, 3 * len(name))).save(root / f"{name}.png")
    write_pack(root, [{"path": f"{n}.png", "label": int(n == "fake"), "pair": "a"} for n in ("cut-1", "cut-2", "fake")])
    made = run(root, tmp_path / "out", qualities=("same",))
    assert made.notes == ("fake.png: faces found on itself (several originals fit)",)
    assert made.crops == 3


def test_the_same_video_at_another_quality_is_cut_at_the_same_boxes(portrait: np.ndarray, tmp_path: Path) -> None:
    root = tmp_path / "stored"
    root.mkdir()
    write_h264([window(portrait, n) for n in range(6)], root / "a.mp4", crf=4, fps=6)
    write_h264([np.full((192, 192, 3), 90, np.uint8)] * 6, root / "b.mp4", crf=40, fps=6)  # no finder would see a face
    kept = {"label": 0, "video": "v", "group": "v"}
    write_pack(root, [{"path": "a.mp4", "quality": "raw", **kept}, {"path": "b.mp4", "quality": "c40", **kept}])
    assert run(root, tmp_path / "out", qualities=("same",)).crops == 6
    write_pack(root, [{"path": "a.mp4", "quality": "raw", **kept}, {"path": "b.mp4", "quality": "raw", **kept}])
    assert run(root, tmp_path / "other", qualities=("same",)).crops == 3  # nothing says that they show the same


def test_faces_are_searched_once_a_pair(scene: Path, tmp_path: Path) -> None:
    searched = 0
    yunet = YuNet()

    def counting(picture: np.ndarray) -> list[Face]:
        nonlocal searched
        searched += 1
        return yunet(picture)

    run(scene, tmp_path / "out", finder=counting, workers=1)
    assert searched == 3 * 4 + 1  # a, a-short, a-small, blank, and the photo; a-swap and c40 need none


def test_the_box_says_where_the_face_is_in_the_crop(made: Prepared, portrait: np.ndarray) -> None:
    for row in index_of(made.out):
        x, y, w, h = map(float, row["box"].split())
        assert 0 <= x < x + w <= 48
        assert 0 <= y < y + h <= 48
        assert max(w, h) == pytest.approx(48 / PREPROCESS.margin, abs=1.5)


def test_known_boxes_of_the_data_set_are_used(scene: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "known"
    root.mkdir()
    Image.fromarray(portrait[:256, 100:356]).save(root / "photo.png")
    Image.fromarray(portrait[:256, 100:356]).save(root / "bad.png")
    boxes = {"photo.png": "10 20 100 100", "bad.png": "900 900 10 10"}
    write_pack(root, [{"path": p, "label": n, "box": b} for n, (p, b) in enumerate(boxes.items())])
    made = run(root, tmp_path / "out", qualities=("same",), finder=lambda picture: pytest.fail("searched"))
    expected = crop_face(portrait[:256, 100:356], Face((10, 20, 100, 100), 1.0), PREPROCESS)
    (row,) = index_of(made.out)
    np.testing.assert_array_equal(picture_of(made.out, row), expected)
    assert "outside" in made.skipped[0][1]


def test_whole_pictures_are_not_searched_and_only_shrunk(tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "whole"
    root.mkdir()
    for n in range(2):
        Image.fromarray(portrait[:96, 100:228]).save(root / f"{n}.png")
    write_pack(root, [{"path": f"{n}.png", "label": n} for n in range(2)])
    spec = DataSpec(path=str(root), layout="pack", faces="whole")
    made = prepare(spec, tmp_path / "out", preprocess=PREPROCESS, qualities=("raw", "jpeg:40"))
    square = cv2.resize(portrait[:96, 116:212], (48, 48), interpolation=cv2.INTER_AREA)
    rows = index_of(made.out)
    np.testing.assert_array_equal(picture_of(made.out, rows[0]), square)
    assert [(row["quality"], row["applied"]) for row in rows] == [("raw", ""), ("jpeg:40", "jpeg:40")] * 2


def test_drawn_qualities_are_recorded_and_depend_on_the_file_alone(scene: Path, tmp_path: Path) -> None:
    spec = "jpeg:20..90 noise:1..4"
    first = run(scene, tmp_path / "one", qualities=(spec,), workers=1)
    applied = {row["origin"]: row["applied"] for row in index_of(first.out)}
    assert len(set(applied.values())) == len(applied) == 5
    assert all(text.startswith("jpeg:") and "@" in text for text in applied.values())
    again = run(scene, tmp_path / "two", qualities=(spec,), workers=3)
    assert content(first.out) == content(again.out)
    other = run(scene, tmp_path / "three", qualities=(spec,), seed=1)
    assert applied != {row["origin"]: row["applied"] for row in index_of(other.out)}


def test_a_fault_in_one_file_does_not_end_the_run(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Prepared
) -> None:
    def faulty(path: Path, **options: Any) -> Any:
        if path.name == "photo.png":
            raise ZeroDivisionError("unforeseen")
        return open_media(path, **options)

    monkeypatch.setattr(cut_module, "open_media", faulty)
    result = run(scene, tmp_path / "out")
    assert ("photo.png", "a fault of ours (ZeroDivisionError: unforeseen)", True) in result.skipped
    assert result.crops == made.crops - 2


def test_two_names_of_one_file_are_noted(scene: Path, tmp_path: Path) -> None:
    root = tmp_path / "linked"
    root.mkdir()
    (root / "a.png").write_bytes((scene / "photo.png").read_bytes())
    os.link(root / "a.png", root / "b.png")
    write_pack(root, [{"path": "a.png", "label": 0}, {"path": "b.png", "label": 1}])
    assert run(root, tmp_path / "out").notes == ("b.png: the same file as a.png",)


def test_facts_and_contact_sheet_tell_what_was_made_and_no_place_of_the_machine(made: Prepared) -> None:
    text = (made.out / "prepare.json").read_text()
    facts = json.loads(text)
    assert facts["finished"]
    assert facts["crops"] == made.crops
    assert facts["counts"] == {"train fake": 18, "train real": 6, "val real": 2}
    assert facts["index_sha256"] == hashlib.sha256((made.out / "index.csv").read_bytes()).hexdigest()
    assert str(made.out.parent) not in text
    with Image.open(made.out / "contact.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width > 640


# --- interruptions ---


def stopping_after(parts: int, error: BaseException) -> Callable[[Path, str], None]:
    """`_replace` that writes so many parts and then fails as a full disk or a kill would."""
    real, written = prepare_module._replace, 0

    def replace(path: Path, text: str) -> None:
        nonlocal written
        if path.parent.parent.name == "parts":
            written += 1
            if written > parts:
                raise error
        real(path, text)

    return replace


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_run_that_was_cut_short_ends_with_the_same_bytes_when_run_again(
    scene: Path, tmp_path: Path, made: Prepared, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "_replace", stopping_after(2, error))
        with pytest.raises((KeyboardInterrupt, Unfinished)) as caught:
            run(scene, out, workers=1)
    if isinstance(error, OSError):
        assert str(caught.value) == (
            f"{out}: cannot be written (No space left on device); 2 of 4 units are done; "
            "make room, then run the same command again: it goes on from there"
        )
    assert not (out / "index.csv").exists()
    again = run(scene, out)
    assert again.resumed == 2
    assert content(out) == content(made.out)


def test_a_crop_that_cannot_be_written_stops_the_run_and_leaves_no_half_unit(
    scene: Path, tmp_path: Path, made: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real, written = tmp_path / "out", Path.write_bytes, 0

    def write_bytes(path: Path, data: bytes) -> int:
        nonlocal written
        written += 1
        if written > 4:
            real(path, data[:100])  # what was room for
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(Unfinished, match=r"No space left on device\); 0 of 4 units are done"):
            run(scene, out, workers=1)
    run(scene, out)
    assert content(out) == content(made.out)


def test_a_second_run_does_nothing_and_changes_nothing(scene: Path, made: Prepared) -> None:
    before = content(made.out)
    again = run(scene, made.out, finder=lambda picture: pytest.fail("searched"))
    assert again.resumed == again.units == 4
    assert again.skipped == made.skipped
    assert content(made.out) == before


def test_a_mended_file_is_prepared_anew(scene: Path, tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "mended"
    root.mkdir()
    Image.fromarray(portrait[:256, 100:356]).save(root / "a.png")
    (root / "b.png").write_bytes((root / "a.png").read_bytes()[:500])
    write_pack(root, [{"path": "a.png", "label": 0}, {"path": "b.png", "label": 1}])
    assert run(root, tmp_path / "out").failed == 1
    (root / "b.png").write_bytes((root / "a.png").read_bytes())
    again = run(root, tmp_path / "out")
    assert (again.failed, again.resumed, again.crops) == (0, 1, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preprocess": Preprocess(size=48, frames=4)}, r"was begun with another preprocess \(frames 3, now 4\)"),
        ({"qualities": ("same", "c23")}, r"was begun with another qualities \(c23 None, now h264:23\)"),
        ({"seed": 3}, r"was begun with another seed \(0, now 3\)"),
    ],
)
def test_a_folder_that_was_begun_with_other_settings_is_refused(
    scene: Path, made: Prepared, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(scene, made.out, **options)


def test_a_folder_that_holds_something_else_is_left_alone(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else; give an empty or new folder"):
        run(scene, tmp_path)
    with pytest.raises(DataError, match="holds something else"):
        run(scene, tmp_path / "diary.txt")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/prepare.json").write_text("[]")
    with pytest.raises(DataError, match="not written by verisight prepare"):
        run(scene, tmp_path / "other")


# --- refusals ---


def test_a_set_without_a_single_face_is_refused_with_a_reason(tmp_path: Path) -> None:
    for n in range(2):
        Image.fromarray(np.full((80, 80, 3), 128, np.uint8)).save(tmp_path / f"{n}.png")
    write_pack(tmp_path, [{"path": f"{n}.png", "label": n} for n in range(2)])
    with pytest.raises(DataError, match=r"not one file gave a face; 0\.png; no face found"):
        run(tmp_path, tmp_path / "out")
    assert (tmp_path / "out/skipped.csv").read_text().splitlines()[1:] == ["0.png,no face found", "1.png,no face found"]


@pytest.mark.parametrize(
    ("qualities", "message"),
    [
        (("c32",), "did you mean 'c23'"),
        (("jpeg:400",), "out of range"),
        (("",), "names nothing"),
        (("jpeg:40", "jpeg_40"), "not an operation"),
    ],
)
def test_unknown_qualities_are_refused_before_any_file_is_opened(
    scene: Path, tmp_path: Path, qualities: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(scene, tmp_path / "out", qualities=qualities)
    assert not (tmp_path / "out").exists()


def test_compressed_files_are_not_called_raw(tmp_path: Path, scene: Path) -> None:
    (tmp_path / "a.png").write_bytes((scene / "photo.png").read_bytes())
    write_pack(tmp_path, [{"path": "a.png", "label": 0, "quality": "c23"}])
    with pytest.raises(DataError, match="holds files of quality 'c23', which cannot give 'raw'; use 'same'"):
        run(tmp_path, tmp_path / "out", qualities=("raw", "c40"))
    run(tmp_path, tmp_path / "out", qualities=("same", "c40"))
    assert [row["quality"] for row in index_of(tmp_path / "out")] == ["c23", "c40"]
