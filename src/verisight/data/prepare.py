"""From a data set to a folder of face crops with an index: what `verisight prepare` does.

    OUT/crops/<quality>/<file>/<sample>.png   OUT/index.csv   OUT/skipped.csv   OUT/contact.jpg   OUT/prepare.json
    OUT/parts/<unit>.json                     what came of one unit; written when it is finished, never half

The index is put together from the parts, in the order of the manifest: a run that was killed and run again ends with
the same bytes as one that was not.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from verisight.core.errors import DataError, VerisightError, nearest
from verisight.core.places import stamp
from verisight.core.preprocess import Preprocess
from verisight.core.progress import track
from verisight.core.recipe import DataSpec
from verisight.data.contact import Strip, contact_sheet
from verisight.data.cut import SAME, Cutter, Stopped, Unit, Unwritable, folder_of, units
from verisight.data.faces import FaceFinder, face_finder
from verisight.data.layouts import read_layout
from verisight.data.manifest import SCHEMA, Manifest
from verisight.data.media import LIMITS, Limits
from verisight.data.quality import QUALITIES, Picture, draw

COLUMNS = (*SCHEMA.names, "origin", "time_s")  # origin : the file that a crop is from
_MOST_TILES = 10  # of a row of the contact sheet
_MOST_STRIPS = 40


class Unfinished(VerisightError):
    """A run could not go on; what is done stays, and the same command goes on from there."""


@dataclass(frozen=True)
class Prepared:
    """What a run left in `out`.

    files : of the data set. crops : over all qualities. counts : (split, label) -> crops.
    skipped : path, reason, and whether the file failed (else it shows no face).
    notes : remarks of the layout and on single files. resumed : units that an earlier run had finished; `units` of all.
    seconds : that this run took.
    """

    out: Path
    files: int
    crops: int
    counts: Mapping[tuple[str, int], int]
    skipped: tuple[tuple[str, str, bool], ...]
    notes: tuple[str, ...]
    units: int
    resumed: int
    seconds: float

    @property
    def failed(self) -> int:
        """Files that could not be read."""
        return sum(failed for _, _, failed in self.skipped)


def prepare(
    spec: DataSpec,
    out: Path,
    *,
    preprocess: Preprocess = Preprocess(),  # noqa: B008 - frozen
    qualities: Sequence[str] = (SAME,),
    workers: int | None = None,
    seed: int = 0,
    finder: FaceFinder | None = None,
    limits: Limits = LIMITS,
) -> Prepared:
    """Cut the faces of a data set into `out`, so that `data.layout=pack data.faces=whole data.path=OUT` reads them.

    preprocess : how a face is cut, and how many frames of a clip.
    qualities : `same`, the files as they are; raw, c23, c40, or operations such as "jpeg:40..90 blur:1"
        (`quality.draw`). Crops of one frame at several qualities are cut at the same box.
    workers : units in work at once; by default one a core.
    seed : of splits that a data set does not bring, and of what qualities draw.

    Raises
    ------
    DataError : whatever the layout refuses; a quality that is none, or that the files cannot have; `out` holds
        something else, or was begun with other settings; not one file gave a face.
    Unfinished : a file cannot be written (the disk is full); the same call goes on.
    """
    start = time.perf_counter()
    if workers is not None and workers < 1:
        raise DataError(f"workers={workers}", "at least one is needed")
    specs = {name: _spec(name) for name in qualities}
    manifest = read_layout(spec, seed)
    _check_qualities(manifest, specs)
    settings = {
        "layout": spec.layout,
        "options": spec.options,
        "faces": spec.faces,
        "manifest": manifest.fingerprint(),
        "preprocess": preprocess.model_dump(mode="json"),
        "qualities": specs,
        "seed": seed,
        "version": version("verisight"),
    }
    _begin(out, json.loads(json.dumps(settings)))
    stop = threading.Event()
    cutter = Cutter(
        manifest,
        out,
        preprocess=preprocess,
        qualities=specs,
        finder=finder or face_finder(),
        stop=stop,
        whole=spec.faces == "whole",
        seed=seed,
        limits=limits,
    )
    todo = units(manifest)
    try:
        resumed = _run(todo, cutter, out, stop, workers or os.cpu_count() or 1)
        made = _Collected(out, todo, manifest)
    except (OSError, Unwritable) as error:
        cause = error.args[0] if isinstance(error, Unwritable) else error
        done = sum(_part(out, unit).is_file() for unit in todo)
        reason = f"cannot be written ({cause.strerror or cause}); {done} of {len(todo)} units are done"
        raise Unfinished(out, reason, "make room, then run the same command again: it goes on from there") from error
    seconds = time.perf_counter() - start
    if not made.crops:
        raise DataError(manifest.root, "not one file gave a face", "; ".join(made.skipped[0][:2]))
    made.draw_contact(f"{spec.layout} · {preprocess.size} px · margin {preprocess.margin}", list(specs))
    _finish(out, settings, made, seconds)
    return Prepared(
        out=out,
        files=len(manifest),
        crops=made.crops,
        counts=made.counts,
        skipped=tuple(made.skipped),
        notes=tuple(made.notes),
        units=len(todo),
        resumed=resumed,
        seconds=seconds,
    )


def _spec(name: str) -> str:
    """The spec of a quality's name, checked by drawing from it once."""
    spec = "" if name == SAME else QUALITIES.get(name, name)
    if not spec and name not in (SAME, *QUALITIES):
        raise DataError(f"quality '{name}'", "names nothing", nearest(name, (SAME, *QUALITIES)))
    draw(spec, np.random.default_rng(0))
    return spec


