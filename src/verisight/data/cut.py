"""Cutting the faces of an original and its fakes at one set of boxes, frame by frame, at every quality.

A finder misses other frames of fakes than of reals, and boxes that differ by label or by quality are a shortcut. So the
faces are found once, on the original, and used on whatever was made from it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from verisight.core.errors import DataError, InputError, one_line
from verisight.core.preprocess import Preprocess
from verisight.data.boxes import finder_for
from verisight.data.faces import Face, FaceFinder, box_in_crop, crop_face, judgeable
from verisight.data.manifest import Manifest
from verisight.data.media import LIMITS, Frame, Limits, Media, open_media
from verisight.data.quality import Chain, Picture, draw

log = logging.getLogger(__name__)
SAME = "same"  # the quality of a file as it is
Row = Mapping[str, Any]  # of the manifest
# Clips of one pair whose lengths differ by less show the same moments: a face moves far less than its margin meanwhile.
_SAME_S = 0.1


class Stopped(Exception):
    """The run is over for another reason; what is in hand is dropped."""


class Unwritable(Exception):
    """A crop cannot be written; `args[0]` is the OSError."""


@dataclass(frozen=True)
class Unit:
    """Rows that are prepared together: an original and what was made from it, or the frames of one video.

    rows : originals first, then by path.
    """

    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """24 hex digits, by the paths in it."""
        return hashlib.sha256("\n".join(row["path"] for row in self.rows).encode()).hexdigest()[:24]


def units(manifest: Manifest) -> list[Unit]:
    """The units of a manifest, in the order of its rows: by `pair`, or by `video` where a row has none."""
    members: dict[tuple[str, str], list[Row]] = {}
    for row in manifest.table.to_pylist():
        key = ("pair", row["pair"]) if row["pair"] else ("video", row["video"])
        members.setdefault(key, []).append(row)
    return [Unit(tuple(sorted(rows, key=lambda row: (row["label"], row["path"])))) for rows in members.values()]


@dataclass
class Cut:
    """What came of one unit.

    rows : of the index, with `origin`, the file that a crop is from, and `time_s`.
    skipped : path, reason, and whether the file failed (else it shows no face). notes : remarks, one line each.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Seen(NamedTuple):
    """A sampled frame that shows a face. time_s : None of a picture."""

    nth: int
    time_s: float | None
    face: Face


@dataclass
class _Track:
    """The faces of one file. size : width, height. faces : time and face of every sample, None where there is none."""

    row: Row
    size: tuple[int, int]
    duration_s: float | None
    faces: list[tuple[float, Face | None]] = field(default_factory=list)

    def fits(self, row: Row, media: Media) -> bool:
        """Whether these faces stand in another file: in what was made from this one, or this one at another quality."""
        known = self.row
        if row["label"] == known["label"]:
            related = row["video"] == known["video"] and row["quality"] != known["quality"]
        else:
            related = known["label"] == 0 and row["pair"] != ""
        length = abs((self.duration_s or 0) - (media.duration_s or 0))
        alike = self.size == (media.width, media.height) and (self.duration_s is None) == (media.duration_s is None)
        return related and alike and length <= _SAME_S

    def at(self, time_s: float) -> Face | None:
        """The face at the sample nearest in time."""
        near_s, face = min(self.faces, key=lambda known: abs(known[0] - time_s), default=(np.inf, None))
        return face if abs(near_s - time_s) <= _SAME_S else None


