"""KoDF: 62,166 real clips of 403 Koreans and 175,776 fakes of six methods.

Real `<actor>_<NNN>.mp4`, fake `<target>_<donor>_<code>_<number>.mp4`; an actor is 20 hexadecimal digits or 6 decimal
ones. Codes: 1 DeepFaceLab, 2 FaceSwap, 3 FSGAN, 4 FOMM, 5 audio-driven (ATFHP and Wav2Lip share it; the lists tell
which). The name alone says class, people and method, whatever the folder.

Splits. The set has none: `split=target` cuts by the person shown and counts the fakes whose donor is shown in another
split, `split=strict` leaves those out. The copy on AI-Hub has four lists (original or manipulated, training or
validation), which `split=official` reads; its validation part is what can be reported on, so it is `test` here, and
`data.options.val` takes a val out of the other.

By form; Koreans by AI-Hub. Kwon, You, Nam, Park, Chae, ICCV 2021, arXiv 2103.10094.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from verisight.core.errors import DataError, nearest
from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import (
    CLIPS,
    Layout,
    Promise,
    count_notes,
    files_below,
    manifest_of,
    options_of,
    root_of,
    write_clip,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import ABSENT, STRAY, UNLISTED, Disk, HeldOut, cut_by_person, hold_out
from verisight.data.manifest import Manifest

GENERATORS = {"1": "deepfacelab", "2": "faceswap", "3": "fsgan", "4": "fomm", "5": "audio-driven"}
EXPECTED = {"real": 62_166, "fake": 175_776}
_ACTOR = r"([0-9a-f]{20}|\d{6})"
_REAL = re.compile(rf"{_ACTOR}_\d{{3}}")
_FAKE = re.compile(rf"{_ACTOR}_{_ACTOR}_(\d+)_\d+")
_ID, _TARGET, _MODEL = "영상ID", "타겟영상", "변조모델"  # id, target video and model, as the lists head them
_PARTS = {"training": "train", "validation": "test"}


class Options(HeldOut):
    """How the set is cut.

    split : `target`, by the person shown; `strict`, nobody in two splits, fakes that would join two left out;
        `official`, by the lists of the AI-Hub copy.
    lists : folder of these four lists, from `data.path`; only `official` reads them.
    val : share of the people of the official training part that becomes `val`; 0 leaves that part whole.
    """

    split: Literal["official", "target", "strict"] = "target"
    lists: str = "."


class Listed(NamedTuple):
    """A line of a list: the part it stands in, the real clip that a fake was made of, what made it; "" = not said."""

    split: str
    target: str
    model: str


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every clip with a name of the set; under `official`, every listed one.

    Raises
    ------
    DataError : no such folder, no such clips in it, an unknown method code, lists that are absent or not readable.
    """
    root, options = root_of(spec), options_of(spec, Options)
    disk = Disk(root, CLIPS, key=_stem)
    if options.split == "official":
        rows, notes = _listed(disk, _lists(root / options.lists))
        notes += hold_out(rows, options.val, seed)
    else:
        rows = [row for row in map(_row, disk.files) if row is not None]
        named = {row["path"] for row in rows}
        notes = told([path for path in disk.files if path not in named], STRAY)
        if rows:
            rows, more = cut_by_person(rows, spec.splits, seed, strict=options.split == "strict")
            notes += more
    return manifest_of(rows, root, [*notes, *count_notes(rows, EXPECTED)])


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _row(path: str) -> Row | None:
    """One clip without its split; None for a name that is not of the set."""
    name = _stem(path).lower()
    fake, real = _FAKE.fullmatch(name), _REAL.fullmatch(name)
    if fake is None and real is None:
        return None
    if fake is not None and fake[3] not in GENERATORS:
        raise DataError(path, f"the code {fake[3]} is no method of KoDF", nearest(fake[3], GENERATORS))
    return {
        "path": path,
        "label": int(fake is not None),
        "video": name,
        "subject": (fake or real)[1],  # type: ignore[index]  # one of them matched
        "donor": fake[2] if fake else "",
        "pair": "" if fake else name,
        "generator": GENERATORS[fake[3]] if fake else "real",
        "source": "" if fake else "kodf",
    }


