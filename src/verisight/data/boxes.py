"""Faces that are known beforehand: the manifest's column `box`, read, written, and used in place of a face finder.

A picture has one box, `x y w h` in pixels; a clip has either that, for all of it, or a track, `time_s x y w h; ...`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import numpy as np
import pyarrow as pa

from verisight.core.errors import DataError
from verisight.data.faces import Face
from verisight.data.manifest import Manifest
from verisight.data.quality import Picture

Box = tuple[float, float, float, float]  # x, y, width, height in pixels; may reach over the border
TimedFinder = Callable[[Picture, float], list[Face]]  # picture, seconds from the start of the clip

HOLD_S = 1.0  # a track is believed for so long beyond its ends, or for its longest gap when that is longer
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Boxes:
    """Where one face is.

    boxes : one, or one per time.
    times : seconds, rising; None when the one box holds for the whole file.
    """

    boxes: tuple[Box, ...]
    times: tuple[float, ...] | None = None

    def at(self, time_s: float) -> Box | None:
        """The box at a time: interpolated between its neighbours, held a while beyond the ends, then None."""
        if self.times is None:
            return self.boxes[0]
        hold_s = max(HOLD_S, max(np.diff(self.times), default=0.0))
        if not self.times[0] - hold_s <= time_s <= self.times[-1] + hold_s:
            return None
        x, y, w, h = (float(np.interp(time_s, self.times, side)) for side in zip(*self.boxes, strict=True))
        return x, y, w, h


def parse_boxes(text: str) -> Boxes:
    """The column's text as values.

    Raises
    ------
    DataError : not four numbers, or five per time; a size that is not positive; a time below 0 or not after the one
        before.
    """
    parts = text.strip().removesuffix(";").split(";")
    rows = [_numbers(part, text) for part in parts]
    for row in rows:
        if len(row) != len(rows[0]) or len(row) not in (4, 5):
            _refuse(text, f"{len(row)} numbers where {'4 or 5' if row is rows[0] else len(rows[0])} belong")
        if min(row[-2:]) <= 0:
            _refuse(text, f"a box of {row[-2]:g} x {row[-1]:g} pixels has no area")
    boxes = tuple((row[-4], row[-3], row[-2], row[-1]) for row in rows)
    if len(rows[0]) == 4:
        if len(rows) > 1:
            _refuse(text, "several boxes need a time each")
        return Boxes(boxes)
    times = tuple(row[0] for row in rows)
    if times[0] < 0 or any(later <= sooner for sooner, later in pairwise(times)):
        _refuse(text, "times must be at least 0 and rise")
    return Boxes(boxes, times)


def format_boxes(boxes: Boxes) -> str:
    """The text that `parse_boxes` reads back to the same values, to the bit."""
    rows = boxes.boxes if boxes.times is None else [(t, *box) for t, box in zip(boxes.times, boxes.boxes, strict=True)]
    return "; ".join(" ".join(repr(float(value)).removesuffix(".0") for value in row) for row in rows)


def finder_for(text: str) -> TimedFinder:
    """What a face finder is to a picture, for one row of the manifest: the known face at a time, or nobody.

    A box that reaches over the border is left as it is, so that a pair of files is cut alike; the crop is moved inside.

    Raises
    ------
    DataError : as `parse_boxes`; when called, the box and the picture do not overlap.
    """
    boxes = parse_boxes(text)

    def find(picture: Picture, time_s: float) -> list[Face]:
        box = boxes.at(time_s)
        if box is None:
            return []
        height, width = picture.shape[:2]
        x, y, w, h = box
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            _refuse(text, f"lies outside the picture of {width} x {height} pixels at {time_s:g} s")
        return [Face(box, 1.0)]

    return find


def share_boxes(manifest: Manifest) -> Manifest:
    """The same rows, where every fake has the box of the real that it was made from.

    A finder misses other frames of a fake than of its real, and draws other boxes; a detector learns that. The real is
    the one of the fake's pair, in the same quality where there are several. A fake without a real that has a box, or
    with several to choose from (single frames of one video), keeps its own.
    """
    box, pair, quality = (manifest.column(name).tolist() for name in ("box", "pair", "quality"))
    label = manifest.column("label").tolist()
    reals = defaultdict(list)
    for row, of in enumerate(pair):
        if of and box[row] and label[row] == 0:
            reals[of].append(row)
    for row, of in enumerate(pair):
        if label[row] == 1:
            alike = [real for real in reals[of] if quality[real] == quality[row]] or reals[of]
            if len({box[real] for real in alike}) == 1:
                box[row] = box[alike[0]]
    return _with_boxes(manifest, box)


def _with_boxes(manifest: Manifest, box: Sequence[str]) -> Manifest:
    field = manifest.table.schema.get_field_index("box")
    table = manifest.table.set_column(field, manifest.table.schema.field(field), pa.array(box, pa.string()))
    return Manifest(table, manifest.root, manifest.notes)


def _numbers(part: str, text: str) -> tuple[float, ...]:
    for word in part.split():
        if not (_NUMBER.fullmatch(word) and math.isfinite(float(word))):
            _refuse(text, f"'{word}' is not a number")
    return tuple(map(float, part.split()))


def _refuse(text: str, reason: str) -> NoReturn:
    shown = text if len(text) <= 60 else text[:57] + "..."
    raise DataError(f"box '{shown}'", reason, "write 'x y w h', or 'time_s x y w h; ...' for a clip")
