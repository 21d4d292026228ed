"""CIFAKE: 60,000 pictures of CIFAR-10 and 60,000 made by Stable Diffusion 1.4 in its likeness, 32 x 32 px.

`{train,test}/{REAL,FAKE}/*.jpg`: 50,000 + 50,000 to train, 10,000 + 10,000 to test, no val (`data.options.val` takes
one from train). No faces: use `data.faces=whole`.

Traps. FAKE comes before REAL in the alphabet, so that class order inverts the labels. A network that was trained on
CIFAR-10 has seen the reals.

Licence MIT, on the card of the data; from the host that the card names. Bird, Lotfi, 2023, arXiv 2303.14126.
"""

from __future__ import annotations

from pathlib import Path

from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import (
    PICTURES,
    Layout,
    Promise,
    count_notes,
    files_below,
    manifest_of,
    options_of,
    root_of,
    write_picture,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import STRAY, HeldOut, hold_out
from verisight.data.manifest import Manifest

CLASSES = {"real": 0, "fake": 1}
EXPECTED = {"real": 60_000, "fake": 60_000}


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every picture in a class folder of a split folder; each is its own group.

    Raises
    ------
    DataError : no such folder, no such pictures in it.
    """
    root = root_of(spec)
    rows: list[Row] = []
    stray: list[str] = []
    for path in files_below(root, PICTURES):
        split, kind = ("", "", *path.lower().split("/"))[-3:-1]
        if split not in ("train", "test") or kind not in CLASSES:
            stray.append(path)
            continue
        fake = CLASSES[kind]
        rows.append(
            {
                "path": path,
                "label": fake,
                "split": split,
                "group": path,
                "generator": "stable-diffusion-1.4" if fake else "real",
                "source": "" if fake else "CIFAR-10",
            }
        )
    notes = count_notes(rows, EXPECTED) + told(stray, STRAY) + hold_out(rows, options_of(spec, HeldOut).val, seed)
    return manifest_of(rows, root, notes)


def tiny_copy(folder: Path) -> Promise:
    """Ten pictures; the second name of each class carries a number in brackets, as in the original."""
    for split, names in (("train", ("0000.jpg", "0000 (2).jpg", "0001.jpg")), ("test", ("0000.jpg", "0000 (2).jpg"))):
        for seed, name in enumerate(names):
            write_picture(folder / split / "REAL" / name, seed)
            write_picture(folder / split / "FAKE" / name, seed, forged=True)
    write_picture(folder / "preview.jpg", 9)
    (folder / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="cifake"),
        labels={0: 5, 1: 5},
        splits={"train": 6, "test": 4},
        groups=10,
        generators={"stable-diffusion-1.4": 5},
        notes=(
            "5 real files where the published set has 60000",
            "named like none of this set, left out: 1",
            "without a val split",
        ),
    )


CIFAKE = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="MIT, as its card says",
    citation="Bird, Lotfi, 2023 (CIFAKE), arXiv 2303.14126",
    expected=EXPECTED,
    options=HeldOut,
    leaks="none known inside; its reals are CIFAR-10, which many backbones were trained on",
)
