"""WildDeepfake: faces cut from 707 deepfake videos of the web and from real ones, as 7,314 sequences of PNG crops.

3,805 real and 3,509 fake sequences; 3,409 + 3,099 to train, 396 + 410 to test, no val (`data.options.val` takes one
from train). About 1.18 million frames of 224 x 224 px, which are faces already: use `data.faces=whole`.

Tree: the folders `real train`, `real test`, `fake train`, `fake test` (also with `_`) hold `N.tar.gz`; unpacked in
their place, `<shard>/<label>/<sequence>/<frame>.png`. A row is a frame, its number the one in the original video.

Traps. Shard and sequence numbers start anew in each folder, so that `1/real/3` is four different things: the key of a
sequence is label_split_shard_sequence. No identities and no video ids are given; a shard is taken for one video, and
is the group.

Signed agreement, from an academic address. Zi, Chang, Chen, Ma, Jiang, ACM MM 2020, arXiv 2101.01456.
"""

from __future__ import annotations

from pathlib import Path

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import (
    PICTURES,
    Layout,
    Promise,
    files_below,
    manifest_of,
    options_of,
    root_of,
    write_picture,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import STRAY, HeldOut, hold_out, video_notes
from verisight.data.manifest import Manifest

CLASSES = {"real": 0, "fake": 1}
FOLDERS = {f"{name} {split}": (name, split) for name in CLASSES for split in ("train", "test")}
SEQUENCES = {("real", "train"): 3409, ("fake", "train"): 3099, ("real", "test"): 396, ("fake", "test"): 410}
EXPECTED = {name: SEQUENCES[name, "train"] + SEQUENCES[name, "test"] for name in CLASSES}  # sequences, not frames


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every frame of an unpacked shard.

    Raises
    ------
    DataError : no such folder, no frames in it, a shard whose inner label is not that of its folder.
    """
    root = root_of(spec)
    paths = files_below(root, PICTURES)
    found = [(path, _row(path)) for path in paths]
    rows = [row for _, row in found if row is not None]
    notes = video_notes(rows, EXPECTED) + told([path for path, row in found if row is None], STRAY)
    return manifest_of(rows, root, notes + hold_out(rows, options_of(spec, HeldOut).val, seed))


def _row(path: str) -> Row | None:
    """One frame; None for a file that lies elsewhere."""
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts) if part.lower().replace("_", " ") in FOLDERS), None)
    if at is None or len(parts) != at + 5:
        return None
    name, split = FOLDERS[parts[at].lower().replace("_", " ")]
    shard, inner, sequence = parts[at + 1 : at + 4]
    if inner.lower() not in CLASSES:
        return None
    if inner.lower() != name:
        raise DataError(path, f"a {inner} sequence in the folder '{parts[at]}'", "unpack each shard in its own folder")
    group = f"{name}_{split}_{shard}"
    return {
        "path": path,
        "label": CLASSES[name],
        "split": split,
        "group": group,
        "video": f"{group}_{sequence}",
        "generator": "unknown" if CLASSES[name] else "real",
        "source": "" if CLASSES[name] else "web",
    }


def tiny_copy(folder: Path) -> Promise:
    """Two shards a folder, of two sequences and one, of two frames each; shard and sequence numbers start anew."""
    for name, split in FOLDERS.values():
        place = folder / (f"{name} {split}" if split == "train" else f"{name}_{split}")
        for seed, (shard, sequence) in enumerate((("0", "0"), ("0", "1"), ("1", "0"))):
            for frame in ("12", "40"):
                write_picture(place / shard / name / sequence / f"{frame}.png", seed, forged=name == "fake")
    write_picture(folder / "fake train" / "contact-sheet.png", 9)
    (folder / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="wilddeepfake"),
        labels={0: 12, 1: 12},
        splits={"train": 12, "test": 12},
        groups=8,
        generators={"unknown": 12},
        notes=("6 real videos where the published set has 3805", "named like none of this set, left out: 1"),
    )


WILDDEEPFAKE = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="signed agreement, academic use",
    citation="Zi, Chang, Chen, Ma, Jiang, 2020 (WildDeepfake), arXiv 2101.01456",
    expected=EXPECTED,
    options=HeldOut,
    leaks="unknown: no identities are given; look for near-duplicates",
)
