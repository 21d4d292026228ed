"""FakeAVCeleb v1.2: 500 real clips of 500 people and 21,044 in which picture, voice or both are fake.

Tree: `<type>/<race>/<gender>/<id>/*.mp4`, type one of {Real,Fake}Video-{Real,Fake}Audio, and `meta_data.csv`. By
type: 500 with nothing fake, 500 with a fake voice alone, 9,709 with a fake picture alone, 10,835 with both; the paper
says 500 + 19,500. Clips of about 224 px from VoxCeleb2.

Traps. The table has nine names in its header and ten values a row: the column called `path` holds the file and the
nameless tenth holds the folder, so that readers which guess shift all columns. It has more rows than there are files:
a file can stand twice, under two methods; the first one counts, and a note says so. A real picture with a fake voice
is real for a picture detector: `label=visual`, the default; `label=av` calls it fake. `wavtolip` in names is wav2lip.
Race and gender stay out of the manifest.

Splits. The set has none: `split=target` cuts by the person shown and counts the fakes whose donor is shown in another
split; `split=strict` leaves those out.

By form. Khalid, Tariq, Woo, 2021, arXiv 2108.05080.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.layout import (
    CLIPS,
    Layout,
    Promise,
    count_notes,
    manifest_of,
    options_of,
    root_of,
    write_clip,
)
from verisight.data.layouts.names import Row, told
from verisight.data.layouts.rows import ABSENT, UNLISTED, Disk, cut_by_person
from verisight.data.manifest import Manifest

TYPES = {  # folder -> is the picture fake, is the sound fake
    "realvideo-realaudio": (0, 0),
    "realvideo-fakeaudio": (0, 1),
    "fakevideo-realaudio": (1, 0),
    "fakevideo-fakeaudio": (1, 1),
}
CLIPS_OF = dict(zip(TYPES, (500, 500, 9709, 10_835), strict=True))
EXPECTED = {"visual": {"real": 1000, "fake": 20_544}, "av": {"real": 500, "fake": 21_044}}
HEADER = ["source", "target1", "target2", "method", "category", "type", "race", "gender", "path"]


class Options(Value):
    """What counts as fake, and how the set is cut.

    label : `visual`, the picture; `av`, the picture or the sound.
    split : `target`, by the person shown; `strict`, nobody in two splits, fakes that would join two left out.
    """

    label: Literal["visual", "av"] = "visual"
    split: Literal["target", "strict"] = "target"


class Line(NamedTuple):
    """A row of the table: the person shown, the donor ("" without one), the method, and where the clip lies."""

    source: str
    donor: str
    method: str
    file: str


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Every clip of the table that is there.

    Raises
    ------
    DataError : no such folder, no table, a table of another form, none of its clips.
    """
    root, options = root_of(spec), options_of(spec, Options)
    lines = table(root)
    disk = Disk(root, CLIPS, key=_from_type)
    rows: dict[str, Row] = {}
    twice = []
    for line in lines:
        path = disk.find(line.file)
        if path in rows:
            twice.append(path)
        elif path is not None:
            rows[path] = _row(path, line, options)
    notes = told(disk.missing, ABSENT) + told(disk.unlisted(), UNLISTED)
    notes += told(twice, "further rows of files that stand in the table already, left out")
    if rows:
        cut, more = cut_by_person(list(rows.values()), spec.splits, seed, strict=options.split == "strict")
        notes += [*more, *count_notes(cut, EXPECTED[options.label])]
    return manifest_of(cut if rows else [], root, notes)


def table(root: Path) -> list[Line]:
    """The rows of `meta_data.csv` in the root or in one folder of it, by position: names and values do not line up.

    Raises
    ------
    DataError : no such file, another header, a row of another length.
    """
    found = sorted([*root.glob("meta_data.csv"), *root.glob("*/meta_data.csv")])
    if not found:
        raise DataError(root, "holds no meta_data.csv", "it comes with FakeAVCeleb and names donors and methods")
    try:
        with open(found[0], newline="", encoding="utf-8-sig") as file:
            header, *body = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(found[0], f"not a readable table ({error})", "take it as it was downloaded") from error
    if [name.strip().lower() for name in header if name.strip()] != HEADER:
        raise DataError(found[0], f"its header is not {','.join(HEADER)}", "take it as it was downloaded")
    wrong = next((number for number, row in enumerate(body, 2) if len(row) != len(HEADER) + 1), None)
    if wrong is not None:
        raise DataError(found[0], f"row {wrong} has not ten values", "the ninth is the file, the tenth its folder")
    return [_line(row) for row in body]


