"""GenImage: 1,331,167 photographs of ImageNet and 1,350,000 pictures of eight generators, for the same classes.

Tree: `<Generator>/<archive>/{train,val}/{ai,nature}/`; the archive's folder, or the generator's, may be absent. The
published `val` (about 6,000 + 6,000 a generator) is what papers report on, so it is `test` here; `data.options.val`
takes a val out of train. Whole pictures, not faces: use `data.faces=whole`.

Traps. `ai` comes before `nature` in the alphabet, so that class order inverts the labels. Reals are JPEG of many
sizes, fakes mostly PNG of one size: detectors learn that (Grommelt et al., 2024, arXiv 2403.17608). The photographs
are divided over the generators; a name that stands under several is counted in a note and is one group within its
split. Each generator has reals of its own, which `source` names: `data.matched={midjourney: [ImageNet/midjourney]}`.

Links on its page; CC BY-NC-SA 4.0 and terms of its own. Zhu et al., 2023, arXiv 2306.08571.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from verisight.core.errors import DataError, nearest
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
from verisight.data.layouts.names import Row, Several, told
from verisight.data.layouts.rows import STRAY, HeldOut, hold_out
from verisight.data.manifest import Manifest

CLASSES = {"nature": 0, "ai": 1}
SPLITS = {"train": "train", "val": "test"}
Generator = Literal["adm", "biggan", "glide", "midjourney", "sd-1.4", "sd-1.5", "vqdm", "wukong"]
GENERATORS: dict[str, Generator] = {  # name of an archive or of a generator's folder, in lower case
    "adm": "adm",
    "biggan": "biggan",
    "glide": "glide",
    "midjourney": "midjourney",
    "stable_diffusion_v_1_4": "sd-1.4",
    "stable_diffusion_v_1_5": "sd-1.5",
    "vqdm": "vqdm",
    "wukong": "wukong",
    "imagenet_ai_0419_biggan": "biggan",
    "imagenet_ai_0419_sdv4": "sd-1.4",
    "imagenet_ai_0419_vqdm": "vqdm",
    "imagenet_ai_0424_sdv5": "sd-1.5",
    "imagenet_ai_0424_wukong": "wukong",
    "imagenet_ai_0508_adm": "adm",
    "imagenet_glide": "glide",
    "imagenet_midjourney": "midjourney",
}
EXPECTED = {"real": 1_331_167, "fake": 1_350_000}  # of all eight


class Options(HeldOut):
    """Which part is read.

    generators : all eight when empty; one of them to train on, all to test on.
    val : share of the groups of its training part that becomes `val`; 0 leaves that part whole.
    """

    generators: Several[Generator] = tuple(sorted(set(GENERATORS.values())))


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every picture in a class folder of a split folder of a generator.

    Raises
    ------
    DataError : no such folder, no such pictures in it, a generator that is none of the eight.
    """
    root, options = root_of(spec), options_of(spec, Options)
    rows: list[Row] = []
    stray: list[str] = []
    for path in files_below(root, PICTURES):
        row = _row(path)
        if row is None:
            stray.append(path)
        elif row["domain"] in options.generators:
            rows.append(row)
    whole = len(options.generators) == len(set(GENERATORS.values()))
    notes = (count_notes(rows, EXPECTED) if whole else []) + told(stray, STRAY) + _repeated(rows)
    return manifest_of(rows, root, notes + hold_out(rows, options.val, seed))


def _row(path: str) -> Row | None:
    """One picture; None outside the class folders."""
    *above, split, kind, name = ("", "", *path.split("/"))
    if split.lower() not in SPLITS or kind.lower() not in CLASSES:
        return None
    generator = next((GENERATORS[part.lower()] for part in reversed(above) if part.lower() in GENERATORS), None)
    if generator is None:
        folder = above[-1] or "/".join((split, kind))
        raise DataError(folder, "lies in the folder of no generator that GenImage has", nearest(folder, GENERATORS))
    fake = CLASSES[kind.lower()]
    return {
        "path": path,
        "label": fake,
        "split": SPLITS[split.lower()],
        "group": path if fake else f"{SPLITS[split.lower()]}/{name.partition('.')[0]}",
        "generator": generator if fake else "real",
        "source": "" if fake else f"ImageNet/{generator}",
        "domain": generator,
    }


def _repeated(rows: Sequence[Row]) -> list[str]:
    """A note about photographs whose name stands more than once: pooled generators then share reals."""
    places = defaultdict(list)
    for row in rows:
        if row["label"] == 0:
            places[row["group"].partition("/")[2]].append(row["path"])
    return told([name for name, paths in places.items() if len(paths) > 1], "photographs that stand more than once")


def tiny_copy(folder: Path) -> Promise:
    """Three generators, one without its archive's folder and one without its own; a photograph stands under two."""
    for at, place in enumerate(("Midjourney/imagenet_midjourney", "BigGAN", "imagenet_ai_0424_sdv5")):
        for split, real in (("train", "n01440764_{}.JPEG"), ("val", "ILSVRC2012_val_{}.JPEG")):
            for number in (0, 1):
                name = real.format(f"{at + number:08d}" if split == "train" else f"{2 * at + number:08d}")
                write_picture(folder / place / split / "nature" / name, at + number)
                write_picture(folder / place / split / "ai" / f"{number}_{at}.png", at + number, forged=True)
    write_picture(folder / "Midjourney" / "sheet.png", 9)
    (folder / "BigGAN" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="genimage"),
        labels={0: 12, 1: 12},
        splits={"train": 12, "test": 12},
        groups=12 + 4 + 6,  # two photographs of train stand under two generators
        generators={"midjourney": 4, "biggan": 4, "sd-1.5": 4},
        notes=(
            "12 real files where the published set has 1331167",
            "photographs that stand more than once: 2",
            "named like none of this set, left out: 1",
        ),
    )


GENIMAGE = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="CC BY-NC-SA 4.0 and terms of its own",
    citation="Zhu et al., 2023 (GenImage), arXiv 2306.08571",
    expected=EXPECTED,
    options=Options,
    leaks="size and file format differ by class; check a subset matched in both",
)
