"""How a file is encoded, as its headers and packets tell: nothing is decoded, and whatever cannot be read is None."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from verisight.data.decode.files import LIMITS, Limits, refusing, regular
from verisight.data.decode.sniff import sniff

_PACKETS = 300  # of a clip that are looked at: ten seconds or so, one key frame of x264 at the least
_X264 = re.compile(rb"x264 - core.{0,2000}? crf=(\d{1,2}(?:\.\d+)?)", re.DOTALL)
_SLICE_QP = 0.5  # CRF over the quantiser of key frames: in the middle of what x264 does, see `_CRF`
_SEI, _SPS, _PPS, _KEY = 6, 7, 8, 5  # H.264, table 7-1
_HIGH = (44, 83, 86, 100, 110, 118, 122, 128, 244)  # profiles whose SPS states its colour format, 7.3.2.1.1


class Encoding(NamedTuple):
    """codec, fps, kbit_s, jpeg_quality, crf : see `verisight.scan.verdict.Quality`."""

    codec: str
    fps: float | None = None
    kbit_s: float | None = None
    jpeg_quality: int | None = None
    crf: float | None = None


def encoding_of(path: Path, *, limits: Limits = LIMITS) -> Encoding:
    """What a picture or a clip is encoded with.

    limits : what the file may ask of the demuxer.

    Raises
    ------
    InputError : as `open_media`.
    """
    with refusing(path, "a broken file"), regular(path, limits) as file:
        kind, name = sniff(path, file.read(4096))
    if kind == "video":
        return _of_clip(path, name, limits)
    if name != "JPEG":
        return Encoding(name.lower())
    from verisight.evaluate.controls import quality_of

    return Encoding("jpeg", jpeg_quality=quality_of(path))


def _of_clip(path: Path, name: str, limits: Limits) -> Encoding:
    from verisight.data.decode.clips import _clip

    with _clip(path, name, limits, {}) as clip:
        stream = clip.stream
        rate, codec = float(stream.average_rate or 0) or None, stream.codec_context
        facts = _CRF(codec.extradata or b"") if codec.name == "h264" else None
        size, times = 0, list[float]()
        for packet in islice(clip._packets(), _PACKETS):
            size += packet.size
            if packet.pts is not None:
                times.append(packet.pts * clip.time_base)
            if facts is not None and packet.size:
                facts.see(bytes(packet))
        seconds = (max(times) - min(times)) * len(times) / (len(times) - 1) if len(times) > 1 else 0.0
        bits_s = stream.bit_rate or (8 * size / seconds if seconds > 0 else None)
        return Encoding(
            codec.name,
            fps=rate and round(rate, 3),
            kbit_s=bits_s and round(bits_s / 1000, 1),
            crf=facts.value() if facts else None,
        )


class _CRF:
    """The constant rate factor of H.264, from what x264 writes of its own settings, else from key frames.

    x264 states `crf=23.0` in the first frame's user data. Where that was taken out, the quantiser of the key frames
    (H.264, 7.3.3: 26 + pic_init_qp_minus26 + slice_qp_delta) stands for it: x264 sets it between 3 under the CRF and 2
    over it, as its presets go. So an estimate, a whole number, is within 3 of what x264 was told; of another encoder
    it says how coarsely x264 would have had to be told to quantise.

    extradata : parameter sets, as avcC (MP4, Matroska) or with start codes (MPEG-TS).
    """

    def __init__(self, extradata: bytes) -> None:
        self.stated: float | None = None
        self.quantisers = list[int]()
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, _Pps] = {}
        self._length = 0  # bytes of a unit's length field; 0: start codes
        if len(extradata) > 6 and extradata[0] == 1:  # ISO/IEC 14496-15, 5.3.3.1
            self._length = (extradata[4] & 3) + 1
            for unit in _sets_of_avcc(extradata):
                self._unit(unit)
        else:
            self.see(extradata)

    def see(self, data: bytes) -> None:
        """Take notice of the units of one packet."""
        for unit in _with_lengths(data, self._length) if self._length else data.split(b"\0\0\1")[1:]:
            self._unit(unit)

    def value(self) -> float | None:
        """What x264 states, else the estimate; None where neither is to be had."""
        if self.stated is not None:
            return self.stated
        return float(round(np.median(self.quantisers) + _SLICE_QP)) if self.quantisers else None

    def _unit(self, unit: bytes) -> None:
        kind = unit[0] & 31 if unit else 0
        if kind == _SEI and self.stated is None:
            told = _X264.search(unit[:4096])
            self.stated = min(51.0, float(told[1])) if told else None
        if kind not in (_SPS, _PPS, _KEY):
            return
        bits = _Bits(unit[1:65])
        try:
            if kind == _SPS:
                number, sps = _read_sps(bits)
                self._sps[number] = sps
            elif kind == _PPS:
                number, pps = _read_pps(bits)
                self._pps[number] = pps
            else:
                self.quantisers.append(self._quantiser(bits, referenced=bool(unit[0] >> 5 & 3)))
        except (IndexError, KeyError, ValueError):  # cut short, or written in a way that is not read here
            return

    def _quantiser(self, bits: _Bits, *, referenced: bool) -> int:
        """Of the slice of a key frame: its header up to slice_qp_delta, 7.3.3."""
        bits.number()  # first_mb_in_slice
        bits.number()  # slice_type: I
        pps = self._pps[bits.number()]
        sps = self._sps[pps.sps]
        bits.take(2 * sps.planes + sps.frame_bits)
        field = sps.fields and bool(bits.take(1))
        if field:
            bits.take(1)  # bottom_field_flag
        bits.number()  # idr_pic_id
        if sps.order_bits:
            bits.take(sps.order_bits)
            if pps.bottom and not field:
                bits.number()
        if pps.redundant:
            bits.number()
        bits.take(2 * referenced)
        quantiser = pps.quantiser + bits.signed()
        if not 0 <= quantiser <= 51:
            raise ValueError("no quantiser of 8-bit pictures")
        return quantiser


class _Sps(NamedTuple):
    """What a slice header needs of a sequence parameter set: order_bits is 0 where the order is not coded."""

    planes: bool
    frame_bits: int
    order_bits: int
    fields: bool


class _Pps(NamedTuple):
    """What it needs of a picture parameter set."""

    sps: int
    bottom: bool
    quantiser: int
    redundant: bool


def _read_sps(bits: _Bits) -> tuple[int, _Sps]:
    """7.3.2.1.1; ValueError for scaling matrices and for order type 1, which hardly anybody writes."""
    profile = bits.take(24) >> 16
    number, planes = bits.number(), False
    if profile in _HIGH:
        planes = bits.number() == 3 and bool(bits.take(1))
        bits.number()
        bits.number()
        bits.take(1)
        if bits.take(1):
            raise ValueError("scaling matrices")
    frame_bits, order = bits.number() + 4, bits.number()
    if order == 1:
        raise ValueError("order type 1")
    order_bits = bits.number() + 4 if order == 0 else 0
    bits.number()
    bits.take(1)
    bits.number()
    bits.number()
    return number, _Sps(planes, frame_bits, order_bits, fields=not bits.take(1))


def _read_pps(bits: _Bits) -> tuple[int, _Pps]:
    """7.3.2.2; ValueError for slice groups."""
    number, sps = bits.number(), bits.number()
    bits.take(1)
    bottom = bool(bits.take(1))
    if bits.number():
        raise ValueError("slice groups")
    bits.number()
    bits.number()
    bits.take(3)
    quantiser = 26 + bits.signed()
    bits.number()
    bits.number()
    bits.take(2)
    return number, _Pps(sps, bottom, quantiser, redundant=bool(bits.take(1)))


class _Bits:
    """The bits of a unit from the most significant on; ValueError past the end."""

    def __init__(self, data: bytes) -> None:
        raw = data.replace(b"\0\0\3", b"\0\0")  # emulation prevention, 7.4.1
        self._left, self._value = 8 * len(raw), int.from_bytes(raw)

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        if count > self._left:
            raise ValueError("cut short")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """ue(v): Exp-Golomb, 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v): 0, 1, -1, 2, -2, ..."""
        code = self.number()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _sets_of_avcc(data: bytes) -> Iterator[bytes]:
    """The parameter sets, each behind two bytes of length, in two lists."""
    at = 5
    for mask in (31, 255):
        count = data[at] & mask if at < len(data) else 0
        at += 1
        for _ in range(count):
            length = int.from_bytes(data[at : at + 2])
            yield data[at + 2 : at + 2 + length]
            at += 2 + length


def _with_lengths(data: bytes, size: int) -> Iterator[bytes]:
    """The units of a packet, each behind `size` bytes of length."""
    at = 0
    while at + size < len(data):
        length = int.from_bytes(data[at : at + size])
        yield data[at + size : at + size + length]
        at += size + length
