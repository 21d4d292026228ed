"""FFIW-10K: videos of several people in which one face or more was swapped, and their originals.

9,988 real and 9,988 fake videos (the paper says 10,000 each): 8,000 / 250 / 1,738 of each for train, val and test.
About three faces a frame, at least 480 lines.

Tree: `FFIW10K-v1-release/{source,target,target_mask}/{train,val}/[videos/]<split>_<8 digits>.mp4`; test comes as
another download, with `-test`. A row is a clip. In a copy that holds no clips at all but their frames, in folders of
those names, a row is a frame; clips and frames are never mixed, as the codec would tell them apart.

Traps. `source` is the real video and `target` the fake: elsewhere these words mean the donor and the original. The
masks are clips of the same names. Not every face of a fake frame is fake: a face crop is fake where it overlaps the
mask, and only the label of the whole clip is known here. Equal numbers in both folders are probably a pair; as that
is not confirmed they share the group, so that no split cuts them, but not the `pair`. Figures "on FFIW" of
face-forgery papers are often those of the 250 + 250 of val: say which.

By form. Zhou, Wang, Liang, Shen, CVPR 2021, arXiv 2103.04570.
"""

from __future__ import annotations

import re
from pathlib import Path

from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import (
    CLIPS,
    Layout,
    Promise,
    files_below,
    manifest_of,
    root_of,
    write_clip,
    write_picture,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import STRAY, video_notes
from verisight.data.manifest import Manifest

CLASSES = {"source": 0, "target": 1}
VIDEOS = {"train": 8000, "val": 250, "test": 1738}  # of each class
EXPECTED = {name: sum(VIDEOS.values()) for name in ("real", "fake")}
_NAME = re.compile(r"(train|val|test)_(\d{8})")


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every clip under `source` and `target`; where there is none, every frame.

    Raises
    ------
    DataError : no such folder, no such clips or frames in it.
    """
    root = root_of(spec)
    rows: list[Row] = []
    stray: list[str] = []
    for path in files_below(root):
        row = _row(path)
        if row is not None:
            rows.append(row)
        elif "target_mask" not in path.lower().split("/"):
            stray.append(path)
    frames = [row["path"] for row in rows if not row["path"].lower().endswith(CLIPS)]
    notes = told(stray, STRAY)
    if len(frames) < len(rows):
        rows = [row for row in rows if row["path"].lower().endswith(CLIPS)]
        notes += told(frames, "frames beside the clips, left out")
    notes += video_notes(rows, EXPECTED)
    return manifest_of(rows, root, notes)


def _row(path: str) -> Row | None:
    """A clip by its own name, a frame by the name of its folder; None for masks and strangers."""
    *folders, name = path.split("/")
    kind = next((part.lower() for part in reversed(folders) if part.lower() in (*CLASSES, "target_mask")), "")
    holder = name if name.lower().endswith(CLIPS) else (folders or [""])[-1]
    match = _NAME.fullmatch(holder.rpartition(".")[0] if holder is name else holder)
    if kind not in CLASSES or match is None:
        return None
    fake = CLASSES[kind]
    return {
        "path": path,
        "label": fake,
        "split": match[1],
        "group": match[0],
        "video": f"{kind}/{match[0]}",
        "generator": "ffiw" if fake else "real",
        "source": "" if fake else "ffiw",
    }


def tiny_copy(folder: Path) -> Promise:
    """Two pairs of clips to train, one each for val and test, with masks; frames of a clip beside it."""
    release = folder / "FFIW10K-v1-release"
    for kind, forged in (("source", False), ("target", True), ("target_mask", True)):
        write_clip(release / kind / "train" / "train_00000000.mp4", 0, forged=forged)
        write_clip(release / kind / "train" / "train_00000001.mp4", 1, forged=forged)
        write_clip(release / kind / "val" / "videos" / "val_00000000.mp4", 2, forged=forged)
        write_clip(folder / "FFIW10K-v1-release-test" / kind / "test" / "test_00000000.mp4", 3, forged=forged)
        for frame in ("000", "010"):
            write_picture(release / kind / "train" / "train_00000000" / f"{frame}.png", 0, forged=forged)
    write_clip(release / "source" / "train" / "holiday.mp4", 9)
    (release / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="ffiw"),
        labels={0: 4, 1: 4},
        splits={"train": 4, "val": 2, "test": 2},
        groups=4,
        generators={"ffiw": 4},
        notes=(
            "4 real videos where the published set has 9988",
            "files named like none of this set, left out: 1, such as FFIW10K-v1-release/source/train/holiday.mp4",
            "frames beside the clips, left out: 4",
        ),
    )


FFIW = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="by form, research",
    citation="Zhou, Wang, Liang, Shen, CVPR 2021 (FFIW-10K), arXiv 2103.04570",
    expected=EXPECTED,
    leaks="unknown: no identities are given; look for near-duplicates",
)
