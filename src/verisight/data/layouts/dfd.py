"""DFD, the DeepFakeDetection set in the folder of FaceForensics++: 363 real clips, 3,068 fakes, 28 actors, 16 scenes.

Tree: `original_sequences/actors/{raw,c23,c40}/videos/TT__scene.mp4` and
`manipulated_sequences/DeepFakeDetection/{raw,c23,c40}/videos/TT_SS__scene__XXXXXXXX.mp4`: target first, source second;
the last part is the number of the experiment. Pair: target and scene.

Splits: the set has none. Actors are cut by `data.splits`; fakes whose two actors fall on different sides are left out
and counted. `data.splits=[0,0,1]` keeps every clip, as cross-set tables do. Group: the target actor.

Label traps: the mask clips under `masks/` are .mp4 too and are left out.

Access: with FaceForensics++, by form; FaceForensics terms of use, non-commercial.
Cite: Dufour, Gully et al., Contributing data to deepfake detection research, Google AI and Jigsaw, 2019.
"""

from __future__ import annotations

import re
from pathlib import Path

from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.disjoint import on_one_side
from verisight.data.layouts.ffpp import Quality, clips, no_clips
from verisight.data.layouts.layout import Layout, Promise, count_notes, manifest_of, options_of, root_of, write_clip
from verisight.data.layouts.names import MP4, STRAY, Found, Row, Several, told
from verisight.data.manifest import Manifest

REAL = re.compile(r"(?P<target>\d{2})__(?P<scene>.+)" + MP4)
FAKE = re.compile(r"(?P<target>\d{2})_(?P<source>\d{2})__(?P<scene>.+)__(?P<experiment>[A-Z0-9]{8})" + MP4)
EXPECTED = {"real": 363, "fake": 3068}  # at each quality


class Options(Value):
    """quality : compressions: raw (H.264 at CRF 0), c23, c40."""

    quality: Several[Quality] = ("c23",)


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index the folder that holds `original_sequences/` and `manipulated_sequences/`.

    Raises
    ------
    DataError : no clips; fewer actors than splits.
    """
    root, options = root_of(spec), options_of(spec, Options)
    rows: list[Row] = []
    stray: list[str] = []
    for quality in options.quality:
        found, odd = clips(root, "original_sequences/actors", quality, REAL)
        forged, odder = clips(root, "manipulated_sequences/DeepFakeDetection", quality, FAKE)
        rows += _rows(found, 0, quality) + _rows(forged, 1, quality)
        stray += odd + odder
    if not rows:
        raise no_clips(root, options.quality)
    kept, mixed = on_one_side(rows, spec.splits, seed)
    kept = [{**row, "group": row["subject"]} for row in kept]  # nearly everybody hangs together: too coarse to resample
    notes = [f"the set has no split of its own: actors cut by splits={spec.splits}"]
    notes += told(mixed, "fakes left out because their two actors stand in different splits")
    notes += told(stray, STRAY)
    expected = {name: count * len(options.quality) for name, count in EXPECTED.items()}
    return manifest_of(kept, root, [*notes, *count_notes(rows, expected)])


def _rows(found: Found, label: int, quality: str) -> list[Row]:
    return [
        {
            "path": path,
            "label": label,
            "video": f"{'DeepFakeDetection' if label else 'actors'}/{quality}/{path.rpartition('/')[2][:-4]}",
            "subject": match["target"],
            "donor": match["source"] if label else "",
            "pair": f"{match['target']}__{match['scene']}",
            "generator": "DeepFakeDetection" if label else "real",
            "source": "" if label else "actors",
            "quality": quality,
        }
        for path, match in found
    ]


def tiny_copy(folder: Path) -> Promise:
    """Three actors, two scenes, four fakes; a real is missing, a mask and an odd name lie beside."""
    for target in ("01", "02", "03"):
        for scene in ("kitchen_pan", "walk_down_hall_angry"):
            if (target, scene) != ("03", "kitchen_pan"):
                write_clip(folder / f"original_sequences/actors/c23/videos/{target}__{scene}.mp4", int(target))
    fakes = folder / "manipulated_sequences/DeepFakeDetection"
    names = (
        "01_02__kitchen_pan__AAAA0001",
        "02_01__kitchen_pan__AAAA0002",
        "01_03__walk_down_hall_angry__AAAA0003",
        "03_01__kitchen_pan__AAAA0004",
    )
    for name in names:
        write_clip(fakes / f"c23/videos/{name}.mp4", int(name[:2]), forged=True)
    write_clip(fakes / f"masks/videos/{names[0]}.mp4", 1)
    write_clip(fakes / "c23/videos/01_02__kitchen_pan.mp4", 1)
    (folder / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="dfd", splits=(0, 0, 1)),
        labels={0: 5, 1: 4},
        splits={"test": 9},
        groups=3,
        generators={"DeepFakeDetection": 4},
        subjects=3,
        notes=(
            "no split of its own",
            "files not named like clips of this set: 1, such as",
            "5 real files where the published set has 363",
        ),
    )


DFD = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="FaceForensics terms of use, non-commercial; by form, with FaceForensics++",
    citation="Dufour et al., Contributing data to deepfake detection research, Google AI and Jigsaw, 2019",
    expected=EXPECTED,
    options=Options,
    leaks="No official split; some published lists put every clip into train, val and test.",
)
