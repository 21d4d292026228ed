"""DF40: fakes of forty methods: 10 swap faces, 13 reenact, 12 make whole faces, 5 edit; as face crops, not clips.

Tree: `DF40_train/<method>/ff/...` to train and `DF40/<method>/{ff,cdf}/...` to test, where ff and cdf say whose
originals were used, FaceForensics++ or Celeb-DF; below, `[frames/]<video>/<frame>.png`. Nine methods that training
does not know hold `{fake,real}` instead. `data.options.val` takes a val out of train. The crops are faces already:
`data.faces=whole`.

Traps. **The other 31 methods hold fakes only.** Their reals are those of FaceForensics++ and Celeb-DF, a separate
download of crops made alike (whole clips, cropped here, would differ in more than the forgery). Put them in folders
of `data.path` and name the layout of each: `data.options.reals={rgb: deepfakebench}`; their reals join in, in the
split that they have there. Some methods have two names (ddim is DDPM, danet is DaGAN). The tree that the authors
print has folders that the download lacks: absent methods are a note. Names of videos are read as those of
FaceForensics++ and Celeb-DF, target first; the authors do not say so for reenactment.

By form; CC BY-NC 4.0, the terms of FaceForensics++ and Celeb-DF stay. Yan et al., 2024, arXiv 2406.13495.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from verisight.core.errors import DataError, nearest
from verisight.core.recipe import DataSpec
from verisight.data.layouts import read_layout
from verisight.data.layouts.disjoint import components
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
from verisight.data.layouts.rows import STRAY, HeldOut, hold_out
from verisight.data.manifest import Manifest

METHODS = (
    "fsgan", "faceswap", "simswap", "inswap", "blendface", "uniface", "mobileswap", "e4s", "facedancer", "deepfacelab",
    "fomm", "facevid2vid", "wav2lip", "MRAA", "one_shot_free", "pirender", "tpsm", "lia", "DaGAN", "sadtalker", "mcnet",
    "hyperreenact", "heygen",
    "VQGAN", "StyleGAN2", "StyleGAN3", "StyleGANXL", "sd2.1", "DDPM", "RDDM", "PixArt", "DiT", "SiT", "MidJourney",
    "whichfaceisreal",
    "CollabDiff", "e4e", "stargan", "starganv2", "styleclip",
)  # fmt: skip
ALIASES = {"ddim": "DDPM", "danet": "DaGAN", "whichisreal": "whichfaceisreal", "midjourney6": "MidJourney"}
NAMES = {name.lower(): name for name in METHODS} | ALIASES
SPLITS = {"df40_train": "train", "df40": "test"}
INSIDE = {"ff": 1, "cdf": 1, "fake": 1, "real": 0}  # folder below the method's -> label
NEEDS_REALS = (
    "fakes only, so that no AUC can be had: add crops of the reals of FaceForensics++ (ff) and Celeb-DF (cdf), in "
    "folders of data.path named with their layouts, such as data.options.reals={rgb: deepfakebench}"
)
_FF = re.compile(r"(?P<target>\d{3})(?:_(?P<donor>\d{3}))?")
_CDF = re.compile(r"(?P<target>id\d+)(?:_(?P<donor>id\d+))?_(?P<clip>\d{4})")


class Options(HeldOut):
    """Whose reals join in.

    reals : folder of `data.path` -> layout that reads it; its reals join in.
    val : share of the groups of the training part that becomes `val`; 0 leaves that part whole.
    """

    reals: dict[str, str] = {}


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every crop of a known method, and the reals of the folders that `reals` names.

    Raises
    ------
    DataError : no such folder, no such crops in it, an unknown method, whatever the layouts of the reals refuse.
    """
    root, options = root_of(spec), options_of(spec, Options)
    rows: list[Row] = []
    stray: list[str] = []
    for path in files_below(root, PICTURES):
        if path.partition("/")[0] in options.reals:
            continue
        row = _row(path)
        rows += [row] if row else []
        stray += [] if row else [path]
    _tie(rows)
    notes = told(stray, STRAY) + hold_out(rows, options.val, seed)
    absent = sorted(set(METHODS) - {row["domain"] for row in rows}, key=str.lower)
    if absent:
        notes.append(f"methods that are absent: {len(absent)} of {len(METHODS)}: {', '.join(absent)}")
    for folder, layout in sorted(options.reals.items()):
        rows += _reals(root, folder, layout, seed)
    if rows and all(row["label"] for row in rows):
        notes.append(NEEDS_REALS)
    return manifest_of(rows, root, notes)


