"""DeepfakeBench: nine data sets cut to 32 face crops a video, and JSON files that say which frame belongs where.

Tree: `rgb/<set>/.../{frames,masks,landmarks}/<video>/<NNN>.png`, and JSON files anywhere in the folder: `{set: {label
name: {split: {video: {"label", "frames", ...}}}}}`, with one more level, the quality, below the split for
FaceForensics++, DFD and FaceShifter. Paths in them start at `rgb` and may hold a backslash. A row is a frame. The
crops are faces already: use `data.faces=whole`.

The files have defects, which reading mends and notes tell:

1. Celeb-DF: train lists the test videos too, and val repeats test. A video that stands in several splits counts in
   one: test before val before train. Its two folders of reals write the same keys, so that train lacks the reals of
   one: how many is told, the files cannot give them back.
2. DFDCP: val repeats test. DFD, UADFV and the reals of DeeperForensics stand in all three splits, so that all is
   test.
3. With more than 32 frames on the disk the first 32 are listed, not 32 evenly spaced ones: not mended here.
4. Videos are told apart by their name alone, though four methods of FaceForensics++ share names such as 953_974: here
   a video is set, label name, quality and name.

The reals that the files give DeeperForensics are the clips that its donors were filmed in, not the videos that its
fakes were made of.

CC BY-NC 4.0, the terms of every set stay. Yan, Zhang, Yuan, Lyu, Wu, 2023, arXiv 2307.01426.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from verisight.core.errors import DataError, nearest
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.df40 import NAMES as DF40_NAMES
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
from verisight.data.layouts.names import Row, read_json, told
from verisight.data.layouts.rows import ABSENT, Disk, lacking
from verisight.data.manifest import SPLITS, Manifest


class Label(NamedTuple):
    """What a label name means: class, what made the fake or where the real is from, whose names its videos have."""

    label: int
    origin: str
    family: str


LABELS = {
    "FF-real": Label(0, "FaceForensics++", "ff"),
    "FF-DF": Label(1, "Deepfakes", "ff"),
    "FF-F2F": Label(1, "Face2Face", "ff"),
    "FF-FS": Label(1, "FaceSwap", "ff"),
    "FF-NT": Label(1, "NeuralTextures", "ff"),
    "FF-FH": Label(1, "FaceShifter", "ff"),
    "DFD_real": Label(0, "DFD", "dfd"),
    "DFD_fake": Label(1, "DFD", "dfd"),
    "CelebDFv1_real": Label(0, "Celeb-DF-v1", "celebdf"),
    "CelebDFv1_fake": Label(1, "Celeb-DF-v1", "celebdf"),
    "CelebDFv2_real": Label(0, "Celeb-DF-v2", "celebdf"),
    "CelebDFv2_fake": Label(1, "Celeb-DF-v2", "celebdf"),
    "DFDCP_Real": Label(0, "DFDCP", "dfdcp"),
    "DFDCP_FakeA": Label(1, "DFDCP-A", "dfdcp"),
    "DFDCP_FakeB": Label(1, "DFDCP-B", "dfdcp"),
    "DFDC_Real": Label(0, "DFDC", "dfdc"),
    "DFDC_Fake": Label(1, "DFDC", "dfdc"),
    "DF_real": Label(0, "DeeperForensics donors", "deeperforensics-donors"),
    "DF_fake": Label(1, "DeeperForensics", "deeperforensics"),
    "UADFV_Real": Label(0, "UADFV", "uadfv"),
    "UADFV_Fake": Label(1, "UADFV", "uadfv"),
}
LABELS |= {f"{name}_Real": Label(0, "DF40", "df40") for name in DF40_NAMES}
LABELS |= {f"{name}_Fake": Label(1, method, "df40") for name, method in DF40_NAMES.items()}
_FOLDED = {name.lower(): name for name in LABELS}
REALS = {"CelebDFv1_real": 158 + 250, "CelebDFv2_real": 590 + 300}  # published; the files lack some (defect 1)
PEOPLE = {  # names of videos; `pair` is the real video with the same frames
    "ff": (r"(?P<target>\d{3})(?:_(?P<donor>\d{3}))?", "{target}"),
    "dfd": (r"(?P<target>\d{2})(?:_(?P<donor>\d{2}))?__(?P<clip>.+?)(?:__[A-Z0-9]{8})?", "{target}__{clip}"),
    "celebdf": (r"(?P<target>id\d+)(?:_(?P<donor>id\d+))?_(?P<clip>\d{4})", "{target}_{clip}"),
    "dfdcp": (r"(?:(?P<donor>\d+)_)?(?P<target>\d+)_(?P<clip>[A-Z]_\d{3})", "{target}_{clip}"),
    "deeperforensics": (r"(?P<target>\d{3})_(?P<donor>[MW][01]\d{2})", "{target}"),
    "uadfv": (r"(?P<clip>\d{4})(?:_fake)?", "{clip}"),  # who lends the face is not in the name
}
_SET_FOLDERS = {
    "faceforensics++", "celeb-df-v1", "celeb-df-v2", "dfdcp", "dfdc", "uadfv", "deeperforensics-1.0", "df40",
    "df40_train",
}  # fmt: skip
_RANK = {"test": 0, "val": 1, "train": 2}


class Options(Value):
    """Which part is read.

    sets : names of JSON files, without `.json`; all in the folder when empty.
    quality : the one that is read of sets that have several; `all` reads every one.
    """

    sets: tuple[str, ...] = ()
    quality: Literal["raw", "c23", "c40", "all"] = "c23"


@dataclass(frozen=True)
class Video:
    """One video of a JSON file; `key` tells it from all others."""

    key: str
    set: str
    name: str
    label_name: str
    quality: str
    split: str
    frames: tuple[str, ...]


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every listed frame that is there, each in one split.

    Raises
    ------
    DataError : no such folder, no JSON files or none of a wanted name, one of another form, an unknown label name or
        split, none of the listed frames.
    """
    root, options = root_of(spec), options_of(spec, Options)
    listed = [
        video
        for file in _files(root, options.sets)
        for video in _videos(root / file)
        if not video.quality or options.quality in ("all", video.quality)
    ]
    videos, notes = in_one_split(listed)
    disk = Disk(root, PICTURES, key=_from_set)
    rows: dict[str, Row] = {}
    for video in sorted(videos, key=lambda v: (_RANK[v.split], v.key)):
        for frame in video.frames:
            path = disk.find(frame)
            if path is not None and path not in rows:  # FF-real stands in the file of every method
                rows[path] = _row(path, video)
    notes += told(disk.missing, ABSENT) + lacking(rows.values()) + _reals_missing(videos)
    if any(video.label_name == "DF_real" for video in videos):
        notes.append("the reals of DeeperForensics are clips of its donors, not of the videos that its fakes show")
    return manifest_of(list(rows.values()), root, notes)


