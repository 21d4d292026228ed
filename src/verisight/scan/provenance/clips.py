"""Traces in clips: tags of the container and its streams, and the settings that x264 and x265 write into the video."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from verisight.data.decode import clips
from verisight.data.decode.files import Limits
from verisight.scan.provenance.containers import MOST_BYTES, Parts
from verisight.scan.provenance.pictures import settings, xmp_traces
from verisight.scan.provenance.words import Traces, moment, plain

_MOST_PACKETS = 64  # of all streams, until the first of the video
_APPLE, _ANDROID = "com.apple.quicktime.", "com.android."
_X26X = re.compile(rb"x26([45]) (?:- core|\(build) (\d{1,4})")
_RATE = re.compile(rb"\b(crf|bitrate|qp)[=-]([\d.]{1,8})")


def clip_traces(path: Path, name: str, parts: Parts, traces: Traces, limits: Limits) -> None:
    """Note what a clip says. name : of its demuxer. parts : its XMP, where it has some."""
    xmp_traces(parts.xmp, traces)
    with clips._clip(path, name, limits, {}) as clip:
        _container(dict(clip.container.metadata), traces)
        for stream in itertools.islice(clip.container.streams, 8):
            tags = dict(stream.metadata)
            traces.software(plain(tags.get("encoder", "")), role="encoder")
            handler = plain(tags.get("handler_name", ""))
            if stream.type == "video" and handler not in ("", "VideoHandler"):  # FFmpeg's own says nothing
                traces.made_with.append(f"handler: {handler}")
        head = bytes(clip.stream.codec_context.extradata or b"")[:MOST_BYTES]
        for packet in itertools.islice(clip.container.demux(), _MOST_PACKETS):
            if packet.stream.index == clip.stream.index:
                head += bytes(packet)[:MOST_BYTES]
                break
        _encoder(head, traces)


def _container(tags: dict[str, str], traces: Traces) -> None:
    """Tags of the whole. Where it was filmed is among them, and is left there."""
    camera = " ".join(filter(None, (plain(tags.get(_APPLE + key) or tags.get(key, "")) for key in ("make", "model"))))
    camera = camera or plain(tags.get(_ANDROID + "manufacturer", ""))
    if camera:
        traces.made_with.append(f"camera: {camera}")
    if android := plain(tags.get(_ANDROID + "version", ""), 20):
        traces.made_with.append(f"system: Android {android}")
    traces.software(plain(tags.get(_APPLE + "software", "")))
    traces.software(plain(tags.get("software", "")))
    traces.software(plain(tags.get("encoder", "")), role="written by")
    if brand := plain(tags.get("major_brand", ""), 8):
        traces.made_with.append(f"container: {brand}")
    filmed, written = moment(tags.get(_APPLE + "creationdate", "")), moment(tags.get("creation_time", ""))
    traces.taken = filmed or (written if camera or "com.android.version" in tags else None)
    if written and traces.taken != written and not filmed:
        traces.made_with.append(f"written on: {written}")
    for key in itertools.islice(tags, 64):
        settings(f"{key}: {tags[key][:MOST_BYTES]}", traces)


def _encoder(head: bytes, traces: Traces) -> None:
    """x264 and x265 sign their first picture with version and options, unless they are told not to."""
    if found := _X26X.search(head):
        rate = _RATE.search(head, found.end(), found.end() + 3000)
        setting = f", {rate[1].decode()} {rate[2].decode()}" if rate else ""
        traces.made_with.append(f"encoder: x26{found[1].decode()} core {found[2].decode()}{setting}")
