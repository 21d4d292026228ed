"""FaceForensics++ with FaceShifter: 1,000 real clips, and as many fakes by each method, at three compressions.

Tree: `original_sequences/youtube/{raw,c23,c40}/videos/TTT.mp4` and
`manipulated_sequences/METHOD/{raw,c23,c40}/videos/TTT_SSS.mp4`; `raw` is also written `c0`. Target first (its body and
background are seen), source second. Both directions of a pair exist: 500 pairs, 1,000 fakes a method.

Label traps: the mask clips under `masks/` are .mp4 too and are left out. Fakes of different methods have equal names;
the key of a video is method, quality and name.

Splits: `splits/{train,val,test}.json` (or in the root) list pairs of ids; they come beside the data, from the set's own
repository. Without all three, pairs are cut by `data.splits`. Group: what hangs together by pairs; under `strict` also
by YouTube videos (`conversion_dict.json`), of which seven are cut into sequences of different splits: there the
sequences of the earlier split are left out.

Access: a form, then a download script; FaceForensics terms of use, non-commercial.
Cite: Rössler, Cozzolino, Verdoliva, Riess, Thies, Niessner, ICCV 2019, arXiv 1901.08971; for FaceShifter also
Li et al., FaceShifter, 2019.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.disjoint import components, sides
from verisight.data.layouts.layout import Layout, Promise, count_notes, manifest_of, options_of, root_of, write_clip
from verisight.data.layouts.names import MP4, STRAY, Found, Row, Several, named, read_json, told
from verisight.data.manifest import SPLITS, Manifest

Quality = Literal["raw", "c23", "c40"]
Method = Literal["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"]
Pair = tuple[str, str]

REAL = re.compile(r"(?P<target>\d{3})" + MP4)
FAKE = re.compile(r"(?P<target>\d{3})_(?P<source>\d{3})" + MP4)
PER_CLASS = 1000


class Options(Value):
    """Which part of the set is read.

    quality : compressions: raw (H.264 at CRF 0), c23, c40.
    methods : of manipulation; FaceShifter came later and is not in the usual four.
    split : `official`; or `strict`, which also keeps each YouTube video on one side.
    """

    quality: Several[Quality] = ("c23",)
    methods: Several[Method] = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    split: Literal["official", "strict"] = "official"


def clips(root: Path, folder: str, quality: str, pattern: re.Pattern[str]) -> tuple[Found, list[str]]:
    """Clips of `folder` at one quality, and files that are not named like one; the folder of raw may be called c0."""
    name = "c0" if quality == "raw" and not (root / folder / "raw").is_dir() else quality
    return named(root, f"{folder}/{name}/videos", pattern)


def no_clips(root: Path, quality: Sequence[str]) -> DataError:
    """What is said of a folder without any."""
    return DataError(
        root,
        f"holds no clips at {' or '.join(quality)} below original_sequences/ and manipulated_sequences/",
        "give data.path=DIR, the folder of these two, and data.options.quality=raw, c23 or c40",
    )


def reals(root: Path, quality: str) -> tuple[list[Row], list[str]]:
    """Rows of the YouTube clips at one quality, without split and group; and stray files."""
    found, stray = clips(root, "original_sequences/youtube", quality, REAL)
    rows = [
        {
            "path": path,
            "label": 0,
            "video": f"youtube/{quality}/{match['target']}",
            "subject": match["target"],
            "donor": "",
            "pair": match["target"],
            "generator": "real",
            "source": "youtube",
            "quality": quality,
        }
        for path, match in found
    ]
    return rows, stray


def split_lists(root: Path) -> dict[str, list[Pair]]:
    """The official pairs by split, from `splits/` or the root; empty unless all three lists are there.

    Raises
    ------
    DataError : a list is not one of pairs of ids; an id stands in two splits.
    """
    places = (root / "splits", root)
    home = next((p for p in places if all((p / f"{name}.json").is_file() for name in SPLITS)), None)
    if home is None:
        return {}
    lists: dict[str, list[Pair]] = {}
    seen: dict[str, str] = {}
    for split in SPLITS:
        path = home / f"{split}.json"
        content = read_json(path)
        if not (isinstance(content, list) and all(_is_pair(entry) for entry in content)):
            raise DataError(path, "must be a list of pairs of three-digit ids", "take it from the set's repository")
        lists[split] = [(a, b) for a, b in content]
        for id in (id for pair in lists[split] for id in pair):
            if seen.setdefault(id, split) != split:
                raise DataError(path, f"sequence {id} also stands in {seen[id]}.json", "download the lists again")
    return lists


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index the folder that holds `original_sequences/` and `manipulated_sequences/`.

    Raises
    ------
    DataError : no clips; split lists that contradict one another; too few pairs to cut.
    """
    root, options = root_of(spec), options_of(spec, Options)
    rows, stray = _all_rows(root, options)
    if not rows:
        raise no_clips(root, options.quality)
    notes = told(stray, STRAY)
    joined, joins_notes = _same_youtube_video(root) if options.split == "strict" else ([], [])
    lists = split_lists(root)
    if lists:
        kept, more = _by_lists(rows, lists, joined)
        notes += more + told(_absent(rows, lists, options), "clips of the split lists that are absent")
    else:
        kept = _by_shares(rows, joined, spec, seed)
        notes.append(f"not all of splits/train.json, val.json, test.json are there: pairs cut by splits={spec.splits}")
    expected = {
        "real": PER_CLASS * len(options.quality),
        "fake": PER_CLASS * len(options.quality) * len(options.methods),
    }
    return manifest_of(kept, root, [*notes, *joins_notes, *count_notes(rows, expected)])


