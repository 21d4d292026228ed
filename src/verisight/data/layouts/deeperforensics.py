"""DeeperForensics-1.0: 11 variants of 1,000 fakes; it has no reals of its own.

Tree: `manipulated_videos/VARIANT/TTT_XNNN.mp4`: the target is a sequence of FaceForensics++, the donor one of 100
actors (W woman, M man). `lists/splits/{train,val,test}.txt` cut the 1,000 names by donor, 703/96/201. Variants:
end_to_end, end_to_end_level_1 to 5, end_to_end_random_level, end_to_end_mix_{2,3,4}_distortions, reenact_postprocess.

Label traps: the real class is the YouTube clips of FaceForensics++ at c23, which `data.options.ffpp_root` names; the
`source_videos/` show the donors and are not the real class, though some tools take them for it. A real goes with the
fake of its target. Without `ffpp_root` the manifest has one class, and no AUC.

Splits: `official` is the lists; without them donors are cut by `data.splits`. Targets are FaceForensics++ ids, so a
model trained there has seen the backgrounds: `strict` keeps only clips that stand in the same split in both sets.
Group: the name, over all its variants, with the real of its target. Quality: the variant; c23 for reals.

Access: a form; its terms forbid passing the files on.
Cite: Jiang, Li, Wu, Qian, Loy, DeeperForensics-1.0, CVPR 2020, arXiv 2001.03024.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts import ffpp
from verisight.data.layouts.disjoint import sides
from verisight.data.layouts.layout import Layout, Promise, count_notes, manifest_of, options_of, root_of, write_clip
from verisight.data.layouts.names import MP4, STRAY, Row, Several, named, one_root, told
from verisight.data.manifest import SPLITS, Manifest

Variant = Literal[
    "end_to_end",
    "end_to_end_level_1",
    "end_to_end_level_2",
    "end_to_end_level_3",
    "end_to_end_level_4",
    "end_to_end_level_5",
    "end_to_end_mix_2_distortions",
    "end_to_end_mix_3_distortions",
    "end_to_end_mix_4_distortions",
    "end_to_end_random_level",
    "reenact_postprocess",
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
NAME = re.compile(r"(?P<name>(?P<target>\d{3})_(?P<donor>[MW][01]\d{2}))" + MP4)
PER_VARIANT = 1000


class Options(Value):
    """Which part of the set is read.

    variants : of the fakes; all eleven unless named.
    ffpp_root : folder of FaceForensics++, for the reals, absolute or seen from `data.path`; without it there are none.
    split : `official`; or `strict`, which keeps only what the official FaceForensics++ lists put on the same side.
    """

    variants: Several[Variant] = VARIANTS
    ffpp_root: str = ""
    split: Literal["official", "strict"] = "official"


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index the folder that holds `manipulated_videos/`; with `ffpp_root`, paths start at the folder above both.

    Raises
    ------
    DataError : no clips; a list that cannot be read or names a clip twice; `strict` without the FaceForensics++ lists.
    """
    root, options = root_of(spec), options_of(spec, Options)
    fakes, stray = _fakes(root, options)
    rows, notes = _with_splits(fakes, root, options, spec, seed)
    base, expected = root, {"fake": PER_VARIANT * len(options.variants)}
    if options.ffpp_root:
        other, expected = root / options.ffpp_root, {"real": ffpp.PER_CLASS, **expected}
        found, odd = ffpp.reals(other, "c23")
        home = {row["subject"]: row for row in rows}
        reals = [
            {**real, "group": home[real["pair"]]["group"], "split": home[real["pair"]]["split"]}
            for real in found
            if real["pair"] in home
        ]
        base, rows = one_root(root, rows, other, reals)
        stray += odd
    else:
        notes.append("one class, no reals: add those of FaceForensics++ (YouTube, c23) by data.options.ffpp_root=DIR")
    if options.split == "strict":
        rows, more = _as_in_ffpp(rows, ffpp.split_lists(root / options.ffpp_root) if options.ffpp_root else {})
        notes += more
    return manifest_of(rows, base, [*notes, *told(stray, STRAY), *count_notes(rows, expected)])


def split_lists(root: Path) -> dict[str, str]:
    """Name -> split, from `lists/splits/`; empty unless all three lists are there.

    Raises
    ------
    DataError : a line that is no name of a fake; a name in two lists.
    """
    lists = {split: root / "lists/splits" / f"{split}.txt" for split in SPLITS}
    if not all(path.is_file() for path in lists.values()):
        return {}
    home: dict[str, str] = {}
    for split, path in lists.items():
        for line in filter(str.strip, path.read_text(encoding="utf-8-sig", errors="replace").splitlines()):
            name = PurePosixPath(line.strip().replace("\\", "/")).name
            match = NAME.fullmatch(name)
            if match is None:
                raise DataError(path, f"cannot read the line '{line}'", "lines look like: 000_M101.mp4")
            if home.setdefault(match["name"], split) != split:
                raise DataError(path, f"{name} also stands in {home[match['name']]}.txt", "download the lists again")
    return home


