"""ForgeryNet: 2.9 million pictures and 221,247 clips, of 15 and 8 methods of forgery, with lists that carry the labels.

Tree: `{Training,Validation,Test}/{image,video,spatial_localize}` with `image_list.txt` and `video_list.txt` in the
part's folder or below it. A line of the one is `path binary triple n16`; of the other `k path (start count real|fake)
x k binary triple n16`: k stretches of frames, each real or fake.

Traps. A fake clip holds real stretches: its row has the clip's label, and `frame_labels` gives those of its frames.
The binary number is 1 for fake; for clips the stretches say so too, and a list in which the two disagree is refused.
Methods go by their number among sixteen classes, which names the generator: `forgerynet-03`. Pictures of one clip
cannot be told, so each picture and each clip is its own group. `spatial_localize` holds masks, which are no samples.

Project page; non-commercial research and education. He et al., CVPR 2021, arXiv 2103.05630.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.layout import (
    CLIPS,
    PICTURES,
    Layout,
    Promise,
    files_below,
    manifest_of,
    options_of,
    root_of,
    write_clip,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import ABSENT, Disk, lacking
from verisight.data.manifest import Manifest

SPLITS = {"training": "train", "train": "train", "validation": "val", "val": "val", "test": "test"}
FLAGS = {"real": 0, "fake": 1, "0": 0, "1": 1}


class Options(Value):
    """kind : what a row is, a clip or a picture; each has its own list."""

    kind: Literal["video", "image"] = "video"


class Stretch(NamedTuple):
    """`length` frames from `start` on, all real (0) or all fake (1)."""

    start: int
    length: int
    label: int


class Line(NamedTuple):
    """What a list says of a picture or clip: stretches of frames (none for a picture), label, number of the method."""

    path: str
    stretches: tuple[Stretch, ...]
    label: int
    method: int


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every listed picture or clip that is there.

    Raises
    ------
    DataError : no such folder, no lists, a line that does not hold together, none of the listed files.
    """
    root, options = root_of(spec), options_of(spec, Options)
    lists = [path for path in files_below(root, (".txt",)) if _is_list(path, options.kind)]
    if not lists:
        raise DataError(root, f"holds no {options.kind}_list.txt under Training/, Validation/ or Test/")
    disk = Disk(root, CLIPS if options.kind == "video" else PICTURES)
    rows: dict[str, Row] = {}
    for file in lists:
        part = _part(file)
        for number, text in enumerate((root / file).read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
            if not text.strip():
                continue
            try:
                line = parse(text, options.kind)
            except DataError as error:
                raise DataError(
                    root / file, f"line {number}: {error.reason}", "take the list as it was published"
                ) from error
            path = disk.find(f"{part}/{options.kind}/{line.path}", f"{part}/{line.path}", line.path)
            if path is not None:
                rows.setdefault(path, _row(path, line, SPLITS[part.rpartition("/")[2].lower()]))
    return manifest_of(list(rows.values()), root, told(disk.missing, ABSENT) + lacking(rows.values()))


def parse(text: str, kind: str) -> Line:
    """One line of a list. kind : `image` or `video`.

    Raises
    ------
    DataError : a number of words, a word or stretches that such a line cannot have, labels that contradict each other.
    """
    words = text.replace("\\", "/").split()
    try:
        count = int(words.pop(0)) if kind == "video" else 0
        path, *flags, binary, _, method = words
        if len(flags) != 3 * count:
            raise ValueError
        triples = zip(flags[0::3], flags[1::3], flags[2::3], strict=True)
        stretches = tuple(Stretch(int(start), int(length), FLAGS[flag.lower()]) for start, length, flag in triples)
        line = Line(path, stretches, FLAGS[binary], int(method))
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(text, "is not a line of this list") from error
    if stretches and line.label != max(stretch.label for stretch in stretches):
        raise DataError(text, f"says {line.label} of the clip, and otherwise of its frames")
    return line


def frame_labels(text: str) -> list[int]:
    """The label of every frame of a clip, 0 real and 1 fake, from its line in `video_list.txt`.

    Raises
    ------
    DataError : the stretches leave a gap or overlap; or whatever `parse` refuses.
    """
    labels: list[int] = []
    for stretch in sorted(parse(text, "video").stretches):
        if stretch.start != len(labels):
            raise DataError(text, f"frame {len(labels)} is not the start of a stretch, {stretch.start} is")
        labels += [stretch.label] * stretch.length
    return labels


def _is_list(path: str, kind: str) -> bool:
    return path.lower().rpartition("/")[2] == f"{kind}_list.txt" and _part(path) != ""


def _part(path: str) -> str:
    """The folder of Training, Validation or Test that a list lies in; "" outside of them."""
    parts = path.split("/")[:-1]
    at = next((i for i, part in enumerate(parts) if part.lower() in SPLITS), None)
    return "" if at is None else "/".join(parts[: at + 1])


def _row(path: str, line: Line, split: str) -> Row:
    return {
        "path": path,
        "label": line.label,
        "split": split,
        "generator": f"forgerynet-{line.method:02d}" if line.label else "real",
        "source": "" if line.label else "forgerynet",
    }


def tiny_copy(folder: Path) -> Promise:
    """Two real and two fake clips to train and one of each to select, and a listed clip that is absent."""
    for part, release, numbers in (
        ("Training", "train_video_release", (0, 1)),
        ("Validation", "val_video_release", (2,)),
    ):
        lines = []
        for n in numbers:
            write_clip(folder / part / "video" / release / "19" / f"{n}.mp4", n)
            write_clip(folder / part / "video" / release / "3" / f"{n}.mp4", n, forged=True)
            lines.append(f"1 {release}/19/{n}.mp4 0 2 real 0 0 0")
            lines.append(f"2 {release}/3/{n}.mp4 0 1 real 1 1 fake 1 1 3")
        lines.append(f"1 {release}/19/9{len(lines)}.mp4 0 2 real 0 0 0")
        (folder / part / "video_list.txt").write_text("\n".join(lines) + "\n")
    (folder / "Training" / "spatial_localize").mkdir()
    write_clip(folder / "Training" / "spatial_localize" / "0.mp4", 0, forged=True)
    (folder / "Training" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="forgerynet"),
        labels={0: 3, 1: 3},
        splits={"train": 4, "val": 2},
        groups=6,
        generators={"forgerynet-03": 3},
        notes=("listed files that are absent: 2, such as Training/video/train_video_release/19/94.mp4",),
    )


FORGERYNET = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="non-commercial research and education",
    citation="He et al., CVPR 2021 (ForgeryNet), arXiv 2103.05630",
    options=Options,
    leaks="unknown: no identities are given",
)