def _row(path: str) -> Row | None:
    """One crop; None outside the methods' folders."""
    *folders, _ = parts = path.split("/")
    at = max((i for i, part in enumerate(folders) if part.lower() in SPLITS), default=None)
    if at is None or len(parts) < at + 4 or parts[at + 2].lower() not in INSIDE:
        return None
    split, method, inside = SPLITS[parts[at].lower()], NAMES.get(parts[at + 1].lower()), parts[at + 2].lower()
    if method is None:
        raise DataError("/".join(parts[: at + 2]), "is no method of DF40", nearest(parts[at + 1].lower(), NAMES))
    video = "/".join(folders[at + 1 :])
    match = {"ff": _FF, "cdf": _CDF}[inside].fullmatch(folders[-1]) if inside in ("ff", "cdf") else None
    who = match.groupdict() if match else {}
    pair = "_".join(who[key] for key in ("target", "clip") if who.get(key))
    return {
        "path": path,
        "label": INSIDE[inside],
        "split": split,
        "group": f"{split}/{inside}/{pair}" if pair else path if folders[-1].lower() in INSIDE else f"{split}/{video}",
        "video": path if folders[-1].lower() in INSIDE else f"{split}/{video}",  # single pictures, no sequence
        "subject": f"{inside}/{who['target']}" if who else "",
        "donor": f"{inside}/{who['donor']}" if who.get("donor") else "",
        "pair": f"{inside}/{pair}" if pair else "",
        "generator": method if INSIDE[inside] else "real",
        "source": "" if INSIDE[inside] else f"DF40/{method}",
        "domain": method,
    }


def _tie(rows: Sequence[Row]) -> None:
    """Group what hangs together by pairs of FaceForensics++, in place: both directions of a swap, and their targets.

    Celeb-DF swaps everybody with everybody; there a group stays one original.
    """
    ours = [row for row in rows if row["subject"].startswith("ff/")]
    whole = components((row["subject"], row["donor"] or row["subject"]) for row in ours)
    for row in ours:
        row["group"] = f"{row['split']}/{whole[row['subject']]}"


def _reals(root: Path, folder: str, layout: str, seed: int) -> list[Row]:
    """The reals that another layout finds in a folder of the root, with paths from the root."""
    found = read_layout(DataSpec(path=str(root / folder), layout=layout), seed).table.to_pylist()
    inner = ("path", "group", "video")
    return [
        {**row, **{name: f"{folder}/{row[name]}" for name in inner}, "domain": row["domain"] or row["source"]}
        for row in found
        if row["label"] == 0
    ]


def tiny_copy(folder: Path) -> Promise:
    """Two known methods, one of them to train too, an unknown one with its reals, and no other reals."""
    for place, seed, forged in (
        ("DF40_train/simswap/ff/frames/000_003", 0, True),
        ("DF40_train/simswap/ff/frames/003_000", 1, True),
        ("DF40/simswap/ff/frames/953_974", 2, True),
        ("DF40/simswap/cdf/frames/id1_id0_0007", 3, True),
        ("DF40/ddim/ff/953", 4, True),
        ("DF40/heygen/fake/a1", 5, True),
        ("DF40/heygen/real/b1", 5, False),
        ("DF40/stargan/fake/fake", 6, True),
        ("DF40/stargan/real/real", 6, False),
    ):
        for frame in ("000", "001"):
            write_picture(folder / place / f"{frame}.png", seed, forged=forged)
    write_picture(folder / "DF40" / "overview.png", 9)
    (folder / "DF40" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="df40"),
        labels={0: 4, 1: 14},
        splits={"train": 4, "test": 14},
        groups=1 + 1 + 1 + 2 + 4,  # a pair is one group under two methods; pictures of stargan are no sequence
        generators={"simswap": 8, "DDPM": 2, "heygen": 2, "stargan": 2},
        subjects=4,
        notes=("methods that are absent: 36 of 40", "named like none of this set, left out: 1", "without a val split"),
    )


DF40 = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="CC BY-NC 4.0; the terms of FaceForensics++ and Celeb-DF stay",
    citation="Yan et al., 2024 (DF40), arXiv 2406.13495",
    options=Options,
    leaks="31 methods share the originals of FaceForensics++ and Celeb-DF: a detector trained on those has seen them",
)