def in_one_split(listed: Sequence[Video]) -> tuple[list[Video], list[str]]:
    """Every video once, in test before val before train, and a note for each set and two splits that shared some."""
    places = defaultdict(list)
    for video in listed:
        places[video.key].append(video)
    kept = []
    shared: Counter[tuple[str, str, str]] = Counter()
    for videos in places.values():
        first, *others = sorted(videos, key=lambda v: _RANK[v.split])
        kept.append(replace(first, frames=tuple(dict.fromkeys(frame for v in videos for frame in v.frames))))
        shared.update({(first.set, other.split, first.split) for other in others if other.split != first.split})
    return kept, [
        f"{name}: {count} videos of {split} stand in {first} too; they count as {first} alone"
        for (name, split, first), count in sorted(shared.items())
    ]


def _files(root: Path, sets: Sequence[str]) -> list[str]:
    """The JSON files, or those of the wanted names."""
    found = {path.rpartition("/")[2][: -len(".json")]: path for path in files_below(root, (".json",))}
    if not found:
        raise DataError(root, "holds no JSON files of DeepfakeBench", "put dataset_json/ beside rgb/")
    for name in sets:
        if name not in found:
            raise DataError(root, f"holds no {name}.json", nearest(name, found))
    return [found[name] for name in sets or sorted(found)]