def _line(row: Sequence[str]) -> Line:
    source, donor, _, method, *_, file, folder = (value.strip() for value in row)
    return Line(source, donor if donor.startswith("id") else "", method.lower(), f"{folder}/{file}".replace("\\", "/"))


def _from_type(path: str) -> str:
    """The path from the type's folder on; whatever stands above it differs by copy."""
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts) if part.lower() in TYPES), 0)
    return "/".join(parts[at:])


def _row(path: str, line: Line, options: Options) -> Row:
    """One clip without its split."""
    inner = PurePosixPath(_from_type(path))
    if inner.parts[0].lower() not in TYPES:
        raise DataError(path, "lies in the folder of no type", f"known: {', '.join(TYPES)}")
    picture, sound = TYPES[inner.parts[0].lower()]
    fake = picture or (options.label == "av" and sound)
    return {
        "path": path,
        "label": int(fake),
        "video": inner.with_suffix("").as_posix().lower(),
        "subject": line.source,
        "donor": line.donor if picture else "",
        "pair": line.source,  # one real clip a person
        "generator": line.method if fake else "real",
        "source": "" if fake else ("VoxCeleb2, fake voice" if sound else "VoxCeleb2"),
    }


def tiny_copy(folder: Path) -> Promise:
    """Six people with a clip of each type; the table has a clip that is absent and one that stands twice."""
    rows = []
    for n in range(6):
        me, other = f"id0000{n}", f"id0000{(n + 1) % 6}"
        place = f"African/men/{me}"
        swap, lips = f"0000{n}_{other}_faceswap.mp4", f"0000{n}_{n}_{other}_wavtolip.mp4"
        for type, letter, file, donor, method in (
            ("RealVideo-RealAudio", "A", f"0000{n}.mp4", "-", "real"),
            ("RealVideo-FakeAudio", "B", f"0000{n}_fake.mp4", "-", "rtvc"),
            ("FakeVideo-RealAudio", "C", swap, other, "faceswap"),
            ("FakeVideo-FakeAudio", "D", lips, other, "wav2lip"),
        ):
            write_clip(folder / "FakeAVCeleb" / type / place / file, n, forged=letter in "CD")
            rows.append(f"{me},{donor},-,{method},{letter},{type},African,men,{file},FakeAVCeleb/{type}/{place}")
    rows.append(rows[-1].replace("wav2lip", "faceswap-wav2lip"))
    rows.append(rows[0].replace("00000.mp4", "00077.mp4"))
    (folder / "FakeAVCeleb" / "meta_data.csv").write_text("\n".join((",".join(HEADER) + ",", *rows)) + "\n")
    write_clip(folder / "FakeAVCeleb" / "RealVideo-RealAudio" / "demo.mp4", 9)
    (folder / "FakeAVCeleb" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="fakeavceleb", splits=(0.5, 0.0, 0.5)),
        labels={0: 12, 1: 12},
        splits={"train": 12, "test": 12},
        groups=6,
        generators={"faceswap": 6, "wav2lip": 6},
        subjects=6,
        notes=(
            "listed files that are absent: 1, such as FakeAVCeleb/RealVideo-RealAudio/African/men/id00000/00077.mp4",
            "files that no list names, left out: 1",
            "stand in the table already, left out: 1",
            "fakes that join people of two splits",
            "12 real files where the published set has 1000",
        ),
    )


FAKEAVCELEB = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="by form, research",
    citation="Khalid, Tariq, Woo, 2021 (FakeAVCeleb), arXiv 2108.05080",
    expected=EXPECTED["visual"],
    options=Options,
    leaks="donors of one split are shown in another under split=target; voices too",
)