class Cutter:
    """Unit -> Cut; writes the crops as PNG below `out`/crops. Safe to use from many threads.

    qualities : name -> spec of `quality.draw`; what is drawn depends on the seed, the file and the name alone.
    whole : the pictures are face crops already; their central square is taken.
    stop : once set, units in hand end with `Stopped`.
    """

    def __init__(
        self,
        manifest: Manifest,
        out: Path,
        *,
        preprocess: Preprocess,
        qualities: Mapping[str, str],
        finder: FaceFinder,
        stop: threading.Event,
        whole: bool = False,
        seed: int = 0,
        limits: Limits = LIMITS,
    ) -> None:
        self.root, self.out, self.preprocess, self.qualities = manifest.root, out, preprocess, qualities
        self.finder, self.stop, self.whole, self.seed, self.limits = finder, stop, whole, seed, limits

    def __call__(self, unit: Unit) -> Cut:
        self._go_on()
        cut, tracks = Cut(), list[_Track]()
        for row in unit.rows:
            try:
                made = self._file(row, tracks, cut.notes)
                cut.rows += made
                if not made:
                    cut.skipped.append((row["path"], "no face found", False))
            except (InputError, DataError) as error:  # DataError: a known box that is none, or lies outside
                cut.skipped.append((row["path"], error.reason, True))
            except (Stopped, Unwritable):
                raise
            except Exception as error:  # one file must not end a run of many
                log.exception("fault on %s", row["path"])
                cut.skipped.append((row["path"], f"a fault of ours ({type(error).__name__}: {one_line(error)})", True))
        return cut

    def _file(self, row: Row, tracks: list[_Track], notes: list[str]) -> list[dict[str, Any]]:
        """The crops of one file, as rows of the index: the same frames at the same boxes at every quality."""
        media = open_media(self.root / row["path"], frames=self.preprocess.frames, limits=self.limits)
        find = self._finder_for(row, media, tracks, notes)
        chains = {name: draw(spec, self._rng(row, name)) for name, spec in self.qualities.items()}
        at_once = {name: chain for name, chain in chains.items() if media.kind == "image" or not chain.over_time}
        for name in chains:  # what a killed run may have left
            shutil.rmtree(self._place(row, name, None), ignore_errors=True)
        track, seen = _Track(row, (media.width, media.height), media.duration_s), list[_Seen]()
        for nth, frame in enumerate(media):
            self._go_on()
            face = find(frame)
            track.faces.append((frame.time_s or 0.0, face))
            if face is not None:
                seen.append(_Seen(nth, frame.time_s, face))
                for name, chain in at_once.items():
                    self._save(row, name, seen[-1], chain.apply(frame.rgb, time_s=frame.time_s or 0.0))
        tracks.append(track)
        notes += [f"{row['path']}: {note}" for note in media.notes]
        met = {name: set(self._recode(row, name, chains[name], seen)) for name in chains.keys() - at_once.keys()}
        lost = [s for s in seen if any(s.nth not in of for of in met.values())]
        for s in lost:  # a damaged clip: a frame that one quality lacks is taken from all
            for name in chains:
                self._place(row, name, s).unlink(missing_ok=True)
        if lost:
            notes.append(f"{row['path']}: {len(lost)} frames left out, which are not met again when it is re-encoded")
        size = (media.width, media.height)
        return [self._entry(row, n, c, s, size) for n, c in chains.items() for s in seen if s not in lost]

    def _finder_for(
        self, row: Row, media: Media, tracks: list[_Track], notes: list[str]
    ) -> Callable[[Frame], Face | None]:
        """Frame -> the face to cut: that of the whole picture, of the manifest, of the original, or the largest one."""
        if self.whole:
            face = Face((0.0, 0.0, float(media.width), float(media.height)), 1.0)
            return lambda frame: face
        if row["box"]:
            known = finder_for(row["box"])
            return lambda frame: self._largest(known(frame.rgb, frame.time_s or 0.0))
        fitting = [track for track in tracks if track.fits(row, media)]
        of_quality = [track for track in fitting if track.row["quality"] == row["quality"]] or fitting
        if len(of_quality) == 1 and any(face for _, face in of_quality[0].faces):
            track = of_quality[0]
            apart_s = (media.duration_s or 0) - (track.duration_s or 0)
            if abs(apart_s) > 1e-3:
                notes.append(f"{row['path']}: {apart_s:+.2f} s against its original {track.row['path']}")
            return lambda frame: track.at(frame.time_s or 0.0)
        if row["label"] == 1 and row["pair"]:
            why = "several originals fit" if len(of_quality) > 1 else "no original of its size and length with a face"
            notes.append(f"{row['path']}: faces found on itself ({why})")
        return lambda frame: self._largest(self.finder(frame.rgb))

    def _largest(self, faces: list[Face]) -> Face | None:
        sure = [face for face in faces if judgeable(face, self.preprocess)]
        return max(sure, key=lambda face: face.size_px, default=None)

    def _recode(self, row: Row, name: str, chain: Chain, seen: list[_Seen]) -> Iterator[int]:
        """Send the whole clip through the chain, save the crops of the frames seen, and say which were met again."""
        wanted: dict[int, list[_Seen]] = {}  # a frame of two overlapping short clips comes twice
        for s in seen:
            wanted.setdefault(_ms(s.time_s), []).append(s)
        if not wanted:
            return
        frames = iter(open_media(self.root / row["path"], frames="all", limits=self.limits))
        first = [frame for _, frame in zip(range(2), frames, strict=False)]
        apart_s = (first[1].time_s or 0.0) - (first[0].time_s or 0.0) if len(first) == 2 else 0.0
        times = deque[float | None]()  # of the frames that are inside the encoder

        def pictures() -> Iterator[Picture]:
            for source in (first, frames):
                for frame in source:
                    self._go_on()
                    times.append(frame.time_s)
                    yield frame.rgb

        for picture in chain.clip(pictures(), fps=1 / apart_s if apart_s else 25.0):
            for s in wanted.get(_ms(times.popleft()), ()):
                self._save(row, name, s, picture)
                yield s.nth

    def _save(self, row: Row, name: str, seen: _Seen, picture: Picture) -> None:
        place = self._place(row, name, seen)
        crop = crop_face(picture, seen.face, self._cut_as())
        _, code = cv2.imencode(".png", crop[:, :, ::-1])
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(code.tobytes())
        except OSError as error:
            raise Unwritable(error) from error

    def _cut_as(self) -> Preprocess:
        whole = {"margin": 1.0, "align": False}
        return self.preprocess.model_copy(update=whole) if self.whole else self.preprocess

    def _place(self, row: Row, name: str, seen: _Seen | None) -> Path:
        """Of one crop, or of the folder of all crops of a clip."""
        folder: Path = self.out / "crops" / folder_of(name) / row["path"]
        if seen is None:
            return folder
        return folder.with_name(f"{folder.name}.png") if seen.time_s is None else folder / f"{seen.nth:04d}.png"

    def _entry(self, row: Row, name: str, chain: Chain, seen: _Seen, size: tuple[int, int]) -> dict[str, Any]:
        return {
            **row,
            "path": self._place(row, name, seen).relative_to(self.out).as_posix(),
            "quality": row["quality"] if name == SAME else name,
            "box": "" if self.preprocess.align or self.whole else _box_in_crop(seen.face, size, self.preprocess),
            "applied": " ".join(filter(None, (row["applied"], str(chain)))),
            "origin": row["path"],
            "time_s": "" if seen.time_s is None else f"{seen.time_s:.3f}",
        }

    def _rng(self, row: Row, name: str) -> np.random.Generator:
        key = hashlib.sha256(f"{row['path']}\n{name}".encode()).digest()
        return np.random.default_rng((self.seed, int.from_bytes(key[:8], "big")))

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise Stopped


def folder_of(quality: str) -> str:
    """A quality's name as the name of a folder on any system."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in quality)


def _ms(time_s: float | None) -> int:
    return round(1000 * (time_s or 0.0))


def _box_in_crop(face: Face, size: tuple[int, int], preprocess: Preprocess) -> str:
    """The face's box in pixels of its crop, as `crop_face` cuts it, clipped to it."""
    x, y, w, h = box_in_crop(face, size, preprocess)
    x0, y0, x1, y1 = np.clip([x, y, x + w, y + h], 0, preprocess.size)
    return " ".join(f"{value:.1f}" for value in (x0, y0, x1 - x0, y1 - y0))
