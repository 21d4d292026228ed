"""Celeb-DF, both versions: v1 408 real and 795 fake clips, v2 890 real and 5,639 fake clips of 59 people.

Tree: `Celeb-real/idT_NNNN.mp4`, `YouTube-real/NNNNN.mp4`, `Celeb-synthesis/idT_idS_NNNN.mp4`; target first, donor
second; the pair of a fake is `idT_NNNN`. Some copies insert `videos/` or spell `Youtube-real`; both are read.

Label traps: a line of `List_of_testing_videos.txt` starts with **1 for real and 0 for fake**, and has no header. Labels
come from the folder; a list whose numbers say otherwise is refused.

Splits: `official` has the list as test and the rest as train, with no val; a group is one video. v2 lists 518 clips:
178 real, 340 fake. `strict` cuts the people by `data.splits`, leaves fakes of people on two sides out and counts them;
a group is the person shown, and each YouTube clip is a person of its own. Without the list, pairs are cut.

Access: a form with the terms in it, non-commercial.
Cite: Li, Yang, Sun, Qi, Lyu, Celeb-DF, CVPR 2020, arXiv 1909.12962.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.disjoint import on_one_side, sides
from verisight.data.layouts.layout import Layout, Promise, count_notes, manifest_of, options_of, root_of, write_clip
from verisight.data.layouts.names import MP4, STRAY, Row, named, told
from verisight.data.manifest import Manifest

LIST = "List_of_testing_videos.txt"
LABEL_OF = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
NAME_OF = {
    "Celeb-real": re.compile(r"(?:videos/)?(?P<pair>(?P<target>id\d+)_\d{4})" + MP4),
    "YouTube-real": re.compile(r"(?:videos/)?\d{5}" + MP4),
    "Celeb-synthesis": re.compile(r"(?:videos/)?(?P<target>id\d+)_(?P<donor>id\d+)_(?P<number>\d{4})" + MP4),
}
_FOLDER = {name.lower(): name for name in LABEL_OF}
_LINE = re.compile(r"(?P<number>[01])\s+(?P<folder>[^/]+)/(?:.+/)?(?P<name>[^/]+)" + MP4)


class Options(Value):
    """split : `official`, the test list; or `strict`, in which nobody stands on two sides."""

    split: Literal["official", "strict"] = "official"


def read_version(expected: Mapping[str, int], listed: int | None) -> Callable[[DataSpec, int], Manifest]:
    """The reader of one version.

    expected : published rows by class. listed : clips in the published test list; None where we are not sure.
    """

    def read(spec: DataSpec, seed: int = 0) -> Manifest:
        root, options = root_of(spec), options_of(spec, Options)
        rows, stray = _rows(root)
        notes = told(stray, STRAY)
        test = official_list(root / LIST) if (root / LIST).is_file() else frozenset()
        if options.split == "strict":
            kept, mixed = on_one_side(rows, spec.splits, seed)
            kept = [{**row, "group": row["subject"] or row["video"]} for row in kept]
            notes += told(mixed, "fakes left out because their two people stand in different splits")
        elif test:
            kept = [{**r, "group": r["video"], "split": "test" if r["video"] in test else "train"} for r in rows]
            notes += _about_list(rows, test, listed)
        else:
            kept = _by_pairs(rows, spec, seed)
            notes.append(f"{LIST} is absent: clips cut by pair, splits={spec.splits}; people stand in several splits")
        return manifest_of(kept, root, [*notes, *count_notes(rows, expected)])

    return read


def official_list(path: Path) -> frozenset[str]:
    """Keys `folder/name` of the clips in the official list.

    Raises
    ------
    DataError : a line of another form, an unknown folder, a number that contradicts the folder (1 real, 0 fake).
    """
    keys = set()
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        text = line.strip().replace("\\", "/")
        if not text:
            continue
        match = _LINE.fullmatch(text)
        folder = _FOLDER.get(match["folder"].lower()) if match else None
        if match is None or folder is None:
            raise DataError(path, f"cannot read the line '{text}'", "lines look like: 1 Celeb-real/id1_0007.mp4")
        if int(match["number"]) == LABEL_OF[folder]:  # the list calls real 1, Verisight calls fake 1
            raise DataError(path, f"the number of '{text}' contradicts its folder: here 1 is real", "use the set's own")
        keys.add(f"{folder}/{match['name']}")
    return frozenset(keys)


def _rows(root: Path) -> tuple[list[Row], list[str]]:
    """Rows without split and group; and stray files."""
    rows: list[Row] = []
    stray: list[str] = []
    for folder in sorted(p.name for p in root.iterdir() if p.is_dir() and p.name.lower() in _FOLDER):
        name = _FOLDER[folder.lower()]
        found, odd = named(root, folder, NAME_OF[name])
        rows += [_row(path, name, match.groupdict()) for path, match in found]
        stray += odd
    return rows, stray


def _row(path: str, folder: str, parts: Mapping[str, str]) -> Row:
    video = f"{folder}/{path.rpartition('/')[2][:-4]}"
    label, target = LABEL_OF[folder], parts.get("target", "")
    return {
        "path": path,
        "label": label,
        "video": video,
        "subject": target,
        "donor": parts.get("donor", ""),
        "pair": f"{target}_{parts['number']}" if label else parts.get("pair", ""),
        "generator": folder if label else "real",
        "source": "" if label else folder,
    }


def _by_pairs(rows: Sequence[Row], spec: DataSpec, seed: int) -> list[Row]:
    groups = [row["pair"] or row["video"] for row in rows]
    side = sides(groups, spec.splits, seed, what="pairs")
    return [{**row, "group": group, "split": side[group]} for row, group in zip(rows, groups, strict=True)]


def _about_list(rows: Sequence[Row], test: frozenset[str], listed: int | None) -> list[str]:
    """What the test list lacks, and what lacks of it."""
    videos = {row["video"] for row in rows}
    notes = told(test - videos, "clips of the test list that are absent")
    if listed is not None and len(test) != listed:
        notes.append(f"the test list names {len(test)} clips where the published one has {listed}")
    youtube = {key for key in videos | test if key.startswith("YouTube-real/")}
    if youtube and not youtube & test:
        notes.append("the test list names no clip of YouTube-real: all of them are train")
    return [*notes, "the official split has no val: use data.options.split=strict, or select on another set"]


def tiny_copy(layout: str) -> Callable[[Path], Promise]:
    """Three people with two clips each, two YouTube clips, six fakes, a list of five of which one is missing."""

    def write(folder: Path) -> Promise:
        for id in (0, 1, 2):
            for number in (0, 7):
                write_clip(folder / f"Celeb-real/id{id}_{number:04d}.mp4", 10 * id + number)
        for number in (170, 171):
            write_clip(folder / f"YouTube-real/{number:05d}.mp4", number)
        for target, donor in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
            path = folder / f"Celeb-synthesis/id{target}_id{donor}_0007.mp4"
            write_clip(path, 10 * target + 7, forged=True)
        write_clip(folder / "Celeb-synthesis/masks/id0_id1_0007.mp4", 7)
        write_clip(folder / "Celeb-real/id0_0000 (1).mp4", 0)
        (folder / ".DS_Store").touch()
        lines = ("1 YouTube-real/00170.mp4", "1 Celeb-real/id1_0007.mp4", "0 Celeb-synthesis/id1_id0_0007.mp4")
        more = ("0 Celeb-synthesis/id2_id0_0007.mp4", "0 Celeb-synthesis/id2_id0_0009.mp4")
        (folder / LIST).write_text("\n".join(lines + more) + "\n")
        return Promise(
            spec=DataSpec(path=str(folder), layout=layout),
            labels={0: 8, 1: 6},
            splits={"train": 10, "test": 4},
            groups=14,
            generators={"Celeb-synthesis": 6},
            subjects=3,
            notes=(
                "files not named like clips of this set: 1, such as Celeb-real/id0_0000 (1).mp4",
                "clips of the test list that are absent: 1, such as Celeb-synthesis/id2_id0_0009",
                "the official split has no val",
                "8 real files where the published set has",
            ),
        )

    return write


_V1, _V2 = {"real": 158 + 250, "fake": 795}, {"real": 590 + 300, "fake": 5639}
_LICENCE = "terms of the Celeb-DF form, non-commercial"
_CITATION = "Li, Yang, Sun, Qi, Lyu, Celeb-DF, CVPR 2020, arXiv 1909.12962"

CELEBDF_V1 = Layout(
    read=read_version(_V1, None),
    tiny_copy=tiny_copy("celebdf-v1"),
    licence=_LICENCE,
    citation=_CITATION,
    expected=_V1,
    options=Options,
    leaks=(
        "The people of the test list are also in train. Clips of v1 probably recur in v2: never train on one and test "
        "on the other."
    ),
)

CELEBDF_V2 = Layout(
    read=read_version(_V2, 518),
    tiny_copy=tiny_copy("celebdf-v2"),
    licence=_LICENCE,
    citation=_CITATION,
    expected=_V2,
    options=Options,
    leaks=(
        "The people of the test list are also in train (56 ids are in the list), and 234 of its 340 fakes have their "
        "original among the train reals. DF40 shares the reals."
    ),
)
