"""ForenSynths: trained on ProGAN alone, tested on thirteen sets of CNN-made pictures; about 362,000 of each class.

Tree: `{train,val}/<LSUN class>/{0_real,1_fake}/` with 20 classes of ProGAN (train may arrive as `progan_train`), and
`test/<set>/[<class>/]{0_real,1_fake}/`; progan, stylegan, stylegan2 and cyclegan have classes, the other nine have
none. A folder that holds the thirteen sets themselves is read as test. Whole pictures, not faces: use
`data.faces=whole`.

Traps. This is the one set whose class order gives the right labels; they are read by name all the same. The set
`deepfake` is probably made of frames of FaceForensics++: not for detectors that were trained on it. Each set has
reals of its own, which `source` names, and is compared with these: `data.matched={biggan: [ForenSynths/biggan]}`.
Papers give average precision, and accuracy at threshold 0.5, as means over the sets.

Links on its page; CC BY-NC-SA 4.0. Wang, Wang, Zhang, Owens, Efros, CVPR 2020, arXiv 1912.11035.
"""

from __future__ import annotations

from pathlib import Path

from verisight.core.errors import DataError, nearest
from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import (
    PICTURES,
    Layout,
    Promise,
    files_below,
    manifest_of,
    root_of,
    write_picture,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import STRAY, lacking
from verisight.data.manifest import Manifest

CLASSES = {"0_real": 0, "1_fake": 1}
SPLITS = {"train": "train", "progan_train": "train", "val": "val", "progan_val": "val", "test": "test"}
SETS = (
    "progan", "stylegan", "stylegan2", "cyclegan", "biggan", "stargan", "gaugan", "crn", "imle", "seeingdark", "san",
    "deepfake", "whichfaceisreal",
)  # fmt: skip


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every picture in a class folder; each is its own group.

    Raises
    ------
    DataError : no such folder, no such pictures in it, a test set that is none of the thirteen.
    """
    root = root_of(spec)
    paths = files_below(root, PICTURES)
    rows = [row for row in map(_row, paths) if row is not None]
    named = {row["path"] for row in rows}
    notes = told([path for path in paths if path not in named], STRAY)
    notes += lacking(rows)
    absent = sorted(set(SETS) - {row["domain"] for row in rows if row["split"] == "test"})
    return manifest_of(rows, root, notes + ([f"test sets that are absent: {', '.join(absent)}"] if absent else []))


def _row(path: str) -> Row | None:
    """One picture; None outside the class folders."""
    *above, kind = [part.lower() for part in path.split("/")[:-1]] or [""]
    if kind not in CLASSES or not above:
        return None
    at = next((i for i, part in enumerate(above) if part in SPLITS), None)
    split = "test" if at is None else SPLITS[above[at]]
    inner = above if at is None else above[at + 1 :]
    name = next((part for part in inner if part in SETS), None) if split == "test" else "progan"
    if name is None:
        folder = (inner or above)[0]
        raise DataError(folder, "is none of the test sets of ForenSynths", nearest(folder, SETS))
    fake = CLASSES[kind]
    return {
        "path": path,
        "label": fake,
        "split": split,
        "group": path,
        "generator": name if fake else "real",
        "source": "" if fake else f"ForenSynths/{name}",
        "domain": name,
    }


def tiny_copy(folder: Path) -> Promise:
    """Two classes to train and to select, and three test sets, one with classes."""
    places = ["progan_train/airplane", "progan_train/cat", "val/airplane", "val/cat"]
    for place in [*places, "test/progan/cat", "test/biggan", "test/whichfaceisreal"]:
        for seed in (0, 1):
            write_picture(folder / place / "0_real" / f"{seed:05d}.png", seed)
            write_picture(folder / place / "1_fake" / f"{seed:05d}.png", seed, forged=True)
    write_picture(folder / "test" / "biggan" / "readme.jpg", 9)
    (folder / "test" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="forensynths"),
        labels={0: 14, 1: 14},
        splits={"train": 8, "val": 8, "test": 12},
        groups=28,
        generators={"progan": 10, "biggan": 2, "whichfaceisreal": 2},
        notes=("test sets that are absent: crn, cyclegan, deepfake", "named like none of this set, left out: 1"),
    )


FORENSYNTHS = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="CC BY-NC-SA 4.0",
    citation="Wang, Wang, Zhang, Owens, Efros, CVPR 2020 (ForenSynths), arXiv 1912.11035",
    leaks="its set 'deepfake' is probably FaceForensics++: not a test for detectors trained on that",
)
