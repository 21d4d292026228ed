"""What happens to pictures on their way: JPEG and H.264 encoding, resizing, blur, noise; in process, and recorded.

An `Operation` and a `Chain` of them are values that are written as text, `jpeg:40 blur:1.2` in the column `applied` of
the manifest, and read back from it. Every operation keeps the size of a picture, so that boxes stay where they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import DataError, nearest

Picture = NDArray[np.uint8]  # (H, W, 3) RGB


def jpeg(picture: Picture, quality: int) -> Picture:
    """Encode and decode an RGB picture as JPEG at `quality` 1..100, 4:2:0."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, code = cv2.imencode(".jpg", picture[:, :, ::-1], flags)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[:, :, ::-1], dtype=np.uint8)


def write_h264(pictures: Iterable[Picture], path: Path, *, crf: int, fps: int = 24) -> None:
    """Write an MP4 with libx264 at constant rate factor `crf` (0..51), 4:2:0; an odd last row or column is cut."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for picture in pictures:
            even = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": str(crf)})
                stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())


# One thread, no look-ahead thread and no float code that depends on the processor: the same bytes on every machine.
_X264 = {"preset": "medium", "x264-params": "cpu-independent=1:sync-lookahead=0"}


def h264(pictures: Iterable[Picture], crf: int, fps: float = 25.0) -> Iterator[Picture]:
    """A clip as it looks after libx264 at constant rate factor `crf`, picture by picture, in memory.

    pictures : of one size, in order. crf : 0 (best) .. 51. fps : of the clip; the encoder spends bits by time.
    Preset medium, key frames as the encoder sets them (at most 250 apart), 4:2:0. An odd last row or column is doubled
    for the encoder and taken off again. The encoder holds about 50 pictures, whatever the length of the clip. A single
    picture is a clip of one key frame.
    """
    import av

    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    encoder: Any = None
    height = width = 0
    for nth, picture in enumerate(pictures):
        if encoder is None:
            height, width = picture.shape[:2]
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            encoder.framerate = Fraction(fps).limit_denominator(1001)
            encoder.time_base = 1 / encoder.framerate
            encoder.thread_count = 1
            encoder.options = _X264 | {"crf": str(crf)}
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame.pts = nth
        for packet in encoder.encode(frame):
            yield from (_rgb(shown, height, width) for shown in decoder.decode(packet))
    if encoder is not None:
        for packet in (*encoder.encode(None), None):
            yield from (_rgb(shown, height, width) for shown in decoder.decode(packet))


def _rgb(frame: Any, height: int, width: int) -> Picture:
    return np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:height, :width], dtype=np.uint8)


def resized(picture: Picture, value: float) -> Picture:
    """Shrink by area averaging and enlarge again bilinearly.

    value : up to 1, the factor; above, the longer side in pixels (a picture that is smaller stays as it is).
    """
    height, width = picture.shape[:2]
    factor = min(1.0, value if value <= 1 else value / max(height, width))
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    if small == (width, height):
        return picture
    shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def blurred(picture: Picture, sigma: float) -> Picture:
    """Gaussian blur, sigma in pixels; 0 leaves the picture alone."""
    return picture if sigma == 0 else np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)


def noisy(picture: Picture, std: float, rng: np.random.Generator) -> Picture:
    """Independent Gaussian noise on every value, `std` in grey levels, rounded and clipped."""
    if std == 0:
        return picture
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(std)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Kind:
    """least, most : of its value. whole : whether that is an integer. apply : to one picture."""

    least: float
    most: float
    whole: bool
    apply: Callable[[Picture, float, np.random.Generator], Picture]


_KINDS = {
    "jpeg": _Kind(1, 100, True, lambda picture, value, _: jpeg(picture, int(value))),
    "h264": _Kind(0, 51, True, lambda picture, value, _: next(h264([picture], int(value)))),
    "resize": _Kind(0, 30_000, False, lambda picture, value, _: resized(picture, value)),
    "blur": _Kind(0, 50, False, lambda picture, value, _: blurred(picture, value)),
    "noise": _Kind(0, 255, False, noisy),
}
_SMALLEST_SIDE = 8  # resize: values up to 1 are factors, from here on pixels; nothing is meant in between
_TOKEN = re.compile(
    r"(?P<name>[^:\s]+):(?P<low>[^@?\s]+?)(?:\.\.(?P<high>[^@?\s]+))?(?:@(?P<seed>\d+))?(?:\?(?P<p>\S+))?"
)


@dataclass(frozen=True)
class Operation:
    """One thing done to a picture, written `name:value` or `noise:std@seed`.

    name, value : jpeg: quality 1..100. h264: CRF 0..51. resize: down and back up, by a factor up to 1 or to a longer
        side in pixels from 8 on. blur: sigma in pixels. noise: standard deviation in grey levels.
    seed : of noise; None takes it from the generator that `apply` is given.

    Raises
    ------
    DataError : no operation of this name, or a value out of its range.
    """

    name: str
    value: float
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise DataError(self.name, "no operation of this name", nearest(self.name, _KINDS))
        kind = _KINDS[self.name]
        if not kind.least <= self.value <= kind.most or (kind.whole and self.value != int(self.value)):
            numbers = "integers" if kind.whole else "numbers"
            raise DataError(self, f"the value of {self.name} is out of range", f"{numbers} {kind.least}..{kind.most}")
        if self.name == "resize" and (self.value == 0 or 1 < self.value < _SMALLEST_SIDE):
            raise DataError(self, "neither a factor nor a side", f"at most 1, or from {_SMALLEST_SIDE} px on")
        if self.seed is not None and self.name != "noise":
            raise DataError(self, "only noise has a seed")

    def __str__(self) -> str:
        return f"{self.name}:{_shortest(self.value)}" + ("" if self.seed is None else f"@{self.seed}")

    @property
    def over_time(self) -> bool:
        """Whether what becomes of a frame depends on those around it."""
        return self.name == "h264"

    def apply(self, picture: Picture, rng: np.random.Generator | None = None, *, time_s: float = 0.0) -> Picture:
        """The picture after it, of the same size; `picture` is not changed.

        rng : for noise without a seed. time_s : of the frame in its clip, so that seeded noise differs between frames.
        """
        if self.seed is not None:
            rng = np.random.default_rng((self.seed, round(1000 * time_s)))
        elif rng is None:
            if self.name == "noise":
                raise DataError(self, "noise without a seed cannot be repeated", f"write {self}@SEED")
            rng = np.random.default_rng(0)  # nothing draws from it
        return _KINDS[self.name].apply(picture, self.value, rng)


@dataclass(frozen=True)
class Chain:
    """Operations in the order in which they are done; none at all is the identity, the empty text.

    Examples
    --------
    >>> chain = Chain.parse("jpeg:40 blur:1.2")
    >>> chain.operations[1]
    Operation(name='blur', value=1.2, seed=None)
    >>> str(chain)
    'jpeg:40 blur:1.2'
    """

    operations: tuple[Operation, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Chain:
        """What `str` wrote. Raises DataError for whatever is none."""
        made = []
        for token in text.split():
            found = _match(token)
            if found["high"] or found["p"]:
                raise DataError(token, "a range is drawn from, not applied", "give one value")
            made.append(
                Operation(found["name"], _number(found["low"], token), int(found["seed"]) if found["seed"] else None)
            )
        return cls(tuple(made))

    def __str__(self) -> str:
        return " ".join(map(str, self.operations))

    @property
    def over_time(self) -> bool:
        """Whether what becomes of a frame of a clip depends on those around it."""
        return any(operation.over_time for operation in self.operations)

    def apply(self, picture: Picture, rng: np.random.Generator | None = None, *, time_s: float = 0.0) -> Picture:
        """All operations on one picture; see `Operation.apply`."""
        for operation in self.operations:
            picture = operation.apply(picture, rng, time_s=time_s)
        return picture

    def clip(
        self, pictures: Iterable[Picture], *, fps: float = 25.0, rng: np.random.Generator | None = None
    ) -> Iterator[Picture]:
        """All operations on a clip, as many pictures as came in; a bounded number of them in memory."""
        shown = iter(pictures)
        for operation in self.operations:
            shown = h264(shown, int(operation.value), fps) if operation.over_time else _each(operation, shown, fps, rng)
        return shown


def _each(
    operation: Operation, pictures: Iterator[Picture], fps: float, rng: np.random.Generator | None
) -> Iterator[Picture]:
    for nth, picture in enumerate(pictures):
        yield operation.apply(picture, rng, time_s=nth / fps)


QUALITIES = {"raw": "", "c23": "h264:23", "c40": "h264:40"}  # as FaceForensics++ names them


def draw(spec: str, rng: np.random.Generator) -> Chain:
    """A chain drawn from `spec`; its text alone says what is done, noise included.

    spec : a named quality (raw, c23, c40), or operations with a value, a range LOW..HIGH to draw from evenly, or either
        with ?P, the probability that it is done at all: "resize:0.5..1?0.3 jpeg:40..95 noise:2".

    Raises
    ------
    DataError : an unknown name (answered with the nearest known one), a value out of range, a range upside down.

    Examples
    --------
    >>> str(draw("c23", np.random.default_rng(0))), str(draw("jpeg:40..95 blur:0.5..1", np.random.default_rng(0)))
    ('h264:23', 'jpeg:55 blur:0.9066')
    """
    tokens = " ".join(QUALITIES.get(token, token) for token in spec.split()).split()
    drawn = (_drawn(token, rng) for token in tokens)
    return Chain(tuple(operation for operation in drawn if operation is not None))


def _drawn(token: str, rng: np.random.Generator) -> Operation | None:
    """One operation of a spec. Whether it is done or not, as many numbers are drawn: what follows stays the same."""
    found = _match(token)
    low = Operation(found["name"], _number(found["low"], token), int(found["seed"]) if found["seed"] else None)
    high = replace(low, value=_number(found["high"], token)) if found["high"] else low
    if high.value < low.value or (low.name == "resize" and low.value <= 1 < high.value):
        raise DataError(token, "not a range", "the lower end comes first, and both are of one kind")
    probability = _number(found["p"], token) if found["p"] else 1.0
    if not 0 <= probability <= 1:
        raise DataError(token, f"?{found['p']} is no probability", "0..1")
    chance, share, seed = rng.random(), rng.random(), int(rng.integers(2**32))
    if chance >= probability:
        return None
    if _KINDS[low.name].whole or (low.name == "resize" and low.value > 1):
        value = float(int(low.value) + int(share * (int(high.value) - int(low.value) + 1)))
    else:  # four digits, which the text then states in full
        value = min(max(float(f"{low.value + share * (high.value - low.value):.4g}"), low.value), high.value)
    return Operation(low.name, value, seed if low.name == "noise" and low.seed is None else low.seed)


def _match(token: str) -> dict[str, Any]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        known = [f"{name}:VALUE" for name in _KINDS]
        raise DataError(token, "not an operation", nearest(token, (*known, *QUALITIES)))
    return found.groupdict()


def _number(text: str, token: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(token, f"'{text}' is not a number")
    return value


def _shortest(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return str(int(value)) if value == int(value) else repr(float(value))
