"""ForgeryNet: labels of clips and of their frames from one line, in words or digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.forgerynet import FORGERYNET, frame_labels, parse
from verisight.data.layouts.layout import write_picture


@pytest.mark.parametrize("flags", [("real", "fake"), ("0", "1"), ("Real", "FAKE")])
def test_a_fake_clip_holds_real_frames(flags: tuple[str, str]) -> None:
    line = f"2 a.mp4 0 10 {flags[0]} 10 5 {flags[1]} 1 1 3"
    assert frame_labels(line) == [0] * 10 + [1] * 5
    assert (parse(line, "video").label, parse(line, "video").method) == (1, 3)


def test_stretches_may_come_in_any_order() -> None:
    assert frame_labels("2 a.mp4 2 1 fake 0 2 real 1 1 3") == [0, 0, 1]


@pytest.mark.parametrize("line", ["2 a.mp4 0 2 real 3 1 fake 1 1 3", "2 a.mp4 0 2 real 1 2 fake 1 1 3"])
def test_a_gap_or_an_overlap_is_refused(line: str) -> None:
    with pytest.raises(DataError, match="is not the start of a stretch"):
        frame_labels(line)


@pytest.mark.parametrize("line", ["1 a.mp4 0 5 real 1 1 3", "1 a.mp4 0 5 fake 0 0 0"])
def test_a_clip_that_contradicts_its_frames_is_refused(line: str) -> None:
    with pytest.raises(DataError, match="and otherwise of its frames"):
        parse(line, "video")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("", "image"), ("a.jpg 1 1", "image"), ("a.jpg 2 1 3", "image"), ("a.jpg 1 1 x", "image"), ("", "video"),
        ("x a.mp4 0 0 0", "video"), ("2 a.mp4 0 5 real 0 0 0", "video"), ("1 a.mp4 0 5 maybe 0 0 0", "video"),
    ],
)  # fmt: skip
def test_other_lines_are_refused(line: str, kind: str) -> None:
    with pytest.raises(DataError, match="is not a line of this list"):
        parse(line, kind)


def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path) -> None:
    FORGERYNET.tiny_copy(tmp_path)
    path = tmp_path / "Training" / "video_list.txt"
    path.write_text(path.read_text() + "1 b.mp4 0\n")
    with pytest.raises(DataError, match=r"Training/video_list\.txt: line 6: is not a line of this list"):
        FORGERYNET(DataSpec(path=str(tmp_path), layout="forgerynet"))


def test_pictures_are_another_kind_with_another_list(tmp_path: Path) -> None:
    FORGERYNET.tiny_copy(tmp_path)
    for number, label in ((0, 0), (7, 1)):
        write_picture(
            tmp_path / "Validation" / "image" / "val_image_release" / f"{number}.jpg", number, forged=bool(label)
        )
    lines = "val_image_release/0.jpg 0 0 0\nval_image_release/7.jpg 1 2 7\nval_image_release/8.jpg 1 2 7\n"
    (tmp_path / "Validation" / "image_list.txt").write_text(lines)
    made = FORGERYNET(DataSpec(path=str(tmp_path), layout="forgerynet", options={"kind": "image"}))
    assert made.column("label").tolist() == [0, 1]
    assert made.column("generator").tolist() == ["real", "forgerynet-07"]
    assert set(made.column("split")) == {"val"}
    assert made.notes == ("listed files that are absent: 1, such as Validation/image/val_image_release/8.jpg",)


def test_masks_are_no_samples_and_lists_are_needed(tmp_path: Path) -> None:
    FORGERYNET.tiny_copy(tmp_path)
    spec = DataSpec(path=str(tmp_path), layout="forgerynet")
    assert not any("spatial_localize" in path for path in FORGERYNET(spec).column("path"))
    for path in tmp_path.rglob("video_list.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"holds no video_list\.txt under Training/"):
        FORGERYNET(spec)