def _check_qualities(manifest: Manifest, specs: Mapping[str, str]) -> None:
    if len({folder_of(name) for name in specs}) < len(specs):
        raise DataError("qualities", "two of them have one name")
    known = sorted(set(manifest.column("quality")) - {"", "raw"})
    if known and "raw" in specs:
        raise DataError(
            manifest.root,
            f"holds files of quality '{known[0]}', which cannot give 'raw'",
            f"use '{SAME}', the files as they are",
        )


def _begin(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder, or make sure that it was begun with these settings."""
    facts = out / "prepare.json"
    if facts.is_file():
        try:
            before = json.loads(facts.read_text())["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(facts, "not written by verisight prepare", "give another --out") from error
        for key in settings:
            if before.get(key) != settings[key]:
                was, now = _difference(before.get(key), settings[key])
                raise DataError(out, f"was begun with another {key} ({was}, now {now})", "give another --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(out, "holds something else", "give an empty or new folder as --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        _replace(facts, json.dumps({"settings": settings, "finished": False}, indent=2))
    except OSError as error:
        raise DataError(out, f"cannot be written ({error.strerror or error})") from error


def _difference(before: Any, now: Any) -> tuple[str, str]:
    """The two values, or of two mappings the first entries that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *before]:
            if before.get(key) != now.get(key):
                return f"{key} {before.get(key)}", f"{now.get(key)}"
    return str(before), str(now)


def _run(todo: Sequence[Unit], cutter: Cutter, out: Path, stop: threading.Event, workers: int) -> int:
    """Cut what no earlier run has finished, a bounded number of units in hand; the number of those it had."""

    faults = list[Exception]()

    def one(unit: Unit) -> bool:
        try:
            return _had_or_cut(unit, cutter, out)
        except Exception as fault:
            if not stop.is_set():
                faults.append(fault)
            stop.set()  # those beside it end at their next frame
            raise

    waiting, resumed = deque[Future[bool]](), 0
    pool = ThreadPoolExecutor(workers)

    def results() -> Iterator[bool]:
        for unit in todo:
            waiting.append(pool.submit(one, unit))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        for had in track(results(), "cutting faces", total=len(todo)):
            resumed += had
    except Stopped:
        raise faults[0] from None
    finally:
        stop.set()  # an interrupt, too, waits for no more than a frame
        pool.shutdown(wait=True, cancel_futures=True)
    return resumed


def _had_or_cut(unit: Unit, cutter: Cutter, out: Path) -> bool:
    """Whether the unit was finished before, from the same files; else it is now."""
    part, stamps = _part(out, unit), [stamp(cutter.root / row["path"]) for row in unit.rows]
    if part.is_file() and json.loads(part.read_text(encoding="utf-8"))["stamps"] == stamps:
        return True
    made = cutter(unit)
    part.parent.mkdir(parents=True, exist_ok=True)
    _replace(part, json.dumps({"stamps": stamps, **asdict(made)}, ensure_ascii=False))
    return False


def _part(out: Path, unit: Unit) -> Path:
    return out / "parts" / unit.name[:2] / f"{unit.name}.json"