def _videos(file: Path) -> Iterator[Video]:
    """What one JSON file lists."""
    tree = read_json(file)
    for set_name, by_label in _items(tree, file):
        for written, by_split in _items(by_label, file):
            label_name = _label_name(written, file)
            for split, inside in _items(by_split, file):
                if split not in SPLITS:
                    raise DataError(file, f"unknown split '{split}'", nearest(split, SPLITS))
                for quality, name, record in _records(inside, file):
                    if LABELS[_label_name(str(record.get("label", written)), file)].label != LABELS[label_name].label:
                        raise DataError(file, f"'{name}' under '{written}' is labelled '{record['label']}'")
                    key = "/".join(part for part in (set_name, label_name, quality, name) if part)
                    frames = tuple(str(frame) for frame in record["frames"])
                    yield Video(key, set_name, name, label_name, quality, split, frames)


def _records(inside: Any, file: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Quality ("" where the set has none), name and record of every video."""
    for name, record in _items(inside, file):
        if isinstance(record, dict) and isinstance(record.get("frames"), list):
            yield "", name, record
            continue
        for inner, deeper in _items(record, file):
            if not (isinstance(deeper, dict) and isinstance(deeper.get("frames"), list)):
                raise DataError(file, f"'{inner}' lists no frames", "this is not a file of DeepfakeBench")
            yield name, inner, deeper


def _items(tree: Any, file: Path) -> Iterator[tuple[str, Any]]:
    if not isinstance(tree, dict):
        raise DataError(file, "is not built like the files of DeepfakeBench", "name those with data.options.sets=[...]")
    yield from tree.items()


def _label_name(written: str, file: Path) -> str:
    """The label name in our spelling; case differs between files."""
    if written.lower() not in _FOLDED:
        raise DataError(file, f"unknown label name '{written}'", nearest(written, LABELS))
    return _FOLDED[written.lower()]


def _from_set(path: str) -> str:
    """The path below `rgb`, else from a set's folder on; what stands above differs by machine."""
    parts = [part for part in path.split("/") if part not in (".", "")]
    if ".." in parts:
        raise DataError(path, "a listed path leaves the folder of the data")
    below = [i + 1 for i, part in enumerate(parts) if part.lower() == "rgb"]
    sets = [i for i, part in enumerate(parts) if part.lower() in _SET_FOLDERS]
    return "/".join(parts[max(below) if below else min(sets, default=0) :])


def people(name: str, family: str) -> tuple[str, str, str]:
    """Target, donor and pair of a video, each with the family that its names belong to; "" for what a name leaves open.

    name : of the folder of its frames. family : as in LABELS; sets of one family share people.
    """
    pattern, form = PEOPLE.get(family, (r"(?!)", ""))
    match = re.fullmatch(pattern, name)
    if match is None:
        return "", "", ""
    who = {key: value or "" for key, value in match.groupdict().items()}
    found = (who.get("target", ""), who.get("donor", ""), form.format(**who))
    target, donor, pair = (f"{family}/{text}" if text else "" for text in found)
    return target, donor, pair


def _row(path: str, video: Video) -> Row:
    """One frame."""
    label, origin, family = LABELS[video.label_name]
    target, donor, pair = people(video.name, family)
    return {
        "path": path,
        "label": label,
        "split": video.split,
        "group": f"{video.split}/{pair or video.key}",
        "video": video.key,
        "subject": target,
        "donor": donor,
        "pair": pair,
        "generator": origin if label else "real",
        "source": "" if label else origin,
        "quality": video.quality,
    }


def _reals_missing(videos: Sequence[Video]) -> list[str]:
    """How many reals of Celeb-DF the files lack, because one folder of them overwrote the keys of the other."""
    found = Counter((video.set, video.label_name) for video in videos)
    return [
        f"{name}: {count} reals listed of {REALS[label]}; one folder of reals overwrote the other in train"
        for (name, label), count in sorted(found.items())
        if label in REALS and count != REALS[label]
    ]


def tiny_copy(folder: Path) -> Promise:
    """Celeb-DF with its defects, and two methods of FaceForensics++ that share names and reals, on Windows paths."""
    ff, cdf = "FaceForensics++", "Celeb-DF-v2"
    real = {n: f"{ff}/original_sequences/youtube/c23/frames/{n}" for n in ("000", "953")}
    for method, name in (("Deepfakes", "FF-DF"), ("Face2Face", "FF-F2F")):
        fake = {n: f"{ff}/manipulated_sequences/{method}/c23/frames/{n}" for n in ("000_003", "953_974")}
        _write(
            folder,
            name,
            {
                "FF-real": {"train": {"c23": {"000": real["000"]}}, "test": {"c23": {"953": real["953"]}}},
                name: {"train": {"c23": {"000_003": fake["000_003"]}}, "test": {"c23": {"953_974": fake["953_974"]}}},
            },
        )
    reals = {n: f"{cdf}/Celeb-real/frames/{n}" for n in ("id0_0000", "id1_0007")}
    fakes = {n: f"{cdf}/Celeb-synthesis/frames/{n}" for n in ("id0_id1_0000", "id1_id0_0007")}
    test_real, test_fake = {"id1_0007": reals["id1_0007"]}, {"id1_id0_0007": fakes["id1_id0_0007"]}
    _write(
        folder,
        cdf,
        {
            "CelebDFv2_real": {"train": reals, "val": test_real, "test": test_real},
            "CelebDFv2_fake": {"train": fakes, "val": test_fake, "test": test_fake},
        },
    )
    (folder / "rgb" / cdf / "Celeb-real" / "frames" / "id0_0000" / "001.png").unlink()
    write_picture(folder / "rgb" / cdf / "Celeb-real" / "masks" / "id0_0000" / "000.png", 9)
    (folder / "rgb" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="deepfakebench"),
        labels={0: 7, 1: 12},
        splits={"train": 9, "test": 10},
        groups=4,
        generators={"Deepfakes": 4, "Face2Face": 4, "Celeb-DF-v2": 4},
        subjects=4,
        notes=(
            "Celeb-DF-v2: 2 videos of train stand in test too; they count as test alone",
            "Celeb-DF-v2: 2 videos of val stand in test too",
            "listed files that are absent: 1",
            "Celeb-DF-v2: 2 reals listed of 890",
        ),
    )


def _write(folder: Path, name: str, tree: Mapping[str, Any]) -> None:
    """The JSON file of a set, and two frames for each of its videos; a video is given as the folder of its frames."""

    def filled(inside: Any, label: str, video: str = "") -> Any:
        if isinstance(inside, dict):
            return {key: filled(value, label, key) for key, value in inside.items()}
        frames = [f"{inside}/{n:03d}.png" for n in (0, 1)]
        fake, _, family = LABELS[label]
        for frame in frames:  # a fake and its original have the same seed
            write_picture(folder / "rgb" / frame, sum(people(video, family)[2].encode()), forged=fake == 1)
        return {"label": label, "frames": [frame.replace("/", "\\") for frame in frames]}

    text = json.dumps({name: {label: filled(inside, label) for label, inside in tree.items()}})
    path = folder / "dataset_json" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


DEEPFAKEBENCH = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="CC BY-NC 4.0; the terms of every set stay",
    citation="Yan, Zhang, Yuan, Lyu, Wu, 2023 (DeepfakeBench), arXiv 2307.01426",
    options=Options,
    leaks="those of the official splits: people of Celeb-DF's test and originals of its fakes are also in train",
)