def _all_rows(root: Path, options: Options) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    stray: list[str] = []
    for quality in options.quality:
        more, odd = reals(root, quality)
        rows, stray = rows + more, stray + odd
        for method in options.methods:
            found, odd = clips(root, f"manipulated_sequences/{method}", quality, FAKE)
            stray += odd
            rows += [
                {
                    "path": path,
                    "label": 1,
                    "video": f"{method}/{quality}/{match['target']}_{match['source']}",
                    "subject": match["target"],
                    "donor": match["source"],
                    "pair": match["target"],
                    "generator": method,
                    "source": "",
                    "quality": quality,
                }
                for path, match in found
            ]
    return rows, stray


def _by_lists(
    rows: Sequence[Row], lists: Mapping[str, Sequence[Pair]], joined: Sequence[Pair]
) -> tuple[list[Row], list[str]]:
    """Rows with the group and split of the lists; those that stand in no list, or on two sides, are left out."""
    split_of = {id: split for split, pairs in lists.items() for pair in pairs for id in pair}
    listed = {frozenset(pair) for pairs in lists.values() for pair in pairs}
    known = [(a, b) for a, b in joined if a in split_of and b in split_of]
    whole = components([*(pair for pairs in lists.values() for pair in pairs), *known])
    home: dict[str, str] = {}  # of a component: the latest of its splits, because test clips are the scarce ones
    for id, group in whole.items():
        home[group] = max(home.get(group, SPLITS[0]), split_of[id], key=SPLITS.index)
    kept, unlisted, crossing = [], [], []
    for row in rows:
        id = row["subject"]
        if id not in split_of or (row["donor"] and frozenset((id, row["donor"])) not in listed):
            unlisted.append(row["path"])
        elif split_of[id] != home[whole[id]]:
            crossing.append(row["path"])
        else:
            kept.append({**row, "group": whole[id], "split": split_of[id]})
    notes = told(unlisted, "clips left out because no split list names them")
    return kept, notes + told(crossing, "clips left out because a later split has others of the same YouTube video")


def _by_shares(rows: Sequence[Row], joined: Sequence[Pair], spec: DataSpec, seed: int) -> list[Row]:
    """Rows grouped by the pairs that fakes make, cut by `spec.splits`."""
    pairs = [(row["subject"], row["donor"] or row["subject"]) for row in rows]
    present = {id for pair in pairs for id in pair}
    whole = components([*pairs, *((a, b) for a, b in joined if a in present and b in present)])
    side = sides(whole.values(), spec.splits, seed, what="pairs of sequences")
    return [{**row, "group": whole[row["subject"]], "split": side[whole[row["subject"]]]} for row in rows]