def _replace(path: Path, text: str) -> None:
    """Write beside the place and move there: never half a file."""
    half = path.with_name(f"{path.name}.half")
    half.write_text(text, encoding="utf-8")
    os.replace(half, path)


class _Collected:
    """The parts of all units, read one by one; writes index.csv and skipped.csv on the way."""

    def __init__(self, out: Path, todo: Sequence[Unit], manifest: Manifest) -> None:
        self.out, self.crops = out, 0
        self.skipped, self.notes = list[tuple[str, str, bool]](), [*manifest.notes, *_twins(manifest)]
        self.counts = Counter[tuple[str, int]]()
        self.crops_of = Counter[tuple[int, str]]()
        self.samples: dict[tuple[int, str], list[list[str]]] = {}  # (label, generator) -> files -> a crop per quality
        with open(out / "index.csv.half", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for unit in todo:
                part = json.loads(_part(out, unit).read_text(encoding="utf-8"))
                writer.writerows(part["rows"])
                self._count(part["rows"])
                self.skipped += [(path, reason, failed) for path, reason, failed in part["skipped"]]
                self.notes += part["notes"]
        with open(out / "skipped.csv.half", "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(("path", "reason"))
            lines.writerows((path, reason) for path, reason, _ in self.skipped)
        for name in ("index.csv", "skipped.csv"):
            os.replace(out / f"{name}.half", out / name)

    def _count(self, rows: Sequence[Mapping[str, Any]]) -> None:
        of_file: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            self.crops += 1
            self.counts[row["split"], row["label"]] += 1
            self.crops_of[row["label"], row["generator"]] += 1
            of_file.setdefault(row["origin"], []).append(row)
        for members in of_file.values():
            first = members[0]
            by_quality: dict[str, list[str]] = {}
            for row in members:
                by_quality.setdefault(row["path"].split("/")[1], []).append(row["path"])
            middle = [paths[len(paths) // 2] for paths in by_quality.values()]
            self.samples.setdefault((first["label"], first["generator"]), []).append(middle)

    def draw_contact(self, what: str, qualities: Sequence[str]) -> None:
        """Write contact.jpg: a row for each generator, faces of files evenly spread over the data."""
        strips, most = [], max(1, _MOST_TILES // len(qualities))
        for label, generator in sorted(self.samples)[:_MOST_STRIPS]:
            files = self.samples[label, generator]
            chosen = [files[i * len(files) // min(most, len(files))] for i in range(min(most, len(files)))]
            sets = [[_read(self.out / path) for path in paths] for paths in chosen]
            detail = f"{self.crops_of[label, generator]} crops of {len(files)} files"
            strips.append(Strip(generator or ("fake" if label else "real"), detail, bool(label), sets))
        files_in = sum(map(len, self.samples.values()))
        columns = list(qualities) if len(qualities) > 1 else [""]
        sheet = contact_sheet(strips, "Face crops", f"{what} · {self.crops} crops of {files_in} files", columns=columns)
        _, code = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        (self.out / "contact.jpg").write_bytes(code.tobytes())


def _read(path: Path) -> Picture:
    bgr = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _twins(manifest: Manifest) -> list[str]:
    """A note for each path that is another name of a file above it."""
    first: dict[tuple[int, int], str] = {}
    notes = []
    for path, place in zip(manifest.column("path"), manifest.paths(), strict=True):
        try:
            facts = place.stat()
        except OSError:
            continue
        known = first.setdefault((facts.st_dev, facts.st_ino), path)
        if known != path:
            notes.append(f"{path}: the same file as {known}")
    return notes


def _finish(out: Path, settings: Mapping[str, Any], made: _Collected, seconds: float) -> None:
    facts = {
        "settings": settings,
        "finished": True,
        "index_sha256": hashlib.sha256((out / "index.csv").read_bytes()).hexdigest(),
        "crops": made.crops,
        "counts": {f"{split} {'fake' if label else 'real'}": n for (split, label), n in sorted(made.counts.items())},
        "skipped": Counter(reason for _, reason, _ in made.skipped),
        "notes": made.notes,
        "versions": {"python": platform.python_version(), "av": version("av"), "opencv": cv2.__version__},
        "seconds": round(seconds, 1),
    }
    _replace(out / "prepare.json", json.dumps(facts, indent=2, ensure_ascii=False))
