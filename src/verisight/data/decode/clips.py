"""Clips through PyAV: one named demuxer, nothing else ever opened, frames chosen by a policy (`core.frames`)."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from verisight.core.errors import InputError
from verisight.core.frames import FramePolicy
from verisight.data.decode.files import Frame, Limits, Media, Picture, check_size, refusing, regular
from verisight.data.decode.timeline import SAME_S, Timeline

# The demuxer is forced by what was sniffed, so that FFmpeg cannot take a file for a playlist; the file comes through a
# Python file object; and opening anything else fails three times: no protocol, no format, and `_never`.
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0", "use_absolute_path": "0"}
# Before build 151 x264 wrote 4:4:4 (FaceForensics++ is such) in its own way. FFmpeg allows for it when it finds the
# build in the first frame; a part that was cut out without encoding has lost that, and decodes to green and grey.
_OLD_X264 = {"x264_build": "150"}
_SURVEY_PACKETS = 3000  # 100 s at 30 frames a second: so far every timestamp is read before sampling is planned
_BACK = (0.0, 1.0, 2.0, 4.0)  # key frame intervals to seek before a sample
_RESTARTS = 8  # of a demuxer that stumbles over damage

_Shown = tuple[VideoFrame, float, float]  # a frame, its time, and the time at which one was wanted


def open_clip(path: Path, name: str, policy: FramePolicy, limits: Limits) -> Media:
    timeline, size, doubtful = _look(path, name, policy, limits, decoder={})
    if doubtful:
        old = _look(path, name, policy, limits, decoder=_OLD_X264)
        timeline, size, _ = (timeline, size, doubtful) if old[2] else old
    return Media(
        "video",
        size,
        timeline.duration_s,
        partial(_read_clip, path, name, policy, limits, timeline),
        at=partial(_read_at, path, name, limits, timeline),
        frames=timeline.frames,
    )


def _look(
    path: Path, name: str, policy: FramePolicy, limits: Limits, decoder: dict[str, str]
) -> tuple[Timeline, tuple[int, int], bool]:
    """Timeline, width and height, and whether the damage seen may be that of `_OLD_X264`."""
    with _clip(path, name, limits, decoder) as clip:
        enough = np.inf if policy.counts_frames else max(_SURVEY_PACKETS, (policy.count or 0) + 1)
        timeline, first = clip.survey(enough)
        if timeline.duration_s > limits.max_seconds:
            raise InputError(path, f"{timeline.duration_s:.0f} s long, over the limit of {limits.max_seconds:.0f} s")
        plan = timeline.plan(policy)
        if plan == [[]]:
            raise InputError(path, "no frame of it is marked as a key frame", "use another frame policy")
        seeks = plan is not None and len(timeline.runs(plan)) > 1
        if seeks and not clip.can_seek(timeline.start_s + timeline.duration_s / 2):
            timeline, seeks = replace(timeline, key_s=np.inf), False
        total = timeline.frames or round(timeline.duration_s / timeline.interval_s)
        if total > limits.max_frames and not seeks:
            raise InputError(path, f"about {total} frames to decode, {_over(limits)}")
        size = (first.height, first.width) if _quarter_turns(first) % 2 else (first.width, first.height)
        codec = clip.stream.codec_context
        return timeline, size, clip.lost > 0 and (codec.name, codec.pix_fmt) == ("h264", "yuv444p")


def _read_clip(
    path: Path, name: str, policy: FramePolicy, limits: Limits, timeline: Timeline, notes: list[str]
) -> Iterator[Frame]:
    plan = timeline.plan(policy)
    homes: dict[float, list[int]] = {}  # time -> the short clips that want it
    for number, times in enumerate(plan or ()):
        for time_s in times:
            homes.setdefault(time_s, []).append(number)
    with _clip(path, name, limits, timeline.decoder) as clip:
        clip.timeline = timeline
        clip.wanted = None if plan is None else timeline.on_show(plan, clip.time_base)
        last_s: float | None = None
        for picture, time_s, wanted_s in clip.everything() if plan is None else clip.at(timeline.runs(plan)):
            rgb = clip.rgb(picture)
            if rgb is not None:
                last_s = time_s
                for home in homes.get(wanted_s, (0,)):
                    yield Frame(rgb, time_s, timeline.index(time_s), home)
        if last_s is None:
            raise InputError(path, "a broken video (no frame of it can be decoded)")
        notes.extend(timeline.shortage(last_s + timeline.duration_s / (policy.count or 1) / 2))
        if clip.lost:
            notes.append(f"damaged: {clip.lost} frame{'s' if clip.lost > 1 else ''} could not be decoded")


def _read_at(
    path: Path, name: str, limits: Limits, timeline: Timeline, times_s: Sequence[float], nearby: bool
) -> Iterator[Frame]:
    plan = [list(times_s)]
    with _clip(path, name, limits, timeline.decoder) as clip:
        clip.timeline, clip.nearby = timeline, nearby
        clip.wanted = timeline.on_show(plan, clip.time_base)
        for picture, time_s, _ in clip.at(timeline.runs(plan)):
            rgb = clip.rgb(picture)
            if rgb is not None:
                yield Frame(rgb, time_s, timeline.index(time_s))


@contextlib.contextmanager
def _clip(path: Path, name: str, limits: Limits, decoder: dict[str, str]) -> Iterator[_Clip]:
    with refusing(path, f"a broken {name} video"), regular(path, limits) as file:
        options = _OPTIONS | {"format_whitelist": name, "max_pixels": str(limits.max_pixels)}
        with av.open(
            _Reader(file),
            "r",
            format=name,
            options=options,
            io_open=_never,
            metadata_errors="replace",
            buffer_size=2**16,
        ) as container:
            yield _Clip(path, container, limits, decoder)


class _Reader:
    """The file as FFmpeg reads it. A seek to before its start, which lying offsets ask for, is an error code: PyAV
    prints the exceptions that it cannot raise."""

    name = "the file"

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.read, self.tell = file, file.read, file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL


def _never(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise ValueError(f"it names another file, {url}, which is not opened")


class _Clip:
    """One pass over an open clip. decoded : frames so far, some of them twice where it was sought."""

    timeline: Timeline
    wanted: frozenset[int] | None = None  # timestamps; what no other frame needs is not decoded outside of them
    nearby = False  # whether a time that is sought may be answered with the key frame before it

    def __init__(self, path: Path, container: InputContainer, limits: Limits, decoder: dict[str, str]) -> None:
        self.path, self.container, self.limits, self.decoder = path, container, limits, decoder
        self.decoded = self._back = 0
        self._lost: set[object] = set()  # by timestamp: after a seek the same frame may be lost again
        self._sought = False
        self._given_s = -1.0  # of the frame given out last
        # the cover of a song is a video stream by FFmpeg's count
        moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not moving:
            raise InputError(
                path, "sound only: no moving picture in it" if container.streams.audio else "no video in it"
            )
        self.stream: VideoStream = moving[0]
        if self.stream.codec_context is None:
            raise InputError(path, "its video codec is not known here")
        check_size(path, self.stream.codec_context.width or 1, self.stream.codec_context.height or 1, limits)
        # One thread: callers work on many files at once, and frame threads would each keep a picture alive.
        self.stream.codec_context.thread_count = 1
        self.stream.codec_context.options = {"max_pixels": str(limits.max_pixels)} | decoder

    @property
    def lost(self) -> int:
        """Frames that could not be decoded."""
        return len(self._lost)

    def _lose(self, stamp: int | None) -> None:
        self._lost.add(object() if stamp is None else stamp)

    @property
    def time_base(self) -> float:
        return float(self.stream.time_base or 0) or 1e-3

    def survey(self, enough: float) -> tuple[Timeline, VideoFrame]:
        """Read the packets' timestamps (all of a short clip), and decode up to the first good frame."""
        stated_s = self._stated_s()
        rate = float(self.stream.average_rate or 0) or 25.0
        times: list[float] = []
        keyed: list[bool] = []
        untimed = 0
        tail = (-np.inf, 0.0)  # of the frame that is shown last: time, duration
        first: VideoFrame | None = None
        for packet in self._packets():
            if first is None:
                first = next(iter(self._good(packet)), None)
            if packet.size == 0 or packet.is_discard:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            untimed += stamp is None
            times.append(stamp * self.time_base if stamp is not None else (times[-1] + 1 / rate if times else 0.0))
            tail = max(tail, (times[-1], (packet.duration or 0) * self.time_base))
            keyed.append(packet.is_keyframe)
            if len(times) >= enough and first is not None and stated_s > 0:
                break
            if len(times) > 4 * self.limits.max_frames:
                what = "too many frames to count" if stated_s > 0 else "a video of unknown length with too many frames"
                raise InputError(self.path, f"{what}, {_over(self.limits)}")
        if first is None or not times:
            raise InputError(self.path, "a broken video (no frame of it can be decoded)")
        whole = len(times) < enough or stated_s <= 0
        shown = np.unique(times)
        interval_s = float(np.median(np.diff(shown))) if len(shown) > 1 else 1 / rate
        keys = np.unique(np.searchsorted(shown, np.array(times)[keyed]))
        if len(shown) < 2:  # no clock at all: frames follow each other at the stated rate
            shown, keys = shown[0] + np.arange(len(times)) * interval_s, np.flatnonzero(keyed)
        span_s = float(shown[-1] - shown[0]) + (tail[1] or interval_s)
        return Timeline(
            start_s=float(shown[0]),
            duration_s=span_s if whole else max(span_s, stated_s),
            interval_s=max(interval_s, SAME_S),
            times=shown - shown[0] if whole else None,
            keys=keys,
            frames=len(times) if whole else None,
            stated=self.stream.frames,
            stated_s=stated_s,
            key_s=span_s / sum(keyed) if sum(keyed) > 1 and not untimed else np.inf,
            decoder=self.decoder,
        ), first

    def _stated_s(self) -> float:
        if self.stream.duration:
            return max(0.0, self.stream.duration * self.time_base)
        return max(0.0, (self.container.duration or 0) / av.time_base)

    def decode(self) -> Iterator[tuple[VideoFrame, float]]:
        """Good frames from here on with their times from the start of the clip, in seconds, rising.

        A frame without a timestamp, or with one that does not rise, comes one interval after the one before.
        """
        last_s: float | None = None
        for packet in self._packets():
            for picture in self._good(packet):
                self.decoded += 1
                if self.decoded > self.limits.max_frames:
                    raise InputError(self.path, f"too many frames to decode, {_over(self.limits)}")
                time_s = picture.pts * self.time_base - self.timeline.start_s if picture.pts is not None else None
                if last_s is None and self._sought and time_s is None:
                    continue  # nobody knows where this is
                if last_s is None:
                    time_s = max(0.0, time_s or 0.0)
                elif time_s is None or time_s <= last_s:
                    time_s = last_s + self.timeline.interval_s
                last_s = time_s
                yield picture, time_s

    def everything(self) -> Iterator[_Shown]:
        """All frames from here on."""
        for picture, time_s in self.decode():
            yield picture, time_s, time_s

    def at(self, runs: list[list[float]]) -> Iterator[_Shown]:
        """The frames on show at these times, each once, in time order: `Timeline.runs` says how to reach them."""
        if runs[0]:
            yield from self.walked(runs[0])
        for run in runs[1:]:
            yield from self.sought(run)

    def walked(self, times: list[float]) -> Iterator[_Shown]:
        """By decoding everything before them."""
        return self._walk(self.decode(), times)

    def sought(self, times: list[float]) -> Iterator[_Shown]:
        """The same frames as `walked`, by seeking to the key frame before the first of them."""
        # MPEG-TS and others without an index land anywhere: then from further back. What one sample needed the next
        # will need too, so that is where it starts.
        for back in range(self._back, len(_BACK)):
            coming = self._from(times[0] - _BACK[back] * self.timeline.key_s, before_s=times[0])
            if coming is not None:
                self._back = back
                return self._walk(*(self._landed(coming, times) if self.nearby else (coming, times)))
        if times[0] < 2 * _BACK[-1] * self.timeline.key_s:  # near the start
            coming = self._from(-1.0, before_s=times[0])
            if coming is not None:
                return self._walk(coming, times)
        for time_s in times:
            self._lose(round((self.timeline.start_s + time_s) / self.time_base))
        return iter(())

    def _landed(
        self, coming: Iterator[tuple[VideoFrame, float]], times: list[float]
    ) -> tuple[Iterator[tuple[VideoFrame, float]], list[float]]:
        """The same, with the first time moved back to that of the first frame, unless that was given out before."""
        first = next(coming)
        here_s = first[1] if first[1] > self._given_s else times[0]
        return chain([first], coming), [here_s, *times[1:]]

    def _walk(self, coming: Iterator[tuple[VideoFrame, float]], times: list[float]) -> Iterator[_Shown]:
        shown, following = next(coming, None), next(coming, None)
        for wanted_s in times:
            while following is not None and following[1] <= wanted_s + SAME_S:
                shown, following = following, next(coming, None)
            if shown is not None and shown[1] > self._given_s:
                self._given_s = shown[1]
                yield *shown, wanted_s

    def _from(self, stamp_s: float, *, before_s: float) -> Iterator[tuple[VideoFrame, float]] | None:
        """What decodes after a seek; None when it begins after the time that is looked for."""
        try:
            self._seek(self.timeline.start_s + stamp_s)
        except av.error.FFmpegError:
            return None
        lost = self._lost.copy()
        coming = self.decode()
        first = next(coming, None)
        self._lost = lost  # what comes before the first key frame after a seek was not lost by the file
        if first is None or first[1] > before_s + SAME_S:
            return None
        return chain([first], coming)

    def can_seek(self, stamp_s: float) -> bool:
        """Whether this container finds its way; afterwards the clip stands anywhere."""
        if self.container.format.name == "mpeg":  # its timestamps are guessed anew after a seek, half a frame off
            return False
        try:
            self._seek(stamp_s)
        except av.error.FFmpegError:
            return False
        return True

    def _seek(self, stamp_s: float) -> None:
        self._sought = True
        self.container.seek(int(stamp_s / self.time_base + 1e-3), stream=self.stream)  # a key frame's own time finds it

    def _packets(self) -> Iterator[Any]:
        """Packets from here on, and an empty one at the end that makes the decoder give its last frames out."""
        for _ in range(_RESTARTS):
            try:
                yield from self.container.demux(self.stream)
            except av.error.FFmpegError:
                self._lose(None)
            else:
                return

    def _good(self, packet: Any) -> list[VideoFrame]:
        """What a packet decodes to; damaged frames are counted, not given out.

        A frame that is not wanted, and from which no other is predicted, is passed over: half of them or more in what
        x264 writes, and the rest decode to the same pixels.
        """
        if self.wanted is not None and packet.pts is not None:
            self.stream.codec_context.skip_frame = "DEFAULT" if packet.pts in self.wanted else "NONREF"
        try:
            pictures: list[VideoFrame] = packet.decode()
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, ValueError):
            self._lose(packet.pts if packet.pts is not None else packet.dts)
            return []
        for picture in pictures:
            if picture.is_corrupt:
                self._lose(picture.pts)
        return [p for p in pictures if not p.is_corrupt]

    def rgb(self, picture: VideoFrame) -> Picture | None:
        """The upright pixels; None, and a frame lost, where FFmpeg knows no way from its pixel format to RGB."""
        check_size(self.path, picture.width, picture.height, self.limits)  # it may change on the way
        try:
            pixels = picture.to_ndarray(format="rgb24")
        except (av.error.FFmpegError, ValueError):
            self._lose(picture.pts)
            return None
        return np.ascontiguousarray(np.rot90(pixels, _quarter_turns(picture)), dtype=np.uint8)


def _quarter_turns(picture: VideoFrame) -> int:
    """Counter-clockwise, as np.rot90 turns."""
    return round(picture.rotation / 90) % 4


def _over(limits: Limits) -> str:
    return f"over the limit of {limits.max_frames}"
