"""UADFV: 49 real clips and 49 fakes of the same frames.

Tree: `real/NNNN.mp4`, `fake/NNNN_fake.mp4`; the pair of a fake is its name without `_fake`. Some copies insert
`videos/` or lay `frames/` beside the clips; frames are left out.

Label traps: the face in all fakes is said to be that of one actor, so a detector can learn the person instead of the
forgery.

Splits: the set has none; pairs are cut by `data.splits` (`data.splits=[0,0,1]` tests on all). Group: the pair.

Access: a form.
Cite: Yang, Li, Lyu, Exposing deep fakes using inconsistent head poses, ICASSP 2019.
"""

from __future__ import annotations

import re
from pathlib import Path

from verisight.core.recipe import DataSpec
from verisight.data.layouts.disjoint import sides
from verisight.data.layouts.layout import Layout, Promise, count_notes, manifest_of, root_of, write_clip
from verisight.data.layouts.names import MP4, STRAY, named, told
from verisight.data.manifest import Manifest

LABEL_OF = {"real": 0, "fake": 1}
NAME_OF = {
    "real": re.compile(r"(?:videos/)?(?P<pair>\d{4})" + MP4),
    "fake": re.compile(r"(?:videos/)?(?P<pair>\d{4})_fake" + MP4),
}
EXPECTED = {"real": 49, "fake": 49}


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index the folder that holds `real/` and `fake/`.

    Raises
    ------
    DataError : no clips; fewer pairs than splits.
    """
    root = root_of(spec)
    rows, stray = [], []
    for folder, label in LABEL_OF.items():
        found, odd = named(root, folder, NAME_OF[folder])
        stray += odd
        rows += [
            {
                "path": path,
                "label": label,
                "group": match["pair"],
                "video": f"{folder}/{match['pair']}",
                "pair": match["pair"],
                "generator": "uadfv" if label else "real",
                "source": "" if label else "uadfv",
            }
            for path, match in found
        ]
    side = sides((str(row["group"]) for row in rows), spec.splits, seed, what="pairs")
    notes = [f"the set has no split of its own: pairs cut by splits={spec.splits}", *told(stray, STRAY)]
    rows = [{**row, "split": side[str(row["group"])]} for row in rows]
    return manifest_of(rows, root, [*notes, *count_notes(rows, EXPECTED)])


def tiny_copy(folder: Path) -> Promise:
    """Four pairs, of which one lacks its fake; frames and an odd name lie beside."""
    for number in range(4):
        write_clip(folder / f"real/{number:04d}.mp4", number)
        if number != 2:
            write_clip(folder / f"fake/{number:04d}_fake.mp4", number, forged=True)
    write_clip(folder / "fake/frames/0000_fake/0000_fake.mp4", 0)
    write_clip(folder / "fake/0003.mp4", 3)
    (folder / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="uadfv", splits=(0, 0, 1)),
        labels={0: 4, 1: 3},
        splits={"test": 7},
        groups=4,
        generators={"uadfv": 3},
        notes=(
            "files not named like clips of this set: 1, such as fake/0003.mp4",
            "4 real files where the published set has 49",
        ),
    )


UADFV = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="by form; terms in it",
    citation="Yang, Li, Lyu, Exposing deep fakes using inconsistent head poses, ICASSP 2019",
    expected=EXPECTED,
    leaks="No official split; one face is said to be the donor of all fakes, an identity shortcut.",
)