def _same_youtube_video(root: Path) -> tuple[list[Pair], list[str]]:
    """Sequences of one YouTube video, each paired with the first; a note when nothing is known of them.

    `conversion_dict.json` maps a sequence to `youtube_id number`.
    """
    path = next((p for p in (root / "conversion_dict.json", root / "splits/conversion_dict.json") if p.is_file()), None)
    if path is None:
        return [], ["conversion_dict.json is absent: strict groups do not see which sequences share a YouTube video"]
    content = read_json(path)
    if not (isinstance(content, dict) and all(isinstance(v, str) and v.strip() for v in content.values())):
        raise DataError(path, "must map sequences to 'youtube_id number'", "take it from the set's repository")
    first: dict[str, str] = {}
    return [(first.setdefault(video.split()[0], id), id) for id, video in sorted(content.items())], []


def _absent(rows: Sequence[Row], lists: Mapping[str, Sequence[Pair]], options: Options) -> set[str]:
    """Keys of the videos that the lists promise and the folder does not hold."""
    ids = [id for pairs in lists.values() for pair in pairs for id in pair]
    both_ways = [f"{a}_{b}" for pairs in lists.values() for x, y in pairs for a, b in ((x, y), (y, x))]
    wanted = {f"youtube/{quality}/{id}" for quality in options.quality for id in ids}
    wanted |= {f"{method}/{q}/{name}" for method in options.methods for q in options.quality for name in both_ways}
    return wanted - {row["video"] for row in rows}


def _is_pair(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(re.fullmatch(r"\d{3}", str(id)) for id in entry)


def tiny_copy(folder: Path) -> Promise:
    """Four made-up pairs, two methods, two compressions; one fake is missing, a mask and an odd name lie beside."""
    lists = {"train": [["000", "001"], ["002", "003"]], "val": [["004", "005"]], "test": [["006", "007"]]}
    (folder / "splits").mkdir()
    for split, pairs in lists.items():
        (folder / "splits" / f"{split}.json").write_text(json.dumps(pairs))
    fakes = folder / "manipulated_sequences"
    for quality in ("c23", "c40"):
        for a, b in (pair for pairs in lists.values() for pair in pairs):
            for target, source in ((a, b), (b, a)):
                write_clip(folder / f"original_sequences/youtube/{quality}/videos/{target}.mp4", int(target))
                for method in ("Deepfakes", "Face2Face"):
                    path = fakes / method / quality / f"videos/{target}_{source}.mp4"
                    write_clip(path, int(target), forged=True)
    (fakes / "Face2Face/c40/videos/007_006.mp4").unlink()
    write_clip(fakes / "Deepfakes/c23/videos/006_007_copy.mp4", 6)
    write_clip(fakes / "Deepfakes/masks/videos/006_007.mp4", 6)
    (folder / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(
            path=str(folder),
            layout="ffpp",
            options={"quality": ["c23", "c40"], "methods": ["Deepfakes", "Face2Face"]},
        ),
        labels={0: 16, 1: 31},
        splits={"train": 24, "val": 12, "test": 11},
        groups=4,
        generators={"Deepfakes": 16, "Face2Face": 15},
        subjects=8,
        notes=(
            "files not named like clips of this set: 1, such as",
            "clips of the split lists that are absent: 1, such as Face2Face/c40/007_006",
            "16 real files where the published set has 2000",
        ),
    )


FFPP = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="FaceForensics terms of use, non-commercial; by form",
    citation="Rössler et al., FaceForensics++, ICCV 2019, arXiv 1901.08971",
    expected={"real": PER_CLASS, "fake": 4 * PER_CLASS},
    options=Options,
    leaks=(
        "Seven YouTube videos are cut into sequences of different splits (five between train and val, two between "
        "train and test); people may recur in other videos."
    ),
)
