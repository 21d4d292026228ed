"""Frame policies on real clips: the promised frames come, under their own numbers, however they are reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import put, read, reason
from samples import clip, encode

from verisight.core.errors import RecipeError
from verisight.core.frames import FramePolicy
from verisight.data.decode import clips, timeline
from verisight.data.decode.timeline import Timeline
from verisight.data.media import Frame, Limits, open_media

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filter that the package sets

KEYS = {"g": "12", "sc_threshold": "0"}
RULES = [
    "linspace:2",
    "linspace:5",
    "linspace:24",
    "linspace:99",
    "clip:4x1",
    "clip:4x3",
    "clip:3x2@4",
    "clip:9x9",
    "all",
]


def level(frame: Frame) -> int:
    """Which frame of `samples.clip` it is: frame i has level 10 i, up to 25."""
    return round(float(frame.rgb[:, frame.rgb.shape[1] // 2 :].mean()) / 10)


def places(frames: list[Frame]) -> list[tuple[int | None, int]]:
    return [(frame.index, frame.clip) for frame in frames]


def expected(rule: str, count: int, keys: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    """Number and clip of every frame that comes, in time order."""
    chosen = FramePolicy.parse(rule).chosen(count, np.array(keys, np.int64))
    return sorted((int(index), number) for number, numbers in enumerate(chosen) for index in numbers)


# --- the plan alone


def spaced(times: list[float] | None, *, key_s: float, duration_s: float = 10.0) -> Timeline:
    counted = None if times is None else np.array(times)
    keys = np.array([0])
    frames = None if times is None else len(times)
    return Timeline(0.0, duration_s, 0.1, counted, keys, frames, 0, duration_s, key_s, {})


def test_a_gap_longer_than_a_key_interval_is_sought_over_and_a_shorter_one_read_through() -> None:
    line = spaced(None, key_s=2.0)
    assert line.runs([[0.5, 1.0, 3.0, 5.1], [1.0, 9.0]]) == [[0.5, 1.0, 3.0], [5.1], [9.0]]
    assert line.runs([[2.1]]) == [[], [2.1]]
    assert spaced(None, key_s=np.inf).runs([[2.1, 9.0]]) == [[2.1, 9.0]]


def test_a_frame_is_known_by_a_time_within_half_an_interval() -> None:
    line = spaced([0.0, 0.1, 0.2, 0.9], key_s=1.0)
    assert [line.index(t) for t in (0.0, 0.04, 0.06, 0.2, 0.24, 0.26, 0.86, 0.94, 5.0)] == [
        *(0, 0, 1, 2, 2, None, 3, 3, None)
    ]
    assert spaced(None, key_s=1.0).index(0.0) is None


def test_a_policy_of_numbers_needs_counted_frames() -> None:
    with pytest.raises(ValueError, match="counted first"):
        spaced(None, key_s=1.0).plan(FramePolicy.parse("linspace:4"))
    assert spaced(None, key_s=1.0).plan(FramePolicy.parse(2)) == [[2.5, 7.5]]
    assert spaced([0.0, 0.1], key_s=1.0).plan(FramePolicy.parse(2)) is None  # every frame there is


# --- files


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("container", "codec", "count"),
    [
        *(("mp4", "libx264", 24), ("mp4", "libx264", 5), ("mp4", "libx264", 1), ("matroska", "libx264", 23)),
        *(("webm", "libvpx", 24), ("avi", "mpeg4", 24), ("mpegts", "libx264", 24), ("mpegts", "mpeg2video", 2)),
        *(("vob", "mpeg2video", 24), ("flv", "flv", 24), ("asf", "wmv2", 24)),
    ],
)
def test_the_frames_that_the_policy_names_come_under_their_numbers(
    tmp_path: Path, container: str, codec: str, count: int, rule: str
) -> None:
    media, frames = read(put(tmp_path, clip(container, codec, frames=count, fps=24)), frames=rule)
    assert places(frames) == expected(rule, count)
    assert [frame.time_s for frame in frames] == pytest.approx([frame.index / 24 for frame in frames], abs=0.001)
    assert np.abs([level(frame) - frame.index for frame in frames]).max() <= 1
    assert media.notes == []


@pytest.mark.parametrize("rule", ["linspace:8", "clip:8x1", "all", "uniform:8"])
def test_exactly_as_many_frames_as_are_wanted_are_all_of_them(tmp_path: Path, rule: str) -> None:
    _, frames = read(put(tmp_path, clip("mp4", "libx264", frames=8)), frames=rule)
    assert [level(frame) for frame in frames] == list(range(8))
    assert [frame.index for frame in frames] == list(range(8))


def test_a_number_is_a_uniform_policy(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264"))
    for again in ("5", "uniform:5"):
        assert [f.time_s for f in read(path, frames=again)[1]] == [f.time_s for f in read(path, frames=5)[1]]
    assert [f.index for f in read(path, frames=5)[1]] == [2, 7, 12, 16, 21]  # 24 (i + 1/2) / 5, cut


def test_a_variable_rate_is_chosen_by_number_not_by_time(tmp_path: Path) -> None:
    times = [0, 10, 20, 30, 40, 50, 1000, 1900]  # ms
    path = put(tmp_path, clip("matroska", "libx264", frames=8, times=times))
    _, frames = read(path, frames="linspace:3")
    assert [(f.index, level(f)) for f in frames] == [(0, 0), (3, 3), (7, 7)]
    assert [f.time_s for f in frames] == pytest.approx([0, 0.03, 1.9], abs=0.002)
    assert [f.index for f in read(path, frames="clip:2x2")[1]] == [1, 2, 5, 6]
    uniform = read(path, frames=3)[1]
    assert [level(f) for f in uniform] == [f.index for f in uniform] != [0, 3, 7]


def test_key_frames_are_those_of_the_encoder(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264", frames=60, options=KEYS))
    assert places(read(path, frames="keyframes")[1]) == [(i, 0) for i in (0, 12, 24, 36, 48)]
    assert places(read(path, frames="keyframes:2")[1]) == [(0, 0), (48, 0)]
    assert [level(f) for f in read(path, frames="keyframes:3")[1]] == [0, 24, (48 * 10 % 256) // 10]


def test_frames_of_overlapping_clips_come_once_for_each(tmp_path: Path) -> None:
    _, frames = read(put(tmp_path, clip("mp4", "libx264", frames=5)), frames="clip:4x2")
    assert places(frames) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (4, 1)]
    assert frames[1].rgb is frames[2].rgb


@pytest.mark.parametrize(
    "rule", ["linspace:5", "linspace:60", "clip:5x3", "clip:3x2@7", "keyframes", "keyframes:4", "all"]
)
@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264")])
def test_seeking_and_reading_through_give_the_same_frames(
    tmp_path: Path, container: str, codec: str, rule: str
) -> None:
    path = put(tmp_path, clip(container, codec, frames=200, options=KEYS))
    seen = {}
    for from_keys in (0.0, 1.0, np.inf):  # a seek for every frame, as it comes, none
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timeline, "SEEK_FROM", from_keys)
            media, seen[from_keys] = read(path, frames=rule)
        assert media.notes == []
    assert places(seen[1.0]) == expected(rule, 200, tuple(range(0, 200, 12)))
    for other in (0.0, np.inf):
        assert places(seen[other]) == places(seen[1.0])
        for a, b in zip(seen[other], seen[1.0], strict=True):
            assert np.array_equal(a.rgb, b.rgb)


def test_short_clips_far_apart_are_reached_by_one_seek_each(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264", frames=300, options=KEYS))
    decoded, sought = [], []
    good, seek = clips._Clip._good, clips._Clip._seek
    with pytest.MonkeyPatch.context() as patch:
        media = open_media(path, frames="clip:4x2")
        patch.setattr(clips._Clip, "_good", lambda self, packet: decoded.append(1) or good(self, packet))
        patch.setattr(clips._Clip, "_seek", lambda self, stamp: sought.append(1) or seek(self, stamp))
        assert [f.index for f in media] == [74, 75, 76, 77, 222, 223, 224, 225]
    assert len(sought) == 2
    assert len(decoded) < 80


def test_a_cut_clip_is_spread_over_what_is_there(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    content = clip("mp4", "libx264", frames=40, options={"bf": "0"}, movflags="faststart", picture=lambda i: noise[i])
    media, frames = read(put(tmp_path, content[: len(content) // 2]), frames="linspace:4")
    found = int(media.notes[0].removeprefix("truncated: read ").removesuffix(" of 40 frames"))
    assert places(frames)[:3] == expected("linspace:4", found)[:3]
    assert frames[0].index == 0
    assert frames[-1].index in (found - 2, found - 1)  # the last packet is cut itself


def test_a_damaged_frame_is_left_out_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    content = bytearray(clip("avi", "mjpeg", frames=16, pix_fmt="yuvj420p"))
    starts = [i for i in range(len(content)) if content[i : i + 4] == b"00dc"][1:17]
    for k in (5, 6):
        content[starts[k] + 8 : starts[k + 1]] = bytes(starts[k + 1] - starts[k] - 8)
    path = put(tmp_path, bytes(content))
    for rule in ("all", "linspace:16", "clip:16x1"):
        media, frames = read(path, frames=rule)
        assert [f.index for f in frames] == [level(f) for f in frames] == [*range(5), *range(7, 16)]
        assert media.notes == ["damaged: 2 frames could not be decoded"]


def test_frames_of_a_long_clip_are_counted_only_when_the_policy_goes_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "_SURVEY_PACKETS", 20)
    path = put(tmp_path, clip("mp4", "libx264", frames=96))
    assert [f.index for f in read(path, frames=4)[1]] == [None] * 4
    assert [f.index for f in read(path, frames="linspace:4")[1]] == [0, 31, 63, 95]


def test_limits_hold_for_every_policy(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264"))
    assert "too many frames to count, over the limit of 5" in reason(
        path, frames="linspace:2", limits=Limits(max_frames=5)
    )
    for rule in ("all", "linspace:2", "clip:2x2"):
        assert "about 24 frames to decode, over the limit of 10" in reason(
            path, frames=rule, limits=Limits(max_frames=10)
        )
    assert len(read(path, frames="all", limits=Limits(max_frames=24))[1]) == 24


@pytest.mark.parametrize("rule", [1, "linspace:8", "keyframes", "clip:8x2", "all"])
def test_a_picture_is_one_picture_whatever_the_policy(tmp_path: Path, rule: int | str) -> None:
    _, (frame,) = read(put(tmp_path, encode(Image.new("RGB", (8, 6)), "PNG")), frames=rule)
    assert (frame.time_s, frame.index, frame.clip) == (None, None, 0)


def test_an_unknown_policy_is_refused_before_the_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no frame policy"):
        open_media(tmp_path / "absent", frames="linspce:3")