def _listed(disk: Disk, lists: dict[str, Listed]) -> tuple[list[Row], list[str]]:
    """The clips that the lists name, with split, pair and method from there."""
    rows = []
    for name, line in sorted(lists.items()):
        path = disk.find(name)
        row = _row(path) if path else None
        if row is None:
            continue
        row |= {"split": line.split, "group": f"{line.split}/{row['subject']}"}
        if row["label"]:
            row["pair"] = line.target
        if row["generator"] == "audio-driven" and line.model.lower() in ("atfhp", "wav2lip"):
            row["generator"] = line.model.lower()
        rows.append(row)
    return rows, told(disk.missing, ABSENT) + told(disk.unlisted(), UNLISTED)


def _lists(folder: Path) -> dict[str, Listed]:
    """Clip -> its line, from the four CSV files."""
    found: dict[str, Listed] = {}
    for file in files_below(folder, (".csv",)) if folder.is_dir() else []:
        words = re.split(r"[^a-z]+", _stem(file).lower())
        part = next((_PARTS[word] for word in words if word in _PARTS), None)
        if part is None:
            continue
        try:
            with open(folder / file, newline="", encoding="utf-8-sig") as stream:
                lines = list(csv.DictReader(stream))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(folder / file, f"not a readable list ({error})", "save it as UTF-8 CSV") from error
        if lines and _ID not in lines[0]:
            raise DataError(folder / file, f"has no column '{_ID}'", nearest(_ID, filter(None, lines[0])))
        for line in lines:
            name, target = (_stem((line.get(key) or "").replace("\\", "/")).lower() for key in (_ID, _TARGET))
            if found.setdefault(name, Listed(part, target, line.get(_MODEL) or "")).split != part:
                raise DataError(name, "stands in a list of training and in one of validation", "keep it in one")
    if not found:
        raise DataError(folder, "holds no lists of the AI-Hub copy", "use data.options.split=target without them")
    return found


def tiny_copy(folder: Path) -> Promise:
    """Six people with one real clip and two fakes each, all codes, and the four lists with a clip that is absent."""
    people = [f"10000{n}" for n in range(5)] + ["0123456789abcdef0123"]
    lines: dict[str, list[str]] = {}
    for n, actor in enumerate(people):
        part = "training" if n < 4 else "validation"
        names = [f"{actor}_001"]
        names += [f"{actor}_{people[(n + k) % 6]}_{1 + (2 * n + k) % 5}_0001" for k in (1, 2)]
        for name in names:
            write_clip(folder / "clips" / f"{name}.mp4", n, forged=name != names[0])
        lines.setdefault(f"original_{part}", []).append(f"{names[0]},,")
        lines.setdefault(f"manipulated_{part}", []).extend(f"{name},{names[0]},wav2lip" for name in names[1:])
    lines["original_training"].append("100000_999,,")
    for file, body in lines.items():
        text = "\n".join((f"{_ID},{_TARGET},{_MODEL}", *body)) + "\n"
        (folder / f"{file}_videos.csv").write_text(text, encoding="utf-8-sig")
    write_clip(folder / "clips" / "making-of.mp4", 9)
    (folder / "clips" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="kodf", options={"split": "official"}),
        labels={0: 6, 1: 12},
        splits={"train": 12, "test": 6},
        groups=6,
        generators={"deepfacelab": 2, "faceswap": 3, "fsgan": 3, "fomm": 2, "wav2lip": 2},
        subjects=6,
        notes=(
            "listed files that are absent: 1, such as 100000_999",
            "files that no list names, left out: 1, such as clips/making-of.mp4",
            "6 real files where the published set has 62166",
        ),
    )


KODF = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="by form, research",
    citation="Kwon, You, Nam, Park, Chae, ICCV 2021 (KoDF), arXiv 2103.10094",
    expected=EXPECTED,
    options=Options,
    leaks="donors of one split are shown in another, under split=target and under the lists",
)