def _fakes(root: Path, options: Options) -> tuple[list[Row], list[str]]:
    """Rows without split; and stray files."""
    rows: list[Row] = []
    stray: list[str] = []
    for variant in options.variants:
        found, odd = named(root, f"manipulated_videos/{variant}", NAME)
        stray += odd
        rows += [
            {
                "path": path,
                "label": 1,
                "group": match["name"],
                "video": f"{variant}/{match['name']}",
                "subject": match["target"],
                "donor": match["donor"],
                "pair": match["target"],
                "generator": variant if variant == "reenact_postprocess" else "end_to_end",
                "source": "",
                "quality": variant,
            }
            for path, match in found
        ]
    return rows, stray


def _with_splits(
    fakes: Sequence[Row], root: Path, options: Options, spec: DataSpec, seed: int
) -> tuple[list[Row], list[str]]:
    """Fakes with the split of the lists, or of their donor."""
    lists = split_lists(root)
    if not lists:
        side = sides((row["donor"] for row in fakes), spec.splits, seed, what="donors")
        why = f"not all of lists/splits/train.txt, val.txt, test.txt are there: donors cut by splits={spec.splits}"
        return [{**row, "split": side[row["donor"]]} for row in fakes], [why]
    wanted = {f"{variant}/{name}" for variant in options.variants for name in lists}
    unlisted = [row["path"] for row in fakes if row["group"] not in lists]
    notes = told(unlisted, "clips left out because no split list names them")
    notes += told(wanted - {row["video"] for row in fakes}, "clips of the split lists that are absent")
    return [{**row, "split": lists[row["group"]]} for row in fakes if row["group"] in lists], notes


def _as_in_ffpp(rows: Sequence[Row], lists: Mapping[str, Sequence[tuple[str, str]]]) -> tuple[list[Row], list[str]]:
    """Rows whose target stands in the same split of FaceForensics++, whose lists these are."""
    if not lists:
        raise DataError(
            "data.options.split=strict",
            "needs the split lists of FaceForensics++",
            "put splits/train.json, val.json, test.json into the folder of data.options.ffpp_root",
        )
    home = {id: split for split, pairs in lists.items() for pair in pairs for id in pair}
    kept = [row for row in rows if home.get(row["pair"]) == row["split"]]
    moved = [row["path"] for row in rows if home.get(row["pair"]) != row["split"]]
    return kept, told(moved, "clips left out because FaceForensics++ has their target in another split")


def tiny_copy(folder: Path) -> Promise:
    """Four fakes in two variants with their reals, one fake missing; source clips of a donor lie beside."""
    own, other = folder / "DeeperForensics-1.0", folder / "FaceForensics++"
    lists = {"train": ("000_M101", "001_W002"), "val": ("004_M003",), "test": ("006_W104",)}
    (own / "lists/splits").mkdir(parents=True)
    (other / "splits").mkdir(parents=True)
    for split, names in lists.items():
        (own / f"lists/splits/{split}.txt").write_text("".join(f"{name}.mp4\n" for name in names))
        (other / f"splits/{split}.json").write_text(json.dumps([[name[:3], f"9{name[1:3]}"] for name in names]))
        for name in names:
            write_clip(other / f"original_sequences/youtube/c23/videos/{name[:3]}.mp4", int(name[:3]))
            for variant in ("end_to_end", "end_to_end_level_1"):
                write_clip(own / f"manipulated_videos/{variant}/{name}.mp4", int(name[:3]), forged=True)
    (own / "manipulated_videos/end_to_end_level_1/006_W104.mp4").unlink()
    write_clip(own / "manipulated_videos/end_to_end/006_X104.mp4", 6)
    write_clip(own / "source_videos/M101/BlendShape/camera_front.mp4", 9)
    (own / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(
            path=str(own),
            layout="deeperforensics",
            options={"variants": ["end_to_end", "end_to_end_level_1"], "ffpp_root": "../FaceForensics++"},
        ),
        labels={0: 4, 1: 7},
        splits={"train": 6, "val": 3, "test": 2},
        groups=4,
        generators={"end_to_end": 7},
        subjects=4,
        notes=(
            "clips of the split lists that are absent: 1, such as end_to_end_level_1/006_W104",
            "files not named like clips of this set: 1, such as manipulated_videos/end_to_end/006_X104.mp4",
            "7 fake files where the published set has 2000",
        ),
    )


DEEPERFORENSICS = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="terms of the DeeperForensics-1.0 form, no redistribution; reals: FaceForensics terms of use",
    citation="Jiang, Li, Wu, Qian, Loy, DeeperForensics-1.0, CVPR 2020, arXiv 2001.03024",
    expected={"fake": PER_VARIANT * len(VARIANTS)},
    options=Options,
    leaks="Cut by donor; the targets are FaceForensics++ ids, so a model trained there has seen the backgrounds.",
)
