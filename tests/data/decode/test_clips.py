"""Clips: which frames are chosen, how they come out, and what a broken file still gives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reading import put, read, reason
from samples import clip, encode, sound

from verisight.core.errors import InputError
from verisight.data.decode import clips, timeline
from verisight.data.media import Frame, open_media, sample_times

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filter that the package sets


def levels(frames: list[Frame]) -> list[int]:
    """Which frame of `hostile.clip` each is: frame i has level 10 i."""
    return [round(float(f.rgb[:, f.rgb.shape[1] // 2 :].mean()) / 10) for f in frames]


@given(st.floats(0.01, 1e5), st.integers(1, 500))
def test_sample_times_are_the_centres_of_equal_intervals(duration_s: float, frames: int) -> None:
    times = np.array(sample_times(duration_s, frames))
    assert len(times) == frames
    assert times[0] == pytest.approx(duration_s / frames / 2)
    assert times[-1] == pytest.approx(duration_s - duration_s / frames / 2)
    assert np.allclose(np.diff(times), duration_s / frames)


def test_sample_times_at_the_ends() -> None:
    assert sample_times(10.0, 1) == [5.0]
    assert sample_times(0.0, 2) == [0.0, 0.0]
    assert sample_times(1.0, 0) == []


FORMATS = [
    *(("mp4", "libx264"), ("mov", "libx264"), ("matroska", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")),
    *(("mpegts", "libx264"), ("vob", "mpeg2video"), ("flv", "flv"), ("asf", "wmv2"), ("ogg", "libvpx")),
    *(("3gp", "mpeg4"), ("webm", "libvpx-vp9"), ("mpegts", "mpeg2video")),
]


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_the_frame_on_show_at_each_sample_time_is_given(tmp_path: Path, container: str, codec: str) -> None:
    media, frames = read(put(tmp_path, clip(container, codec, frames=24, fps=24)), frames=8)
    assert (media.kind, media.width, media.height) == ("video", 64, 48)
    assert media.duration_s == pytest.approx(1.0, abs=0.01)
    assert [f.time_s for f in frames] == pytest.approx(
        [i / 24 for i in range(1, 24, 3)], abs=0.001
    )  # 1.5 -> 1, 4.5 -> 4
    assert np.abs(np.array(levels(frames)) - np.arange(1, 24, 3)).max() <= 1
    assert media.notes == []


@pytest.mark.parametrize("count", [1, 2, 15, 16])
@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("webm", "libvpx"), ("avi", "ffv1")])
def test_a_short_clip_gives_each_frame_once(tmp_path: Path, container: str, codec: str, count: int) -> None:
    container = "matroska" if codec == "ffv1" else container
    media, frames = read(put(tmp_path, clip(container, codec, frames=count)), frames=16)
    assert levels(frames) == list(range(count))
    assert media.notes == []


def test_a_variable_rate_is_sampled_by_time_not_by_number(tmp_path: Path) -> None:
    times = [0, 10, 20, 30, 40, 50, 1000, 1900]  # ms: six frames at once, then two long ones
    path = put(tmp_path, clip("matroska", "libx264", frames=8, times=times))
    _, frames = read(path, frames=4)
    # 1.91 s to 2.8 s long, whatever the last frame's duration is; the sample times fall on 50, 50, 1000 and later
    assert levels(frames)[0] == 5
    assert 6 in levels(frames)
    assert len(set(levels(frames))) == len(frames) < 4 + 1
    assert levels(read(path, frames=8)[1]) == list(range(8))


SEEKABLE = [("mp4", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264"), ("avi", "mpeg4")]


@pytest.mark.parametrize(("container", "codec"), [*SEEKABLE, ("flv", "flv"), ("asf", "wmv2"), ("webm", "libvpx")])
def test_seeking_and_reading_through_choose_the_same_frames(tmp_path: Path, container: str, codec: str) -> None:
    path = put(tmp_path, clip(container, codec, frames=400, options={"g": "12"}))
    for frames in (3, 7, 12):
        seen = {}
        for name, from_keys in (("sought", 0.0), ("walked", np.inf)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(timeline, "SEEK_FROM", from_keys)
                patch.delattr(clips._Clip, "walked" if name == "sought" else "sought")  # only one way stands open
                media, seen[name] = read(path, frames=frames)
            assert media.notes == []
        assert [f.time_s for f in seen["sought"]] == [f.time_s for f in seen["walked"]]
        assert len(seen["sought"]) == frames
        for a, b in zip(seen["sought"], seen["walked"], strict=True):
            assert np.array_equal(a.rgb, b.rgb)


def test_long_clips_are_sought_and_short_ones_read_through(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264", frames=400, options={"g": "12"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(clips._Clip, "walked")
        assert len(read(path, frames=4)[1]) == 4  # 4 s apart, key frames each 0.5 s
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(clips._Clip, "sought")
        assert len(read(path, frames=100)[1]) == 100


# ---- another look


@pytest.mark.parametrize(("container", "codec"), SEEKABLE)
def test_another_look_gives_the_frames_on_show_each_once_in_order(tmp_path: Path, container: str, codec: str) -> None:
    path = put(tmp_path, clip(container, codec, frames=120, options={"g": "12"}))
    media, all_frames = read(path, frames="all")
    wanted = [4.0, 0.51, 0.52, 2.02, 4.99]  # at 24 frames a second: 96, 12, 12, 48, 119
    again = list(media.at(wanted))
    assert [f.index for f in again] == [12, 48, 96, 119]
    for frame in again:
        assert frame.time_s == all_frames[frame.index].time_s
        assert np.array_equal(frame.rgb, all_frames[frame.index].rgb)
    own = [all_frames[i].time_s for i in (3, 50, 77)]
    assert [f.time_s for f in media.at(own)] == own  # a frame is on show at its own time
    assert list(media.at([])) == []
    assert media.notes == []


def test_a_look_nearby_gives_the_key_frame_before_where_it_seeks_and_decodes_no_other(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264", frames=240, options={"g": "24", "bf": "0", "sc_threshold": "0"}))
    media, all_frames = read(path, frames="all")
    wanted = [0.3, 3.5, 3.7, 8.2]  # the first two parts of a second are read, 3.5 and 8.2 s are sought
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        rgb = clips._Clip._good
        patch.setattr(clips._Clip, "_good", lambda self, packet: [decoded.append(1), *rgb(self, packet)][1:])
        near = list(media.at(wanted, nearby=True))
        few = len(decoded)
        exact = list(media.at(wanted))
    assert [f.index for f in exact] == [7, 84, 88, 196]
    assert [f.index for f in near] == [7, 72, 88, 192]
    assert few < len(decoded) - few
    for frame in near:
        assert np.array_equal(frame.rgb, all_frames[frame.index].rgb)


def test_what_lies_near_the_same_key_frame_is_not_given_twice(tmp_path: Path) -> None:
    media, _ = read(
        put(tmp_path, clip("mp4", "libx264", frames=240, options={"g": "24", "sc_threshold": "0"})), frames=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "SEEK_FROM", 0.1)  # so that three times in one second are all sought
        near = [f.index for f in media.at([3.2, 3.5, 3.8], nearby=True)]
    assert near[0] == 72
    assert near == sorted(set(near))
    assert len(near) == 3


def test_another_look_at_a_file_that_was_broken_since_is_refused(tmp_path: Path) -> None:
    content = clip("mp4", "libx264", frames=100, options={"g": "10"})
    media, _ = read(put(tmp_path, content), frames=8)
    end = media.duration_s - 0.01
    assert [f.index for f in media.at([1.0, end])] == [24, 99]
    put(tmp_path, content[: content.index(b"mdat")] + bytes(len(content)))  # all gone since it was opened
    with pytest.raises(InputError):
        list(media.at([1.0, end]))


def test_a_picture_has_no_times(tmp_path: Path) -> None:
    media = open_media(put(tmp_path, encode(Image.new("RGB", (8, 6)), "PNG")))
    assert media.frames is None
    with pytest.raises(ValueError, match="no times"):
        media.at([0.0])


def test_a_container_whose_clock_does_not_survive_a_seek_is_read_through(tmp_path: Path) -> None:
    path = put(tmp_path, clip("vob", "mpeg2video", frames=100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "SEEK_FROM", 0.0)
        patch.delattr(clips._Clip, "sought")
        assert [f.time_s for f in read(path, frames=2)[1]] == pytest.approx([25 / 24, 75 / 24])


def test_frames_are_decoded_only_when_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path, clip("mp4", "libx264", frames=300))
    decoded = []
    good = clips._Clip._good
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips._Clip, "_good", lambda self, packet: decoded.append(1) or good(self, packet))
        media = open_media(path, frames=10)
        decoded.clear()
        frames = iter(media)
        next(frames)
        assert len(decoded) < 150


def test_a_clip_can_be_read_twice(tmp_path: Path) -> None:
    media = open_media(put(tmp_path, clip("mp4", "libx264")[:-1]), frames=5)
    first, notes = list(media), list(media.notes)
    second = list(media)
    assert [f.time_s for f in first] == [f.time_s for f in second]
    assert media.notes == notes


# ---- clips that are odd or broken


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_the_display_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    media, frames = read(put(tmp_path, clip("mp4", "libx264", frames=3, rotation=degrees)))
    rgb = frames[0].rgb  # stored: black with a white left quarter, 64 x 48
    assert rgb.shape[:2] == (media.height, media.width) == ((48, 64) if degrees % 180 == 0 else (64, 48))
    # counter-clockwise: left goes to the bottom at 90 and to the top at -90
    side = {0: rgb[:, 0], 90: rgb[-1], 180: rgb[:, -1], -90: rgb[0]}[degrees]
    assert side.min() > 200
    assert (rgb > 200).mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {"pix_fmt": "yuv420p10le"}),
        ("mp4", "libx264", {"pix_fmt": "yuv444p", "size": (63, 47)}),
        ("mpegts", "mpeg2video", {"options": {"flags": "+ildct+ilme"}}),
        ("matroska", "ffv1", {"pix_fmt": "gray16le"}),
        ("matroska", "ffv1", {"pix_fmt": "bgra"}),
    ],
)
def test_every_pixel_format_becomes_eight_bit_rgb(
    tmp_path: Path, container: str, codec: str, options: dict[str, object]
) -> None:
    _, frames = read(put(tmp_path, clip(container, codec, frames=12, **options)))  # type: ignore[arg-type]
    width, height = options.get("size", (64, 48))
    assert all(f.rgb.shape == (height, width, 3) and f.rgb.dtype == np.uint8 for f in frames)
    assert levels(frames) == list(range(12))


def test_a_truncated_clip_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    content = clip("mp4", "libx264", frames=40, options={"bf": "0"}, movflags="faststart", picture=lambda i: noise[i])
    media, frames = read(put(tmp_path, content[: len(content) // 2]), frames=16)
    assert 10 < len(frames) <= 16
    found = int(media.notes[0].removeprefix("truncated: read ").removesuffix(" of 40 frames"))
    assert 15 <= found <= 25
    assert frames[-1].time_s < found / 24


def test_a_long_truncated_clip_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "_SURVEY_PACKETS", 20)  # as if it were too long to look at every packet
    noise = np.random.default_rng(0).integers(0, 255, (8, 48, 64, 3), dtype=np.uint8)
    whole = clip("mp4", "libx264", frames=96, movflags="faststart", picture=lambda i: noise[i % 8], options={"g": "12"})
    for content, notes in ((whole, 0), (whole[: len(whole) // 2], 1)):
        for from_keys in (0.0, np.inf):  # sought, read through
            monkeypatch.setattr(timeline, "SEEK_FROM", from_keys)
            media, frames = read(put(tmp_path, content), frames=8)
            assert len(frames) == 8 if notes == 0 else 4 <= len(frames) < 7
            assert len([n for n in media.notes if n.startswith("ends early: pictures for ")]) == notes


def test_a_matroska_clip_that_ends_early_says_so(tmp_path: Path) -> None:
    content = clip("matroska", "mjpeg", frames=96, pix_fmt="yuvj420p")
    media, frames = read(put(tmp_path, content[: len(content) // 4]))
    assert media.notes[0].startswith("ends early: pictures for ")
    assert media.notes[0].endswith(" s of 4.00 s")
    assert media.duration_s == pytest.approx(1.0, abs=0.2)
    assert len(frames) == 16


def test_damage_in_the_middle_loses_only_what_it_hits(tmp_path: Path) -> None:
    content = bytearray(clip("avi", "mjpeg", frames=16, pix_fmt="yuvj420p"))
    starts = [i for i in range(len(content)) if content[i : i + 4] == b"00dc"][1:17]  # the first is in the header
    for k in (5, 6):
        content[starts[k] + 8 : starts[k + 1]] = bytes(starts[k + 1] - starts[k] - 8)
    media, frames = read(put(tmp_path, bytes(content)))
    assert levels(frames) == [*range(5), *range(7, 16)]
    assert media.notes == ["damaged: 2 frames could not be decoded"]


@pytest.mark.parametrize(
    ("container", "codec"), [("wav", "pcm_s16le"), ("matroska", "aac"), ("ipod", "aac"), ("mp3", "libmp3lame")]
)
def test_sound_without_pictures_is_refused_as_such(tmp_path: Path, container: str, codec: str) -> None:
    assert "no moving picture" in reason(put(tmp_path, sound(container, codec)))


def test_a_clip_of_which_nothing_decodes_is_refused(tmp_path: Path) -> None:
    content = clip("avi", "mjpeg", frames=4, pix_fmt="yuvj420p")
    start = content.index(b"00dc", content.index(b"movi")) + 8
    end = content.index(b"idx1")
    assert "no frame of it" in reason(put(tmp_path, content[:start] + bytes(end - start) + content[end:]))


@pytest.mark.realdata
def test_parts_cut_from_old_444_clips_decode_cleanly(tmp_path: Path, shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "clips.zip") as archive:
        archive.extractall(tmp_path)
    paths = sorted(tmp_path.rglob("*.mp4"))
    assert len(paths) == 14
    for path in paths:
        media, frames = read(path)
        assert len(frames) == 16
        assert media.notes == []
