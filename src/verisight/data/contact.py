"""A contact sheet: a look at what a data set holds, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from verisight.data.quality import Picture

_PAPER, _INK, _FAINT, _EMPTY = (250, 250, 248), (34, 36, 38), (122, 126, 130), (232, 233, 231)
_REAL, _FAKE = (46, 125, 90), (191, 74, 48)
_EDGE, _GAP, _LABEL = 28, 4, 190  # px: around the sheet, between tiles, width of the captions
_SET_GAP = 14  # between sets of tiles that show one face


@dataclass(frozen=True)
class Strip:
    """One row of the sheet.

    name, detail : its caption, and a fainter line below it.
    fake : the colour of its mark.
    sets : pictures (H, W, 3) uint8 RGB that belong together (one face at every quality), side by side.
    """

    name: str
    detail: str
    fake: bool
    sets: Sequence[Sequence[Picture]]


def contact_sheet(
    strips: Sequence[Strip], title: str, subtitle: str, *, columns: Sequence[str] = ("",), tile: int = 104
) -> Picture:
    """Draw strips below one another, with a heading; (H, W, 3) uint8 RGB.

    columns : what each picture of a set shows, written above the first sets; one empty name writes nothing.
    tile : side of a picture on the sheet, in pixels.
    """
    most = max((len(strip.sets) for strip in strips), default=1)
    set_width = len(columns) * (tile + _GAP) - _GAP
    between = _SET_GAP if len(columns) > 1 else _GAP
    head = 92 + (22 if any(columns) else 0)
    width = max(2 * _EDGE + _LABEL + most * (set_width + between) - between, 640)
    height = head + len(strips) * (tile + _SET_GAP) + _EDGE - _SET_GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (_EDGE, _EDGE - 6), title, 22, _INK, width - 2 * _EDGE)
    _write(pen, (_EDGE, _EDGE + 24), subtitle, 14, _FAINT, width - 2 * _EDGE)
    lefts = [_EDGE + _LABEL + n * (set_width + between) for n in range(most)]
    for left in lefts:
        for n, name in enumerate(columns):
            _write(pen, (left + n * (tile + _GAP), head - 21), name, 12, _FAINT, tile)
    for row, strip in enumerate(strips):
        top = head + row * (tile + _SET_GAP)
        pen.rounded_rectangle((_EDGE, top + 2, _EDGE + 4, top + tile - 3), 2, fill=_FAKE if strip.fake else _REAL)
        _write(pen, (_EDGE + 14, top + 8), strip.name, 15, _INK, _LABEL - 24)
        _write(pen, (_EDGE + 14, top + 30), strip.detail, 12, _FAINT, _LABEL - 24)
        for left, pictures in zip(lefts, strip.sets, strict=False):
            for n in range(len(columns)):
                corner = (left + n * (tile + _GAP), top)
                if n < len(pictures):
                    sheet.paste(Image.fromarray(_fitted(pictures[n], tile)), corner)
                else:
                    pen.rectangle((*corner, corner[0] + tile - 1, top + tile - 1), fill=_EMPTY)
    return np.asarray(sheet, dtype=np.uint8)


def _fitted(picture: Picture, tile: int) -> Picture:
    """The central square of a picture, as large as a tile."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = np.ascontiguousarray(picture[top : top + side, left : left + side])
    how = cv2.INTER_AREA if side > tile else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (tile, tile), interpolation=how), dtype=np.uint8)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: tuple[int, int, int], width: int
) -> None:
    """Text of one line, cut with an ellipsis where it would be wider than `width` pixels."""
    font = ImageFont.load_default(size)
    text = "".join(c if c.isprintable() else " " for c in text)
    whole = text
    while text and pen.textlength(text if text == whole else f"{text}...", font) > width:
        text = text[:-1]
    pen.text(at, text if text == whole else f"{text}...", colour, font)
